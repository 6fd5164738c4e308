package backplane

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/midplane-project/midplane/internal/link"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// relayLink is the calling end of a stream between replicas.
type relayLink = link.Link[v1.RelayRequest, v1.RelayResponse]

// peer is another replica, as we call it: frames, claims and events go to it,
// and only answers to claims and events come back.
type peer struct {
	s          *Switch
	name, addr string
	cancel     context.CancelFunc
	link       atomic.Pointer[relayLink] // nil while there is no stream
	told       presenceOf                // what the peer knows of us; owned by keepPresence
	toldOn     *relayLink                // the stream on which it was told

	mu      sync.Mutex
	next    uint64
	pending map[uint64]chan *v1.RelayResponse // by request id
}

func (s *Switch) peer(name string) *peer {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.peers[name]
}

// Connected reports whether there is a stream to another replica.
func (s *Switch) Connected(name string) bool {
	p := s.peer(name)
	return p != nil && p.link.Load() != nil
}

// meetPeers starts calling replicas that are new, and stops calling those that
// are gone or have moved.
func (s *Switch) meetPeers(list []*v1.ReplicaAddress) {
	want := make(map[string]string, len(list))
	for _, r := range list {
		if r.GetName() != s.cfg.Replica {
			want[r.GetName()] = r.GetAddress()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, p := range s.peers {
		if want[name] != p.addr {
			p.cancel()
			delete(s.peers, name)
		}
	}
	for name, addr := range want {
		if s.peers[name] == nil && s.ctx.Err() == nil {
			s.peers[name] = s.newPeer(name, addr)
		}
	}
}

func (s *Switch) newPeer(name, addr string) *peer {
	ctx, cancel := context.WithCancel(s.ctx)
	p := &peer{
		s: s, name: name, addr: addr, cancel: cancel,
		pending: make(map[uint64]chan *v1.RelayResponse),
	}
	s.wg.Go(func() { p.keepCalling(ctx) })
	return p
}

func (p *peer) keepCalling(ctx context.Context) {
	var backoff link.Backoff
	for {
		err := p.call(ctx, backoff.Reset)
		p.s.cfg.Logger.Debug("stream to replica ended", "replica", p.name, "why", err)
		if !link.Sleep(ctx, backoff.Next()) {
			return
		}
	}
}

// call runs one stream to the peer until it ends.
func (p *peer) call(ctx context.Context, connected func()) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	conn, err := p.s.cfg.Dial(ctx, p.addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // nothing can be done about a stream that is over
	stream, err := conn.Relay(ctx)
	if err != nil {
		return err
	}
	if err := p.greet(stream, cancel); err != nil {
		return err
	}
	connected()
	l := link.New(stream, link.RelayCaller, wg.Go)
	p.link.Store(l)
	defer p.hangUp()
	p.s.Refresh()
	return l.Run(ctx, p.handle)
}

func (p *peer) greet(stream v1.Backplane_RelayClient, cancel func()) error {
	late := time.AfterFunc(link.HelloTimeout, cancel)
	defer late.Stop()
	h := &v1.RelayHello{Protocol: Protocol, Replica: p.s.cfg.Replica, Version: p.s.cfg.Version}
	if err := stream.Send(&v1.RelayRequest{Kind: &v1.RelayRequest_Hello{Hello: h}}); err != nil {
		return err
	}
	m, err := stream.Recv()
	if err != nil {
		return err
	}
	if name := m.GetHello().GetReplica(); name != p.name {
		return fmt.Errorf("backplane: %s answers as replica %q, not %q", p.addr, name, p.name)
	}
	return nil
}

// hangUp ends all waiting for answers of a stream that is over.
func (p *peer) hangUp() {
	p.link.Store(nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.pending {
		close(c)
	}
	clear(p.pending)
}

// handle takes the peer's answers; one that nobody waits for any more is late.
func (p *peer) handle(m *v1.RelayResponse) error {
	id := m.GetClaim().GetRequest() + m.GetEventAck().GetRequest() // one of them is there
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.pending[id]; c != nil {
		c <- m
		delete(p.pending, id)
	}
	return nil
}

// claim asks the peer, as leader, for a claim or its release; nil: no answer.
func (p *peer) claim(ctx context.Context, c *v1.RelayClaim) *v1.RelayClaimAnswer {
	return p.ask(ctx, func(id uint64) *v1.RelayRequest {
		c.Request = id
		return &v1.RelayRequest{Kind: &v1.RelayRequest_Claim{Claim: c}}
	}).GetClaim()
}

// logEvents brings a run of events to the peer as leader; nil: not committed,
// as far as we know.
func (p *peer) logEvents(ctx context.Context, run *v1.RelayEvents) *v1.EventAck {
	return p.ask(ctx, func(id uint64) *v1.RelayRequest {
		run.Request = id
		return &v1.RelayRequest{Kind: &v1.RelayRequest_Events{Events: run}}
	}).GetEventAck().GetAck()
}

// ask sends the request that build makes and waits for its answer; nil when
// the stream or ctx ends first.
func (p *peer) ask(ctx context.Context, build func(id uint64) *v1.RelayRequest) *v1.RelayResponse {
	answer := make(chan *v1.RelayResponse, 1)
	p.mu.Lock()
	l := p.link.Load()
	if l == nil {
		p.mu.Unlock()
		return nil
	}
	p.next++
	id := p.next
	p.pending[id] = answer
	p.mu.Unlock()
	defer p.forget(id)
	l.Send(build(id))
	select {
	case a := <-answer:
		return a
	case <-ctx.Done():
		return nil
	}
}

func (p *peer) forget(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pending, id)
}
