package backplanetest

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/backplane"
)

type slotKey struct {
	shelf string
	hw    uint8
}

// Logged is an event in the shelf's log.
type Logged struct {
	Shelf  string
	HW     uint8
	Outbox string
	Event  *v1.Event
}

// State is what raft would replicate: all replicas of a test share one.
type State struct {
	reign atomic.Pointer[belief]

	mu    sync.Mutex
	slots map[slotKey]backplane.Slot
	last  map[string]uint64 // last event by outbox
	log   []Logged
	shelf map[string]bool
}

// NewState makes a state that knows the shelves and has no leader.
func NewState(shelves ...string) *State {
	s := &State{
		slots: make(map[slotKey]backplane.Slot), last: make(map[string]uint64),
		shelf: make(map[string]bool),
	}
	s.reign.Store(&belief{})
	for _, name := range shelves {
		s.shelf[name] = true
	}
	return s
}

// belief is who leads, as a replica knows it.
type belief struct {
	term   uint64
	leader string // empty: none
}

// Leader is the present term and its leader.
func (s *State) Leader() (uint64, string) {
	b := s.reign.Load()
	return b.term, b.leader
}

// Elect begins a term; no leader when the name is empty.
func (s *State) Elect(leader string) (term uint64) {
	term = s.reign.Load().term + 1
	s.reign.Store(&belief{term, leader})
	return term
}

// Slot reads a claim.
func (s *State) Slot(shelf string, hw uint8) backplane.Slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.slots[slotKey{shelf, hw}]
}

// Log gives the shelf's log.
func (s *State) Log() []Logged {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Logged(nil), s.log...)
}

// Lose marks a slot lost since a time; Claim undoes it.
func (s *State) Lose(shelf string, hw uint8, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.slots[slotKey{shelf, hw}]
	c.LostSince = since
	s.slots[slotKey{shelf, hw}] = c
}

// Brain is the shelf manager of one replica. While the replica does not lead,
// it commits nothing.
type Brain struct {
	State   *State
	Replica string
	// Believes is who leads to the replica's knowledge; a stopped leader may be wrong.
	Believes func() (term uint64, leader string)

	mu       sync.Mutex
	attached map[slotKey]uint64
}

// commits reports whether this replica leads, in truth and to its knowledge.
func (b *Brain) commits() bool {
	known, _ := b.Believes()
	term, leader := b.State.Leader()
	return leader == b.Replica && term == known
}

func refused(code v1.RefusalCode) *v1.RelayClaimAnswer {
	return &v1.RelayClaimAnswer{Refusal: &v1.Refusal{Code: code, Message: code.String()}}
}

// Claim implements [backplane.Brain]: a later start of the same instance
// supersedes, another one waits for the end of the claim.
func (b *Brain) Claim(_ context.Context, h *v1.NodeHello) *v1.RelayClaimAnswer {
	s := b.State
	s.mu.Lock()
	defer s.mu.Unlock()
	k := slotKey{h.GetShelf(), uint8(h.GetHardwareAddress())}
	c := s.slots[k]
	same := string(c.Instance[:]) == string(h.GetInstance())
	switch {
	case !b.commits():
		return refused(v1.RefusalCode_REFUSAL_CODE_NO_QUORUM)
	case !s.shelf[h.GetShelf()]:
		return refused(v1.RefusalCode_REFUSAL_CODE_UNKNOWN_SHELF)
	case c.Held && !same:
		return refused(v1.RefusalCode_REFUSAL_CODE_CLAIMED)
	case c.Held && h.GetBoot() < c.Boot:
		return refused(v1.RefusalCode_REFUSAL_CODE_SUPERSEDED)
	case !c.Held || h.GetBoot() > c.Boot:
		c = backplane.Slot{Held: true, Instance: [16]byte(h.GetInstance()), Boot: h.GetBoot(), Epoch: c.Epoch + 1, Name: h.GetName()}
	}
	c.LostSince = time.Time{}
	s.slots[k] = c
	return &v1.RelayClaimAnswer{Epoch: c.Epoch, LastEvent: s.last[string(h.GetOutbox())]}
}

// Detach implements [backplane.Brain].
func (b *Brain) Detach(_ context.Context, shelf string, hw uint8, epoch uint64) {
	s := b.State
	s.mu.Lock()
	defer s.mu.Unlock()
	k := slotKey{shelf, hw}
	if c := s.slots[k]; b.commits() && c.Epoch == epoch {
		c.Held = false
		s.slots[k] = c
	}
}

// Events implements [backplane.Brain]: only the event after the last one is
// accepted.
func (b *Brain) Events(_ context.Context, run *v1.RelayEvents) *v1.EventAck {
	s := b.State
	s.mu.Lock()
	defer s.mu.Unlock()
	box := string(run.GetOutbox())
	k := slotKey{run.GetShelf(), uint8(run.GetHardwareAddress())}
	if !b.commits() || s.slots[k].Epoch != run.GetEpoch() {
		return nil
	}
	for _, e := range run.GetEvents() {
		last := s.last[box]
		switch {
		case e.GetN() <= last:
		case e.GetN() > last+1:
			return &v1.EventAck{Last: last, ResendFrom: last + 1}
		default:
			s.last[box] = e.GetN()
			s.log = append(s.log, Logged{run.GetShelf(), k.hw, box, e})
		}
	}
	return &v1.EventAck{Last: s.last[box]}
}

// Serve implements [backplane.Brain]: it answers every request with its address
// and the request's data.
func (b *Brain) Serve(_ context.Context, _ string, m ipmb.Message) (ipmb.Message, bool) {
	if m.Frame.IsResponse() {
		return ipmb.Message{}, false
	}
	if !b.commits() {
		return ipmb.Message{}, false // the real one fails to verify its leadership
	}
	echo := append([]byte{byte(ipmb.AddrShelfManager)}, m.Frame.Data...)
	return ipmb.Message{Frame: m.Frame.Reply(ipmb.Response{Data: echo})}, true
}

// Attached implements [backplane.Brain].
func (b *Brain) Attached(shelf string, hw uint8, epoch uint64, attached bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.attached == nil {
		b.attached = make(map[slotKey]uint64)
	}
	if attached {
		b.attached[slotKey{shelf, hw}] = epoch
	} else {
		delete(b.attached, slotKey{shelf, hw})
	}
}

// HasAttached reports whether the switch said that a slot is attached.
func (b *Brain) HasAttached(shelf string, hw uint8) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.attached[slotKey{shelf, hw}] != 0
}

// Forget loses the log and what it knows of outboxes, but no claims.
func (s *State) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = nil
	clear(s.last)
}
