package backplane

import (
	"context"
	"errors"

	"github.com/midplane-project/midplane/internal/link"
	"github.com/midplane-project/midplane/internal/wire"
	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// ErrNotLeader says that only the leader sends from 0x20.
var ErrNotLeader = errors.New("backplane: not the leader")

// maxHops is how many replicas may pass on a frame that one of them took in.
const maxHops = 1

// transit is a frame within the switch.
type transit struct {
	shelf string
	m     ipmb.Message
	bytes []byte // of the frame
	hops  int    // how many replicas may still pass it on
}

// fromNode takes a frame off a node's stream.
func (s *Switch) fromNode(p *port, e *v1.Envelope) {
	m, err := wire.FromEnvelope(p.shelf, e)
	if err != nil {
		s.counts[Malformed].Add(1)
		s.cfg.Logger.Debug("malformed envelope", "shelf", p.shelf, "from", p.addr, "why", err)
		return
	}
	m.Origin.Privilege = min(m.Origin.Privilege, s.cfg.MaxPrivilege)
	t := transit{shelf: p.shelf, m: m, bytes: e.GetFrame(), hops: maxHops}
	fate, code := s.vet(p, m)
	if fate == Switched {
		fate, code = s.route(t)
	}
	s.note(t, fate)
	if code != ipmb.OK && !m.Frame.IsResponse() {
		s.answerFor(p, m, code)
	}
}

// vet checks what a node may send. Switched: all is well; otherwise code is
// what to answer, OK for nothing.
func (s *Switch) vet(p *port, m ipmb.Message) (Fate, ipmb.CompletionCode) {
	switch {
	case m.Frame.From != p.addr:
		return Forged, ipmb.OK
	case m.Epoch != p.epoch, s.cfg.Slot(p.shelf, p.hw).Epoch > p.epoch:
		return OldEpoch, ipmb.OK
	case m.Frame.IsResponse():
		return Switched, ipmb.OK
	}
	// Who speaks is the node's word, and it may be in wrong hands: nothing that
	// comes off its stream reaches others further than its guest does. What
	// controllers send of their own accord, events, is no more than that.
	if err := s.cfg.Policy.Permit(m.Frame); err != nil {
		return Refused, ipmb.CodeOf(err)
	}
	return Switched, ipmb.OK
}

// answerFor answers a request in the place of its addressee.
func (s *Switch) answerFor(p *port, m ipmb.Message, code ipmb.CompletionCode) {
	body, _, _ := ipmb.SplitBody(m.Frame.NetFn, m.Frame.Data)
	reply := m.Frame.Reply(ipmb.Response{Code: code, Data: ipmb.AppendBody(nil, m.Frame.NetFn, body)})
	answer := ipmb.Message{ID: m.ID, Instance: m.Instance, Frame: reply, Plane: m.Plane}
	if reply.From == ipmb.AddrShelfManager {
		answer.Term, _ = s.cfg.Leader()
	}
	if e, err := wire.ToEnvelope(answer); err == nil {
		_ = p.link.Post(e) // a full queue drops answers too: the node asks again
	}
}

// route passes a frame on. code is what its sender should be answered, OK for
// nothing.
func (s *Switch) route(t transit) (Fate, ipmb.CompletionCode) {
	to := t.m.Frame.To
	if to == ipmb.AddrShelfManager {
		return s.toManager(t)
	}
	k := slotKey{t.shelf, to.HW()}
	if !to.Valid() {
		return Absent, ipmb.ErrDestination
	}
	if p := s.port(k); p != nil {
		return posted(Switched, p.link.Post(wire.Seal(t.m, t.bytes)))
	}
	if t.hops == 0 {
		return Spent, ipmb.OK
	}
	if peer := s.peerWith(k); peer != nil {
		return t.relay(peer)
	}
	if s.lookup(k).state == v1.PresenceState_PRESENCE_STATE_ABSENT {
		return Absent, ipmb.ErrDestination
	}
	return Unroutable, ipmb.OK
}

// toManager passes on a frame to 0x20: to the shelf manager here, or to the
// replica that leads. A frame that knows of a later term than we is not for
// the leader that we know.
func (s *Switch) toManager(t transit) (Fate, ipmb.CompletionCode) {
	term, leader := s.cfg.Leader()
	switch {
	case leader == "":
		return Unroutable, ipmb.OK
	case t.m.Term > term:
		return OldTerm, ipmb.OK
	case leader == s.cfg.Replica:
		return s.serve(t, term)
	case t.hops == 0:
		return Spent, ipmb.OK
	}
	peer := s.peer(leader)
	if peer == nil {
		return Unroutable, ipmb.OK
	}
	return t.relay(peer)
}

// relay passes a frame to another replica.
func (t transit) relay(p *peer) (Fate, ipmb.CompletionCode) {
	l := p.link.Load()
	if l == nil {
		return Unroutable, ipmb.OK
	}
	e := wire.Seal(t.m, t.bytes)
	e.Shelf, e.Hops = t.shelf, uint32(t.hops-1)
	return posted(Relayed, l.Post(e))
}

func posted(fate Fate, err error) (Fate, ipmb.CompletionCode) {
	switch {
	case err == nil:
		return fate, ipmb.OK
	case errors.Is(err, link.ErrFull):
		return Busy, ipmb.OK
	}
	return Unroutable, ipmb.OK
}

// serve hands a frame to the shelf manager. Responses are taken at once; each
// request has a goroutine, since it may wait for a commit.
func (s *Switch) serve(t transit, term uint64) (Fate, ipmb.CompletionCode) {
	if t.m.Frame.IsResponse() {
		s.cfg.Brain.Serve(s.ctx, t.shelf, t.m)
		return Served, ipmb.OK
	}
	select {
	case s.serving <- struct{}{}:
	default:
		return Busy, ipmb.ErrBusy
	}
	s.wg.Go(func() {
		defer func() { <-s.serving }()
		answer, ok := s.cfg.Brain.Serve(s.ctx, t.shelf, t.m)
		if !ok {
			return
		}
		answer.ID, answer.Instance, answer.Term = t.m.ID, t.m.Instance, term
		_ = s.Send(s.ctx, t.shelf, answer) // who got no answer asks again
	})
	return Served, ipmb.OK
}

// Send sends a frame from the shelf manager at 0x20 in the term that it was
// made in; 0 is the present one. Errors: ErrNotLeader when the term is over,
// D3h when the presence table knows nobody there, C0h when the way is full.
func (s *Switch) Send(_ context.Context, shelf string, m ipmb.Message) error {
	term, ok := s.leads()
	if m.Term == 0 {
		m.Term = term
	}
	if !ok || m.Term != term {
		return ErrNotLeader
	}
	m.Frame.From, m.Epoch = ipmb.AddrShelfManager, 0
	e, err := wire.ToEnvelope(m)
	if err != nil {
		return err
	}
	t := transit{shelf: shelf, m: m, bytes: e.GetFrame(), hops: maxHops}
	fate, code := s.route(t)
	s.note(t, fate)
	switch {
	case code != ipmb.OK:
		return code
	case fate == Busy:
		return ipmb.ErrBusy
	}
	return nil
}

// note counts a frame and shows it to who looks.
func (s *Switch) note(t transit, fate Fate) {
	s.counts[fate].Add(1)
	if s.cfg.Tap != nil {
		s.cfg.Tap(t.shelf, t.m, fate)
	}
	if fate > Served {
		s.cfg.Logger.Debug("frame dropped", "shelf", t.shelf, "from", t.m.Frame.From, "to", t.m.Frame.To, "fate", fate)
	}
}
