package uplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/midplane-project/midplane/internal/link"
	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// maxRetryAfter bounds how long a refusal may make the node wait: what it says
// is only a forecast.
const maxRetryAfter = time.Second

var errRenewed = errors.New("uplink: the outbox has a new UUID")

// errKnown says that another address led to the same replica.
var errKnown = errors.New("uplink: this replica is attached by another address")

// replica is one of those that the node keeps a stream to.
type replica struct {
	u     *Uplink
	addr  string
	order int

	// Under Uplink.mu.
	name string
	way  *way // nil while there is no stream
	err  error
}

// way is an open stream to a replica that took the node's claim.
type way struct {
	r         *replica
	name      string // of the replica
	conn      link.Conn
	spawn     func(func()) // starts what ends with the stream
	link      *link.Link[v1.AttachRequest, v1.AttachResponse]
	plane     ipmb.Plane
	epoch     uint64
	lastEvent uint64
	outbox    uuid.UUID // that the hello named
	presence  *presence // under Uplink.mu; nil before the first table; replaced, not changed
}

// plane says which half of IPMB-0 a replica belongs to: they take turns.
func (r *replica) plane() ipmb.Plane { return ipmb.Plane(r.order % 2) }

// keep attaches again and again until ctx is over.
func (r *replica) keep(ctx context.Context) {
	var backoff link.Backoff
	for {
		err := r.attach(ctx, backoff.Reset)
		if ctx.Err() != nil || !r.note(err) {
			return
		}
		wait := backoff.Next()
		var refused *RefusedError
		if errors.As(err, &refused) {
			wait = max(wait, min(time.Duration(refused.Refusal.GetRetryAfterMs())*time.Millisecond, maxRetryAfter))
		}
		if !link.Sleep(ctx, wait) {
			return
		}
	}
}

// note records why a stream ended; it reports false when there must not be
// another one. What the shelf refuses, such as a slot that another node holds,
// is worth a warning, but not with each try.
func (r *replica) note(err error) bool {
	var refused *RefusedError
	if errors.As(err, &refused) && refused.final() {
		r.u.fail(err)
		return false
	}
	r.u.mu.Lock()
	defer r.u.mu.Unlock()
	level := slog.LevelDebug
	if refused != nil && refused.Refusal.GetCode() != v1.RefusalCode_REFUSAL_CODE_NO_QUORUM && (r.err == nil || r.err.Error() != err.Error()) {
		level = slog.LevelWarn
	}
	r.u.cfg.Logger.Log(context.Background(), level, "no stream to replica", "replica", r.name, "addr", r.addr, "why", err)
	r.err = err
	return !r.u.leaving && !errors.Is(err, errKnown)
}

// attach runs one stream until it ends.
func (r *replica) attach(ctx context.Context, accepted func()) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	conn, err := r.u.cfg.Dial(ctx, r.addr)
	if err != nil {
		return fmt.Errorf("uplink: dial %s: %w", r.addr, err)
	}
	defer func() { _ = conn.Close() }() // nothing can be done about a stream that is over
	stream, err := conn.Attach(ctx)
	if err != nil {
		return fmt.Errorf("uplink: attach to %s: %w", r.addr, err)
	}
	mine := r.hello()
	hello, err := r.greet(stream, mine, cancel)
	if err != nil {
		return err
	}
	accepted()
	w := &way{
		r: r, name: hello.GetReplica(), conn: conn, spawn: wg.Go, link: link.New(stream, link.Node, wg.Go), plane: r.plane(),
		epoch: hello.GetEpoch(), lastEvent: hello.GetLastEvent(), outbox: outbox(mine),
	}
	if err := r.u.up(w, hello); err != nil {
		return err
	}
	defer r.u.down(w)
	return w.link.Run(ctx, func(m *v1.AttachResponse) error { return r.u.handle(ctx, w, m) })
}

// greet exchanges hellos.
func (r *replica) greet(stream v1.Backplane_AttachClient, mine *v1.NodeHello, cancel func()) (*v1.ReplicaHello, error) {
	late := time.AfterFunc(link.HelloTimeout, cancel)
	defer late.Stop()
	if err := stream.Send(&v1.AttachRequest{Kind: &v1.AttachRequest_Hello{Hello: mine}}); err != nil {
		_, err = stream.Recv() // that is where gRPC tells why
		return nil, fmt.Errorf("uplink: greet %s: %w", r.addr, err)
	}
	m, err := stream.Recv()
	switch {
	case err != nil:
		return nil, fmt.Errorf("uplink: greet %s: %w", r.addr, err)
	case m.GetRefusal() != nil:
		return nil, &RefusedError{m.GetRefusal()}
	case m.GetHello().GetProtocol() != Protocol:
		return nil, fmt.Errorf("uplink: %s speaks protocol %d, not %d", r.addr, m.GetHello().GetProtocol(), Protocol)
	}
	return m.GetHello(), nil
}

func (r *replica) hello() *v1.NodeHello {
	c := &r.u.cfg
	h := &v1.NodeHello{
		Protocol: Protocol, Version: c.Version, Shelf: c.Shelf, HardwareAddress: uint32(c.HW),
		Instance: c.Instance[:], Boot: c.Boot, Name: c.Name, Profile: c.Profile, Api: c.API,
		DeviceId: c.DeviceID, Plane: v1.Plane(r.plane()) + v1.Plane_PLANE_A, Console: c.Console != nil,
	}
	if c.Outbox != nil {
		id := c.Outbox.UUID()
		h.Outbox = id[:]
	}
	return h
}

// outbox is the UUID that a hello names, or zeroes.
func outbox(h *v1.NodeHello) (id [16]byte) {
	copy(id[:], h.GetOutbox())
	return id
}

// up takes a stream into use.
func (u *Uplink) up(w *way, h *v1.ReplicaHello) error {
	u.mu.Lock()
	for _, r := range u.replicas {
		if r != w.r && r.way != nil && r.name == h.GetReplica() {
			u.mu.Unlock()
			return errKnown
		}
	}
	w.r.way, w.r.name, w.r.err = w, h.GetReplica(), nil
	u.look()
	u.mu.Unlock()
	u.cfg.Logger.Debug("attached", "replica", h.GetReplica(), "plane", w.plane, "epoch", w.epoch)
	u.learn(h.GetReplicas())
	u.blow(w)
	u.heardLeader(h.GetReplica(), h.GetLeader())
	u.wayChanged()
	return nil
}

// down takes a stream out of use.
func (u *Uplink) down(w *way) {
	w.link.Close(link.ErrClosed)
	u.mu.Lock()
	if w.r.way == w {
		w.r.way = nil
	}
	u.look()
	u.mu.Unlock()
	u.wayChanged()
}

// wayChanged has what is pending at 0x20 sent again: it may have gone under
// with a stream, or have waited for one.
func (u *Uplink) wayChanged() {
	u.kick()
	u.cfg.WaysChanged()
	u.mu.Lock()
	term, leader, any := u.term.Load(), u.leader, len(u.view.Load().live) > 0
	u.mu.Unlock()
	if any && leader != "" {
		u.cfg.LeaderChanged(term, leader)
	}
}
