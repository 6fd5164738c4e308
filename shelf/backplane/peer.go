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

	mu     sync.Mutex
	next   uint64
	claims map[uint64]chan *v1.RelayClaimAnswer
	acks   map[slotKey]chan *v1.EventAck // a node has one run on its way at most
}

func (s *Switch) peer(name string) *peer {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.peers[name]
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
		claims: make(map[uint64]chan *v1.RelayClaimAnswer), acks: make(map[slotKey]chan *v1.EventAck),
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
	for _, c := range p.claims {
		close(c)
	}
	for _, c := range p.acks {
		close(c)
	}
	clear(p.claims)
	clear(p.acks)
}

// handle takes the peer's answers.
func (p *peer) handle(m *v1.RelayResponse) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch k := m.GetKind().(type) {
	case *v1.RelayResponse_Claim:
		if c := p.claims[k.Claim.GetRequest()]; c != nil {
			c <- k.Claim
			delete(p.claims, k.Claim.GetRequest())
		}
	case *v1.RelayResponse_EventAck:
		key := slotKey{k.EventAck.GetShelf(), uint8(k.EventAck.GetHardwareAddress())}
		if c := p.acks[key]; c != nil {
			c <- k.EventAck.GetAck()
			delete(p.acks, key)
		}
	}
	return nil
}

// claim asks the peer, as leader, for a claim or its release; nil: no answer.
func (p *peer) claim(ctx context.Context, c *v1.RelayClaim) *v1.RelayClaimAnswer {
	answer := make(chan *v1.RelayClaimAnswer, 1)
	p.mu.Lock()
	l := p.link.Load()
	if l == nil {
		p.mu.Unlock()
		return nil
	}
	p.next++
	c.Request = p.next
	p.claims[c.Request] = answer
	p.mu.Unlock()
	defer p.forget(func() { delete(p.claims, c.Request) })
	l.Send(&v1.RelayRequest{Kind: &v1.RelayRequest_Claim{Claim: c}})
	return await(ctx, answer)
}

// logEvents brings a run of events to the peer as leader; nil: no answer.
func (p *peer) logEvents(ctx context.Context, run *v1.RelayEvents) *v1.EventAck {
	answer := make(chan *v1.EventAck, 1)
	key := slotKey{run.GetShelf(), uint8(run.GetHardwareAddress())}
	p.mu.Lock()
	l := p.link.Load()
	if l == nil {
		p.mu.Unlock()
		return nil
	}
	p.acks[key] = answer
	p.mu.Unlock()
	defer p.forget(func() {
		if p.acks[key] == answer {
			delete(p.acks, key)
		}
	})
	l.Send(&v1.RelayRequest{Kind: &v1.RelayRequest_Events{Events: run}})
	return await(ctx, answer)
}

func (p *peer) forget(what func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	what()
}

// await gives nil when the channel is closed or ctx is over first.
func await[T any](ctx context.Context, answer <-chan *T) *T {
	select {
	case a := <-answer:
		return a
	case <-ctx.Done():
		return nil
	}
}
