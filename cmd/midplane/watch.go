package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"

	"github.com/midplane-project/midplane/deploy/lab"
	"github.com/midplane-project/midplane/internal/problem"
	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

const (
	// mergeWindow is how long an entry waits for older ones from other daemons.
	mergeWindow = 60 * time.Millisecond
	mergeTick   = 20 * time.Millisecond
	// openLimit bounds how long a daemon may take to start its stream.
	openLimit = 3 * time.Second
)

// seen is a trace entry and where it was seen.
type seen struct {
	*v1.TraceEntry
	where string // the daemon
	came  time.Time
}

// watcher merges the traces of several daemons in the order of time.
type watcher struct {
	entries chan seen
	lost    chan error // a stream that ended, or entries that were missed
	unseen  []error    // daemons that are not watched
	held    []seen
	doors   map[uint32]bool // controllers whose own doors are watched
}

// startWatch opens the streams of targets, all nodes without any; entries are
// complete from its return on. A node's doors show what its guest and its
// controller say; for the shelf the switches of its replicas are watched.
func startWatch(ctx context.Context, l *lab.Lab, targets []string) (*watcher, error) {
	points, err := watchPoints(l, targets)
	if err != nil {
		return nil, err
	}
	w := &watcher{entries: make(chan seen), lost: make(chan error, 1), doors: make(map[uint32]bool)}
	for _, p := range points {
		stream, err := p.open(ctx)
		if err != nil {
			w.unseen = append(w.unseen, p.explain(err))
			if len(targets) == 0 || p.replica { // the others are worth watching
				continue
			}
			return nil, w.unseen[0]
		}
		if !p.replica {
			w.doors[p.addr] = true
		}
		go w.pump(ctx, p, stream)
	}
	if len(w.unseen) == len(points) {
		return nil, errors.Join(w.unseen...)
	}
	return w, nil
}

// watchPoint is one daemon to watch.
type watchPoint struct {
	daemon
	replica bool
	addr    uint32 // of the controller that is wanted
	shelf   string
}

func watchPoints(l *lab.Lab, targets []string) (points []watchPoint, err error) {
	if len(targets) == 0 {
		for _, n := range l.Topology.Nodes {
			targets = append(targets, n.Name)
		}
	}
	for _, s := range targets {
		t, err := l.ResolveTarget(s)
		if err != nil {
			return nil, err
		}
		ends := l.ReplicaAPIs()
		switch {
		case t.Node != nil:
			ends = []lab.Endpoint{l.NodeAPI(t.Name)}
		case !t.Shelf:
			return nil, problem.NotFoundf("midplane trace shelf shows what the replicas switch", "%s has no node whose doors could be watched", t)
		}
		for _, e := range ends {
			d, err := dial(l, e)
			if err != nil {
				return nil, err
			}
			points = append(points, watchPoint{daemon: d, replica: t.Shelf, addr: uint32(t.Addr), shelf: l.Name})
		}
	}
	return points, nil
}

type traceStream = grpc.ServerStreamingClient[v1.TraceResponse]

// open starts the stream and waits until the daemon watches.
func (p watchPoint) open(ctx context.Context) (traceStream, error) {
	r := &v1.TraceRequest{Shelf: p.shelf}
	call := p.node().Trace
	if p.replica {
		call = p.daemon.shelf().Trace
	}
	ctx, cancel := context.WithCancel(ctx)
	late := time.AfterFunc(openLimit, cancel)
	stream, err := call(ctx, r)
	if err == nil {
		_, err = stream.Header()
	}
	if err != nil || !late.Stop() {
		cancel()
		return nil, err
	}
	return stream, nil
}

// pump hands on what one daemon sees, until its stream or ctx ends.
func (w *watcher) pump(ctx context.Context, p watchPoint, stream traceStream) {
	for {
		m, err := stream.Recv()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			w.report(ctx, fmt.Errorf("%s is no longer watched: %w", p.Name, p.explain(err)))
			return
		}
		if m.Dropped > 0 {
			w.report(ctx, fmt.Errorf("%s: %d messages were missed: too many to follow", p.Name, m.Dropped))
		}
		for _, e := range m.Entries {
			select {
			case w.entries <- seen{e, p.Name, time.Now()}:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (w *watcher) report(ctx context.Context, err error) {
	select {
	case w.lost <- err:
	case <-ctx.Done():
	}
}

// run calls show for every entry in the order of time and warn for what went
// wrong, until ctx ends or count entries were shown; a count of 0 is no limit.
func (w *watcher) run(ctx context.Context, count int, show func(seen) error, warn func(error)) error {
	for _, err := range w.unseen {
		warn(err)
	}
	tick := time.NewTicker(mergeTick)
	defer tick.Stop()
	left := count
	for {
		done := false
		select {
		case <-ctx.Done():
			done = true
		case e := <-w.entries:
			w.hold(e)
		case err := <-w.lost:
			warn(err)
		case <-tick.C:
		}
		ripe := time.Now().Add(-mergeWindow)
		if done {
			ripe = time.Now()
		}
		for _, e := range w.release(ripe) {
			if err := show(e); err != nil {
				return err
			}
			if left--; left == 0 {
				return nil
			}
		}
		if done {
			return nil
		}
	}
}

// hold keeps an entry until older ones must have come. A frame that two of the
// watched nodes see is shown once, where it left.
func (w *watcher) hold(e seen) {
	if e.Kind == v1.TraceKind_TRACE_KIND_IPMB && e.ToController && w.doors[e.Controller] {
		if f, err := ipmb.ParseFrame(e.Bytes); err == nil && w.doors[uint32(f.From)] {
			return
		}
	}
	w.held = append(w.held, e)
}

// release takes entries in the order of time, up to the first that came after
// ripe: older ones may still come.
func (w *watcher) release(ripe time.Time) (out []seen) {
	slices.SortStableFunc(w.held, func(a, b seen) int { return cmp.Compare(a.Time, b.Time) })
	i := slices.IndexFunc(w.held, func(e seen) bool { return e.came.After(ripe) })
	if i < 0 {
		i = len(w.held)
	}
	out, w.held = w.held[:i:i], w.held[i:]
	return out
}
