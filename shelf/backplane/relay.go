package backplane

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/midplane-project/midplane/internal/link"
	"github.com/midplane-project/midplane/internal/trust"
	"github.com/midplane-project/midplane/internal/wire"
	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// presenceOf says with which claim epoch slots are attached to a replica.
type presenceOf map[slotKey]uint64

// caller is another replica, as it calls us.
type caller struct {
	name string
	link *link.Link[v1.RelayResponse, v1.RelayRequest]
	has  presenceOf // under Switch.mu; replaced, not changed
}

// Relay serves the stream of another replica.
func (s *Switch) Relay(stream v1.Backplane_RelayServer) error {
	if !s.enter() {
		return status.Error(codes.Unavailable, errStopping.Error())
	}
	defer s.wg.Done()
	m, err := first(s, stream.Recv)
	if err != nil {
		return err
	}
	h := m.GetHello()
	if err := s.trusts(stream.Context(), h); err != nil {
		return err
	}
	c := &caller{name: h.GetReplica(), link: link.New(stream, link.RelayCalled, s.wg.Go)}
	if !s.welcome(c) {
		return status.Error(codes.Unavailable, errStopping.Error())
	}
	defer s.dismiss(c)
	answer := &v1.RelayHello{Protocol: Protocol, Replica: s.cfg.Replica, Version: s.cfg.Version}
	if err := stream.Send(&v1.RelayResponse{Kind: &v1.RelayResponse_Hello{Hello: answer}}); err != nil {
		return err
	}
	err = c.link.Run(stream.Context(), func(m *v1.RelayRequest) error { return s.fromPeer(c, m) })
	s.cfg.Logger.Debug("stream of replica ended", "replica", c.name, "why", err)
	return ended(err)
}

func (s *Switch) trusts(ctx context.Context, h *v1.RelayHello) error {
	switch {
	case h == nil || h.GetReplica() == "":
		return status.Error(codes.InvalidArgument, "backplane: the first message is no hello")
	case h.GetProtocol() != Protocol:
		return status.Errorf(codes.FailedPrecondition, "backplane: protocol %d: this replica speaks %d", h.GetProtocol(), Protocol)
	case s.cfg.Identity == nil:
		return nil
	}
	if id, ok := s.cfg.Identity(ctx); !ok || id.Role != trust.Replica || id.Name != h.GetReplica() {
		return status.Errorf(codes.PermissionDenied, "backplane: the certificate is not of replica %q", h.GetReplica())
	}
	return nil
}

func (s *Switch) welcome(c *caller) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if old := s.callers[c.name]; old != nil {
		old.link.Close(errReplaced)
	}
	s.callers[c.name] = c
	return true
}

func (s *Switch) dismiss(c *caller) {
	c.link.Close(errStopping)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.callers[c.name] == c {
		delete(s.callers, c.name)
		s.Refresh()
	}
}

// fromPeer takes one message of another replica.
func (s *Switch) fromPeer(c *caller, m *v1.RelayRequest) error {
	switch k := m.GetKind().(type) {
	case *v1.RelayRequest_Batch:
		for _, e := range k.Batch.GetEnvelopes() {
			s.fromReplica(e)
		}
	case *v1.RelayRequest_Presence:
		s.learn(c, k.Presence)
	case *v1.RelayRequest_Claim:
		s.wg.Go(func() { c.answerClaim(s, k.Claim) })
	case *v1.RelayRequest_Events:
		s.wg.Go(func() { c.answerEvents(s, k.Events) })
	}
	return nil
}

// fromReplica takes a frame that another replica passes on. It has checked its
// sender; what may have changed meanwhile is whether claim and term still hold.
func (s *Switch) fromReplica(e *v1.Envelope) {
	m, err := wire.FromEnvelope(e.GetShelf(), e)
	if err != nil {
		s.counts[Malformed].Add(1)
		s.cfg.Logger.Debug("malformed envelope from replica", "shelf", e.GetShelf(), "why", err)
		return
	}
	t := transit{shelf: e.GetShelf(), m: m, bytes: e.GetFrame()}
	fate := s.current(t)
	if fate == Switched {
		fate, _ = s.route(t)
	}
	s.note(t, fate)
}

// current reports, by Switched, that a frame's claim or term is not over.
func (s *Switch) current(t transit) Fate {
	if t.m.Frame.From == ipmb.AddrShelfManager {
		if term, leader := s.cfg.Leader(); leader != "" && t.m.Term < term {
			return OldTerm
		}
		return Switched
	}
	if s.cfg.Slot(t.shelf, t.m.Frame.From.HW()).Epoch > t.m.Epoch {
		return OldEpoch
	}
	return Switched
}

// answerClaim answers a claim as leader; one that came here by mistake is told
// that there is no leader here.
func (c *caller) answerClaim(s *Switch, k *v1.RelayClaim) {
	ctx, cancel := context.WithTimeout(s.ctx, claimTimeout)
	defer cancel()
	h := k.GetHello()
	answer := &v1.RelayClaimAnswer{}
	switch _, ok := s.leads(); {
	case !ok || h == nil:
		answer.Refusal = refusal(v1.RefusalCode_REFUSAL_CODE_NO_QUORUM, "replica %s does not lead", s.cfg.Replica)
	case k.GetRelease():
		s.cfg.Brain.Detach(ctx, h.GetShelf(), uint8(h.GetHardwareAddress()), k.GetEpoch())
	default:
		if a := s.cfg.Brain.Claim(ctx, h); a != nil {
			answer = &v1.RelayClaimAnswer{Epoch: a.GetEpoch(), LastEvent: a.GetLastEvent(), Refusal: a.GetRefusal()}
		} else {
			answer.Refusal = refusal(v1.RefusalCode_REFUSAL_CODE_NO_QUORUM, "the claim could not be committed")
		}
	}
	answer.Request = k.GetRequest()
	c.link.Send(&v1.RelayResponse{Kind: &v1.RelayResponse_Claim{Claim: answer}})
}

// answerEvents commits events as leader. An answer without ack says that it
// could not be done.
func (c *caller) answerEvents(s *Switch, run *v1.RelayEvents) {
	ctx, cancel := context.WithTimeout(s.ctx, eventTimeout)
	defer cancel()
	answer := &v1.RelayEventAck{
		Shelf: run.GetShelf(), HardwareAddress: run.GetHardwareAddress(), Outbox: run.GetOutbox(), Request: run.GetRequest(),
	}
	if _, ok := s.leads(); ok {
		answer.Ack = s.cfg.Brain.Events(ctx, run)
	}
	c.link.Send(&v1.RelayResponse{Kind: &v1.RelayResponse_EventAck{EventAck: answer}})
}

// learn takes the whole list of who is attached to another replica, for one shelf.
func (s *Switch) learn(c *caller, t *v1.PresenceTable) {
	s.mu.Lock()
	defer s.mu.Unlock()
	has := make(presenceOf, len(c.has)+len(t.GetEntries()))
	for k, epoch := range c.has {
		if k.shelf != t.GetShelf() {
			has[k] = epoch
		}
	}
	for _, e := range t.GetEntries() {
		if e.GetAddress() <= uint32(ipmb.AddrFromHW(maxHW)) {
			has[slotKey{t.GetShelf(), ipmb.Addr(e.GetAddress()).HW()}] = e.GetEpoch()
		}
	}
	c.has = has
	s.Refresh()
}
