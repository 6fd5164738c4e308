package backplane

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/midplane-project/midplane/internal/link"
	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

var (
	errStopping = errors.New("backplane: replica is stopping")
	errReplaced = errors.New("backplane: the node opened another stream")
)

// Attach serves the stream of one node.
func (s *Switch) Attach(stream v1.Backplane_AttachServer) error {
	if !s.enter() {
		return status.Error(codes.Unavailable, errStopping.Error())
	}
	defer s.wg.Done()
	m, err := first(s, stream.Recv)
	if err != nil {
		return err
	}
	hello := m.GetHello()
	answer := s.admit(stream.Context(), hello)
	if r := answer.GetRefusal(); r != nil {
		s.cfg.Logger.Debug("node refused", "shelf", hello.GetShelf(), "hw", hello.GetHardwareAddress(), "code", r.GetCode(), "why", r.GetMessage())
		return stream.Send(refuse(r))
	}
	p := s.newPort(stream, hello, answer.GetEpoch())
	if r := s.plug(p); r != nil {
		return stream.Send(refuse(r))
	}
	defer s.unplug(p)
	if err := stream.Send(s.hello(answer)); err != nil {
		return err
	}
	s.wg.Go(p.sendEvents)
	err = p.link.Run(stream.Context(), p.handle)
	s.cfg.Logger.Debug("node's stream ended", "shelf", p.shelf, "addr", p.addr, "why", err)
	return ended(err)
}

// ended maps why a link ended to what its stream's caller is told.
func ended(err error) error {
	switch {
	case errors.Is(err, link.ErrClosed), errors.Is(err, context.Canceled):
		return nil
	case errors.Is(err, errStopping):
		return status.Error(codes.Unavailable, err.Error())
	}
	return status.Error(codes.Aborted, err.Error())
}

// first waits for a stream's first message, but not for ever.
func first[In any](s *Switch, recv func() (*In, error)) (*In, error) {
	type result struct {
		m   *In
		err error
	}
	got := make(chan result, 1)
	s.wg.Go(func() {
		m, err := recv()
		got <- result{m, err}
	})
	late := time.NewTimer(link.HelloTimeout)
	defer late.Stop()
	select {
	case r := <-got:
		return r.m, r.err
	case <-late.C:
		return nil, status.Error(codes.DeadlineExceeded, "backplane: no hello came")
	case <-s.ctx.Done():
		return nil, status.Error(codes.Unavailable, errStopping.Error())
	}
}

func (s *Switch) hello(a *v1.RelayClaimAnswer) *v1.AttachResponse {
	term, leader := s.cfg.Leader()
	return &v1.AttachResponse{Kind: &v1.AttachResponse_Hello{Hello: &v1.ReplicaHello{
		Protocol: Protocol, Version: s.cfg.Version, Replica: s.cfg.Replica, Cluster: s.cfg.Cluster(),
		Epoch: a.GetEpoch(), LastEvent: a.GetLastEvent(), Replicas: s.cfg.Replicas(),
		Leader: &v1.LeaderNotice{Term: term, Leader: leader},
	}}}
}

func refuse(r *v1.Refusal) *v1.AttachResponse {
	return &v1.AttachResponse{Kind: &v1.AttachResponse_Refusal{Refusal: r}}
}

// plug connects a port. The port that it replaces, if any, ends; a port of a
// later claim stays, and p is refused.
func (s *Switch) plug(p *port) *v1.Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return refusal(v1.RefusalCode_REFUSAL_CODE_NO_QUORUM, "replica %s is stopping", s.cfg.Replica)
	}
	switch old := s.ports[p.slotKey]; {
	case old == nil:
	case old.epoch > p.epoch:
		if r := over(p.claimant, old.claimant); r != nil {
			return r
		}
		return refusal(v1.RefusalCode_REFUSAL_CODE_NO_QUORUM, "the claim is older than the one that holds")
	default:
		old.end(p.claimant)
	}
	s.ports[p.slotKey] = p
	s.Refresh()
	return nil
}

// claimant is one start of one node.
type claimant struct {
	instance string
	boot     uint64
}

// over is what the claimant before is told when now has its slot; nil when
// both are the same, which only has to greet anew.
func over(before, now claimant) *v1.Refusal {
	switch {
	case before.instance != now.instance:
		return refusal(v1.RefusalCode_REFUSAL_CODE_CLAIMED, "another node has the slot")
	case before.boot < now.boot:
		return refusal(v1.RefusalCode_REFUSAL_CODE_SUPERSEDED, "a later start of this node has taken over")
	}
	return nil
}

// end ends a stream whose slot now has, or has again.
func (p *port) end(now claimant) {
	if r := over(p.claimant, now); r != nil {
		p.link.Finish(refuse(r))
		return
	}
	p.link.Close(errReplaced)
}

func (s *Switch) unplug(p *port) {
	p.link.Close(errStopping)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ports[p.slotKey] == p {
		delete(s.ports, p.slotKey)
		s.Refresh()
	}
}

func (s *Switch) port(k slotKey) *port {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.ports[k]
}

// port is the switch's end of a node's stream.
type port struct {
	slotKey
	claimant
	s       *Switch
	addr    ipmb.Addr
	epoch   uint64
	name    string
	outbox  []byte
	console bool // its node serves one when called
	link    *link.Link[v1.AttachResponse, v1.AttachRequest]
	events  chan *v1.EventBatch
	air     atomic.Uint32 // what a fan tray moves, as v1.Presence.airflow has it
	told    *table        // presence that the node has; owned by keepPresence
}

func (s *Switch) newPort(stream v1.Backplane_AttachServer, h *v1.NodeHello, epoch uint64) *port {
	hw := uint8(h.GetHardwareAddress())
	return &port{
		slotKey: slotKey{h.GetShelf(), hw}, claimant: claimant{string(h.GetInstance()), h.GetBoot()},
		s: s, addr: ipmb.AddrFromHW(hw), epoch: epoch, name: h.GetName(), outbox: h.GetOutbox(), console: h.GetConsole(),
		link:   link.New(stream, link.Replica, s.wg.Go),
		events: make(chan *v1.EventBatch, maxEventBatches),
	}
}

// fullAir is all that a fan tray can move, in per cent.
const fullAir = 100

// handle takes one message of the node.
func (p *port) handle(m *v1.AttachRequest) error {
	switch k := m.GetKind().(type) {
	case *v1.AttachRequest_Batch:
		for _, e := range k.Batch.GetEnvelopes() {
			p.s.fromNode(p, e)
		}
	case *v1.AttachRequest_Events:
		p.takeEvents(k.Events)
	case *v1.AttachRequest_Airflow:
		p.air.Store(min(k.Airflow.GetPercent(), fullAir) + 1)
		p.s.Refresh()
	case *v1.AttachRequest_Detach:
		p.s.wg.Go(p.leave)
	default:
		p.link.Finish(refuse(refusal(v1.RefusalCode_REFUSAL_CODE_MALFORMED, "a message that has no place here")))
	}
	return nil
}

// leave releases the claim and then ends the stream: its end tells the node.
func (p *port) leave() {
	ctx, cancel := context.WithTimeout(p.s.ctx, claimTimeout)
	defer cancel()
	p.s.release(ctx, p)
	p.link.Close(link.ErrClosed)
}
