package uplink

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Uplink holds a node's streams. It is an [ipmb.Bus].
type Uplink struct {
	cfg    Config
	self   ipmb.Addr
	view   atomic.Pointer[view] // what Send goes by
	term   atomic.Uint64        // the highest in which a leader was heard of
	counts [drops]atomic.Uint64 // what was not delivered
	fatal  chan error           // one slot: why the node must stop
	kicked chan struct{}        // one slot: the event pump has something to look at
	ack    atomic.Pointer[ack]
	blows  atomic.Uint32 // per cent that a fan tray moves, plus one; 0: this is none

	mu       sync.Mutex
	run      context.Context // nil while not running
	wg       sync.WaitGroup
	leaving  bool
	leader   string
	replicas []*replica // in order
}

// New makes an uplink; Run sets it to work.
func New(cfg Config) *Uplink {
	u := &Uplink{
		cfg: cfg.withDefaults(), self: ipmb.AddrFromHW(cfg.HW),
		fatal: make(chan error, 1), kicked: make(chan struct{}, 1),
	}
	u.view.Store(&view{})
	for _, r := range cfg.Replicas {
		u.replicas = append(u.replicas, &replica{u: u, addr: r.Addr, name: r.Name, order: len(u.replicas)})
	}
	return u
}

// Run keeps a stream to every replica until ctx is over, or until a later
// start of the same node has taken its place, which is a *RefusedError.
func (u *Uplink) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	u.mu.Lock()
	u.run = ctx
	for _, r := range u.replicas {
		u.wg.Go(func() { r.keep(ctx) })
	}
	u.mu.Unlock()
	if u.cfg.Outbox != nil {
		u.wg.Go(func() { u.pump(ctx) })
	}
	var err error
	select {
	case err = <-u.fatal:
	case <-ctx.Done():
	}
	cancel()
	u.mu.Lock()
	u.run = nil
	u.mu.Unlock()
	u.wg.Wait()
	return err
}

// fail ends Run; the first reason counts.
func (u *Uplink) fail(err error) {
	select {
	case u.fatal <- err:
	default:
	}
}

// learn takes the list of replicas that one of them sent. Those that are new
// come after the others, in the list's order.
func (u *Uplink) learn(list []*v1.ReplicaAddress) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, a := range list {
		known := slices.ContainsFunc(u.replicas, func(r *replica) bool {
			return r.addr == a.GetAddress() || r.name == a.GetName()
		})
		if known || u.run == nil || a.GetAddress() == "" {
			continue
		}
		r := &replica{u: u, addr: a.GetAddress(), name: a.GetName(), order: len(u.replicas)}
		u.replicas = append(u.replicas, r)
		ctx := u.run
		u.wg.Go(func() { r.keep(ctx) })
	}
}

// heardLeader takes a notice of the replica named from. Terms in which nobody
// was elected say nothing: a replica that is cut off may count them up as it
// likes. What the leader says of itself always counts as news: others may have
// announced it before it was ready to answer.
func (u *Uplink) heardLeader(from string, n *v1.LeaderNotice) {
	if n.GetLeader() == "" {
		return
	}
	u.mu.Lock()
	term := u.term.Load()
	changed := n.GetTerm() > term || n.GetTerm() == term && n.GetLeader() != u.leader
	if changed {
		u.term.Store(n.GetTerm())
		u.leader = n.GetLeader()
		u.look()
	}
	u.mu.Unlock()
	if changed || n.GetTerm() == term && n.GetLeader() == from {
		u.cfg.LeaderChanged(n.GetTerm(), n.GetLeader())
		u.kick()
	}
}

// fence admits a frame from 0x20 unless a later leader was heard of.
func (u *Uplink) fence(term uint64) bool {
	if known := u.term.Load(); term <= known {
		return term == known
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if term > u.term.Load() { // its name will come with a notice
		u.term.Store(term)
		u.leader = ""
		u.look()
	}
	return term == u.term.Load()
}

// Leave gives the slot up for good, and waits until the shelf knows, or ctx is
// over. Run should be ended afterwards.
func (u *Uplink) Leave(ctx context.Context) error {
	u.mu.Lock()
	u.leaving = true
	w := u.view.Load().toManager()
	u.mu.Unlock()
	if w == nil {
		return nil
	}
	w.link.Send(&v1.AttachRequest{Kind: &v1.AttachRequest_Detach{Detach: &v1.Detach{}}})
	select {
	case <-w.link.Done():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("uplink: leave shelf %s: %w", u.cfg.Shelf, ctx.Err())
	}
}

func (u *Uplink) kick() {
	select {
	case u.kicked <- struct{}{}:
	default:
	}
}
