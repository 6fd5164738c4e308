package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/deploy/lab"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/sel"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// followPause is how long a follower waits before it looks for a replica again.
const followPause = 200 * time.Millisecond

// stampLayout is how a log's times are printed.
const stampLayout = "2006-01-02 15:04:05"

// eventView is one entry of a shelf's event log.
type eventView struct {
	ID        uint64    `json:"id"`
	Committed time.Time `json:"committed"`
	Seen      time.Time `json:"seen,omitzero"` // by the controller that told
	Source    string    `json:"source"`
	Speaker   string    `json:"speaker"` // controller, guest, session, api
	Text      string    `json:"text"`
	Record    string    `json:"record"`        // 16 bytes in hex
	SEL       uint16    `json:"sel,omitempty"` // record id in the shelf's SEL, while it is there

	record sel.Record
}

func (a *app) eventsVerb() *cobra.Command {
	var follow bool
	var last int
	cmd := &cobra.Command{
		Use:               "events [TARGET]",
		Short:             "Show the shelf's event log",
		Long:              "Show the shelf's event log, or what one controller and its guest told it.",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withShelf(func(l *lab.Lab, rs replicas) error {
				from, err := source(l, args)
				if err != nil {
					return err
				}
				old, err := rs.eventsAfter(cmd.Context(), &v1.ListEventsRequest{Shelf: l.Name, Address: uint32(from)})
				if err != nil {
					return err
				}
				old = tail(old, last)
				if !follow {
					return a.print(old, func(t *table) { eventTable(t, old) })
				}
				return a.followEvents(cmd.Context(), l, rs, from, old)
			})
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what happens, until interrupted")
	cmd.Flags().IntVarP(&last, "last", "n", 0, "only the last `N`")
	return cmd
}

// withShelf runs f with all replicas of the shelf that the flags mean.
func (a *app) withShelf(f func(*lab.Lab, replicas) error) error {
	l, err := a.lab()
	if err != nil {
		return err
	}
	rs, err := dialReplicas(l)
	if err != nil {
		return err
	}
	defer rs.close()
	return f(l, rs)
}

// source reads the optional TARGET whose events are wanted; 0: all.
func source(l *lab.Lab, args []string) (ipmb.Addr, error) {
	if len(args) == 0 {
		return 0, nil
	}
	t, err := l.ResolveTarget(args[0])
	return t.Addr, err
}

// tail keeps the last n, or all.
func tail[T any](all []T, n int) []T {
	if n <= 0 || n >= len(all) {
		return all
	}
	return all[len(all)-n:]
}

// eventsAfter reads the log as the best informed replica has it.
func (rs replicas) eventsAfter(ctx context.Context, r *v1.ListEventsRequest) ([]eventView, error) {
	all := rs.slots(ctx, r.Shelf)
	best := newest(all)
	if best == nil {
		return nil, silent(all)
	}
	out := []eventView{}
	err := best.from.readEvents(ctx, r, func(e eventView) error {
		out = append(out, e)
		return nil
	})
	return out, best.from.explain(err)
}

// readEvents calls f for every event until the stream ends.
func (d daemon) readEvents(ctx context.Context, r *v1.ListEventsRequest, f func(eventView) error) error {
	stream, err := d.shelf().ListEvents(ctx, r)
	if err != nil {
		return err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range m.Events {
			if err := f(eventOf(e)); err != nil {
				return err
			}
		}
	}
}

// follow calls f for every event after an id until ctx ends. It changes to
// another replica when one ends or falls silent; no event is told twice.
func (rs replicas) follow(ctx context.Context, r *v1.ListEventsRequest, f func(eventView) error) error {
	var failed error
	for ctx.Err() == nil && failed == nil {
		if best := newest(rs.slots(ctx, r.Shelf)); best != nil {
			watched, stop := best.from.watch(ctx)
			_ = best.from.readEvents(watched, r, func(e eventView) error { // how a stream ended does not matter: the next begins after it
				r.After, failed = e.ID, f(e)
				return failed
			})
			stop()
		}
		select {
		case <-ctx.Done():
		case <-time.After(followPause):
		}
	}
	return failed
}

// watch gives a context that ends when the daemon no longer answers: one that
// is stopped keeps its streams open.
func (d daemon) watch(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		for ctx.Err() == nil {
			asked, done := context.WithTimeout(ctx, askLimit)
			_, err := d.cluster().Status(asked, &v1.ClusterStatusRequest{})
			done()
			if err != nil {
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(askLimit):
			}
		}
	}()
	return ctx, cancel
}

func (a *app) followEvents(ctx context.Context, l *lab.Lab, rs replicas, from ipmb.Addr, old []eventView) error {
	show := func(e eventView) error { return a.emit(e, e.line()) }
	r := &v1.ListEventsRequest{Shelf: l.Name, Address: uint32(from), Follow: true}
	for _, e := range old {
		r.After = e.ID
		if err := show(e); err != nil {
			return err
		}
	}
	return rs.follow(ctx, r, show)
}

func eventOf(e *v1.EventEntry) eventView {
	v := eventView{
		ID: e.Id, Committed: moment(e.Committed).UTC(), Seen: moment(e.OriginTime).UTC(),
		Source: ipmb.Addr(e.Source).String(), Speaker: speaker(e.Speaker), Record: fmt.Sprintf("%x", e.Record),
		SEL: uint16(e.SelRecord),
	}
	record, err := sel.Parse(e.Record)
	if err != nil {
		v.Text = err.Error()
		return v
	}
	v.record, v.Text = record, sel.Describe(record)
	return v
}

func speaker(s v1.Speaker) string {
	switch s {
	case v1.Speaker_SPEAKER_CONTROLLER:
		return "controller"
	case v1.Speaker_SPEAKER_GUEST:
		return "guest"
	case v1.Speaker_SPEAKER_SESSION:
		return "session"
	case v1.Speaker_SPEAKER_API:
		return "api"
	}
	return "unknown"
}

func eventTable(t *table, all []eventView) {
	t.header = []string{"ID", "COMMITTED (UTC)", "SOURCE", "SPEAKER", "EVENT"}
	for _, e := range all {
		t.row(e.ID, e.Committed.Format(stampLayout), e.Source, e.Speaker, e.Text)
	}
}

func (e eventView) line() string {
	return fmt.Sprintf("%-6d %s  %s  %-10s  %s", e.ID, e.Committed.Format(stampLayout), e.Source, e.Speaker, e.Text)
}
