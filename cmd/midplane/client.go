package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/midplane-project/midplane/deploy/lab"
	"github.com/midplane-project/midplane/internal/problem"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

const (
	// askLimit bounds a question that a daemon answers at once: one that is
	// stopped takes connections and never answers.
	askLimit = 1500 * time.Millisecond
	// leaderLimit is how long a command waits for an election that is under way.
	leaderLimit = 5 * time.Second
	leaderPause = 100 * time.Millisecond
)

// toStart is what to do about a daemon that does not run.
const toStart = "midplane ps shows what runs; midplane up starts what is missing"

// daemon is a connection to one daemon's API. Nothing is connected before the
// first call.
type daemon struct {
	lab.Endpoint
	lab  *lab.Lab
	conn *grpc.ClientConn
}

func dial(l *lab.Lab, e lab.Endpoint) (daemon, error) {
	conn, err := e.Dial()
	return daemon{e, l, conn}, err
}

// dialNode connects to a node.
func dialNode(l *lab.Lab, name string) (daemon, error) { return dial(l, l.NodeAPI(name)) }

func (d daemon) node() v1.NodeClient       { return v1.NewNodeClient(d.conn) }
func (d daemon) shelf() v1.ShelfClient     { return v1.NewShelfClient(d.conn) }
func (d daemon) cluster() v1.ClusterClient { return v1.NewClusterClient(d.conn) }

// explain makes what a call returned an error that people can use: a daemon
// that is not there is told apart from one that refused.
func (d daemon) explain(err error) error {
	if err == nil {
		return nil
	}
	s := status.Convert(err)
	e := &problem.Error{Where: d.Unix, Why: errors.New(s.Message())}
	switch {
	case s.Code() == codes.Unavailable && d.conn.GetState() != connectivity.Ready:
		e.Code, e.What, e.Why, e.Do = problem.Unavailable, d.Name+" does not answer", errors.New(brief(s.Message())), toStart
	case s.Code() == codes.DeadlineExceeded:
		e.Code, e.What = problem.Timeout, d.Name+" gave no answer in time"
	default:
		return &problem.Error{Code: codeOf(err), What: d.Name, Why: e.Why}
	}
	if what, do := d.lab.Trouble(d.Endpoint); what != "" {
		e.Why, e.Do = errors.New(what), do
	}
	return e
}

// replicas are connections to all the replicas of a shelf.
type replicas []daemon

func dialReplicas(l *lab.Lab) (replicas, error) {
	var rs replicas
	for _, e := range l.ReplicaAPIs() {
		d, err := dial(l, e)
		if err != nil {
			rs.close()
			return nil, err
		}
		rs = append(rs, d)
	}
	return rs, nil
}

func (rs replicas) close() {
	for _, r := range rs {
		_ = r.conn.Close() // nothing was left to be sent
	}
}

// answer is what one daemon said.
type answer[T any] struct {
	from  daemon
	value T
	err   error
}

// askAll asks all daemons at once and waits for each at most askLimit. The
// answers are in the order of the daemons.
func askAll[T any](ctx context.Context, ds []daemon, ask func(context.Context, daemon) (T, error)) []answer[T] {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	out := make([]answer[T], len(ds))
	done := make(chan struct{})
	for i, d := range ds {
		go func() {
			v, err := ask(ctx, d)
			out[i] = answer[T]{d, v, err}
			done <- struct{}{}
		}()
	}
	for range ds {
		<-done
	}
	return out
}

// slots asks every replica for the slots.
func (rs replicas) slots(ctx context.Context, shelf string) []answer[*v1.ListSlotsResponse] {
	return askAll(ctx, rs, func(ctx context.Context, d daemon) (*v1.ListSlotsResponse, error) {
		return d.shelf().ListSlots(ctx, &v1.ListSlotsRequest{Shelf: shelf})
	})
}

// settled is slots, but asks again those who answered if the leader did not:
// while it was waited for, they may have elected another.
func (rs replicas) settled(ctx context.Context, shelf string) []answer[*v1.ListSlotsResponse] {
	all := rs.slots(ctx, shelf)
	best := newest(all)
	if best == nil || best.value.Leader == best.from.Name {
		return all
	}
	for i, a := range all {
		if a.err == nil {
			all[i] = rs[i:i+1].slots(ctx, shelf)[0]
		}
	}
	return all
}

// newest picks the view of the shelf with the highest term, and of equal ones
// the leader's own; nil when nobody answered. When it is not the leader's own,
// the leader that it names is gone or stands still.
func newest(all []answer[*v1.ListSlotsResponse]) *answer[*v1.ListSlotsResponse] {
	var best *answer[*v1.ListSlotsResponse]
	for i := range all {
		a := &all[i]
		switch {
		case a.err != nil:
		case best == nil, a.value.Term > best.value.Term,
			a.value.Term == best.value.Term && a.value.Leader == a.from.Name:
			best = a
		}
	}
	return best
}

// leader finds the replica that leads, and waits a while for an election.
func (rs replicas) leader(ctx context.Context, shelf string) (daemon, error) {
	until := time.Now().Add(leaderLimit)
	for {
		all := rs.slots(ctx, shelf)
		best := newest(all)
		if best == nil {
			return daemon{}, silent(all)
		}
		if best.value.Leader == best.from.Name {
			return best.from, nil
		}
		if time.Now().After(until) || ctx.Err() != nil {
			return daemon{}, &problem.Error{
				Code: problem.Unavailable, What: "shelf " + shelf + " has no leader",
				Why: errors.New("a majority of its replicas must run and reach each other"),
				Do:  "midplane cluster shows who answers; midplane up starts what is missing",
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(leaderPause):
		}
	}
}

// silent is the error when no replica answered as it should.
func silent[T any](all []answer[T]) error {
	for _, a := range all {
		if code := status.Code(a.err); code != codes.Unavailable && code != codes.DeadlineExceeded {
			return a.from.explain(a.err)
		}
	}
	e := &problem.Error{
		Code: problem.Unavailable, What: "no replica of the shelf answers",
		Do: toStart,
	}
	for _, a := range all {
		e.Where, e.Why = a.from.Unix, errors.New(brief(status.Convert(a.err).Message()))
	}
	return e
}

// withLeader runs f with the leading replica of the shelf that the flags mean.
func (a *app) withLeader(ctx context.Context, f func(*lab.Lab, daemon) error) error {
	l, err := a.lab()
	if err != nil {
		return err
	}
	rs, err := dialReplicas(l)
	if err != nil {
		return err
	}
	defer rs.close()
	d, err := rs.leader(ctx, l.Name)
	if err != nil {
		return err
	}
	return f(l, d)
}

// withNode runs f with the node that target names.
func (a *app) withNode(target string, f func(daemon) error) error {
	l, err := a.lab()
	if err != nil {
		return err
	}
	t, err := l.ResolveNode(target)
	if err != nil {
		return err
	}
	d, err := dialNode(l, t.Name)
	if err != nil {
		return err
	}
	defer d.conn.Close()
	return f(d)
}

// brief is the last and most telling part of a chain of causes.
func brief(text string) string {
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:]
	}
	return strings.Trim(text, `"`)
}

// ago tells how long ago a moment was, in a word; "" when it is not known.
func ago(at, now time.Time) string {
	d := now.Sub(at)
	switch {
	case at.IsZero():
		return ""
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(max(d, 0).Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}

// moment reads nanoseconds since 1970; 0 is no time.
func moment(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}
