package uplink

import (
	"context"

	"github.com/midplane-project/midplane/internal/wire"
	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// drop is why a frame was not delivered.
type drop uint8

const (
	malformed drop = iota // no valid frame or envelope
	misrouted             // to another address
	oldTerm               // from a shelf manager that leads no more
	drops
)

// handle takes one message of a replica.
func (u *Uplink) handle(ctx context.Context, w *way, m *v1.AttachResponse) error {
	switch k := m.GetKind().(type) {
	case *v1.AttachResponse_Batch:
		for _, e := range k.Batch.GetEnvelopes() {
			u.receive(ctx, e)
		}
	case *v1.AttachResponse_Leader:
		u.heardLeader(w.name, k.Leader)
	case *v1.AttachResponse_Presence:
		u.heardPresence(w, k.Presence)
	case *v1.AttachResponse_EventAck:
		u.heardAck(w, k.EventAck)
	case *v1.AttachResponse_Console:
		w.called(ctx, k.Console)
	case *v1.AttachResponse_Refusal:
		return &RefusedError{k.Refusal}
	}
	return nil
}

// receive delivers a frame, unless it comes from a shelf manager of a term
// that is over.
func (u *Uplink) receive(ctx context.Context, e *v1.Envelope) {
	m, err := wire.FromEnvelope(u.cfg.Shelf, e)
	switch {
	case err != nil:
		u.counts[malformed].Add(1)
		u.cfg.Logger.Debug("malformed envelope", "why", err)
	case m.Frame.To != u.self:
		u.counts[misrouted].Add(1)
	case m.Frame.From == ipmb.AddrShelfManager && !u.fence(m.Term):
		u.counts[oldTerm].Add(1)
		u.cfg.Logger.Debug("frame of an old term", "term", m.Term, "known", u.term.Load())
	default:
		u.cfg.Deliver(ctx, m)
	}
}

// heardPresence takes a table, or what changed in it, and tells of changes in
// what the replicas say together.
func (u *Uplink) heardPresence(w *way, t *v1.PresenceTable) {
	next := presence{}
	for i := range next {
		next[i].state = v1.PresenceState_PRESENCE_STATE_ABSENT
	}
	u.mu.Lock()
	if !t.GetComplete() && w.presence != nil {
		next = *w.presence
	}
	for _, p := range t.GetEntries() {
		if hw := p.GetAddress() >> 1; hw < slots {
			next[hw].state, next[hw].here, next[hw].air = p.GetState(), p.GetHere(), p.GetAirflow()
		}
	}
	before := u.view.Load().state
	w.presence = &next
	u.look()
	after := u.view.Load().state
	u.mu.Unlock()
	for hw := range after {
		if after[hw] != before[hw] {
			u.cfg.PresenceChanged(ipmb.AddrFromHW(uint8(hw)), after[hw])
		}
	}
}

// ack is an acknowledgement of events that were sent by a way.
type ack struct {
	way *way
	*v1.EventAck
}

// heardAck keeps an acknowledgement for the event pump: it must write to disk,
// which the stream's reader must not wait for. A later one says all that an
// earlier one of the same way said.
func (u *Uplink) heardAck(w *way, a *v1.EventAck) {
	u.ack.Store(&ack{w, a})
	u.kick()
}
