package backplane

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// maxServing bounds the requests that the shelf manager works on at once.
const maxServing = 512

// slotKey names a slot of the cluster: two shelves may have equal addresses.
type slotKey struct {
	shelf string
	hw    uint8
}

// Switch is the IPMB switch of one replica. It implements Attach, Relay and ServeConsole of
// [v1.BackplaneServer]; Status and Join are the replica's, which embeds it.
type Switch struct {
	v1.UnimplementedBackplaneServer
	cfg     Config
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	counts  counters
	serving chan struct{} // one slot for each request at the shelf manager
	kicked  chan struct{} // one slot: the view changed
	tables  atomic.Pointer[map[string]*table]
	view    viewer // owned by the goroutine that keeps presence
	calls   consoleCalls

	mu      sync.RWMutex
	closed  bool
	ports   map[slotKey]*port
	peers   map[string]*peer   // replicas that we call, by name
	callers map[string]*caller // replicas that call us, by name
}

// New makes a switch and starts its work: the calls to the other replicas and
// the presence table. Close ends it.
func New(cfg Config) *Switch {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Switch{
		cfg: cfg.withDefaults(), ctx: ctx, cancel: cancel,
		serving: make(chan struct{}, maxServing), kicked: make(chan struct{}, 1),
		ports: make(map[slotKey]*port), peers: make(map[string]*peer), callers: make(map[string]*caller),
	}
	s.tables.Store(&map[string]*table{})
	s.view = newViewer(time.Now())
	s.wg.Go(s.keepPresence)
	return s
}

// Close ends all streams and waits for the switch's goroutines.
func (s *Switch) Close() {
	s.mu.Lock()
	s.closed = true
	for _, p := range s.ports {
		p.link.Close(errStopping)
	}
	for _, c := range s.callers {
		c.link.Close(errStopping)
	}
	s.mu.Unlock()
	s.cancel()
	s.wg.Wait()
}

// enter counts a stream's handler in; it fails when the switch is closed.
func (s *Switch) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.wg.Add(1)
	return true
}

// Refresh makes the switch look at the replicated state again: call it when a
// claim changed. Streams of claims that are over end.
func (s *Switch) Refresh() {
	select {
	case s.kicked <- struct{}{}:
	default:
	}
}

// leads gives the term in which this replica leads.
func (s *Switch) leads() (term uint64, ok bool) {
	term, leader := s.cfg.Leader()
	return term, leader != "" && leader == s.cfg.Replica
}

// LeaderChanged announces a leader on all streams of nodes. It is on its way
// before any frame that the leader sends afterwards.
func (s *Switch) LeaderChanged(term uint64, leader string) {
	n := &v1.AttachResponse{Kind: &v1.AttachResponse_Leader{Leader: &v1.LeaderNotice{Term: term, Leader: leader}}}
	for _, p := range s.attached() {
		p.link.Send(n)
	}
	s.Refresh()
}

// Announced waits until every node that is attached has read what was sent to
// it so far, or its stream has ended, or ctx is over: a new leader that waits
// here after LeaderChanged knows that its predecessor is fenced off.
func (s *Switch) Announced(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, p := range s.attached() {
		wg.Go(func() { _ = p.link.Confirm(ctx) }) // a stream that ended needs no fence
	}
	wg.Wait()
	return ctx.Err()
}

// attached lists the ports.
func (s *Switch) attached() []*port {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]*port, 0, len(s.ports))
	for _, p := range s.ports {
		out = append(out, p)
	}
	return out
}
