package main

import (
	"context"
	"errors"
	"time"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// tourLog follows the shelf's event log from a moment on, whatever becomes of
// the replicas meanwhile.
type tourLog struct {
	open    replicas
	stop    context.CancelFunc
	done    chan struct{}
	arrived chan eventView
	shelf   string
	last    uint64          // id of the newest event that await has taken
	take    func(eventView) // called by await for every event
}

// openTourLog begins after the newest event.
func openTourLog(ctx context.Context, t *tour) (*tourLog, error) {
	rs, err := dialReplicas(t.lab)
	if err != nil {
		return nil, err
	}
	r := &v1.ListEventsRequest{Shelf: t.lab.Name}
	old, err := rs.eventsAfter(ctx, r)
	if err != nil {
		rs.close()
		return nil, err
	}
	r = &v1.ListEventsRequest{Shelf: t.lab.Name, Follow: true}
	if len(old) > 0 {
		r.After = old[len(old)-1].ID
	}
	l := &tourLog{open: rs, shelf: t.lab.Name, last: r.After, done: make(chan struct{}), arrived: make(chan eventView)}
	ctx, l.stop = context.WithCancel(ctx)
	go func() {
		defer close(l.done)
		_ = rs.follow(ctx, r, func(e eventView) error { // it ends with ctx
			select {
			case l.arrived <- e:
			case <-ctx.Done():
			}
			return ctx.Err()
		})
	}()
	return l, nil
}

func (l *tourLog) close() {
	l.stop()
	<-l.done
	l.open.close()
}

// errLate says that the log lacks what was told it.
var errLate = errors.New("the shelf's log lacks what it was told")

// await takes events until enough says so, which is asked after each of them
// and when wake is closed.
func (l *tourLog) await(limit time.Duration, wake <-chan struct{}, enough func() bool) error {
	late := time.After(limit)
	for !enough() {
		select {
		case e := <-l.arrived:
			l.last = e.ID
			l.take(e)
		case <-wake:
			wake = nil
		case <-l.done:
			return context.Canceled
		case <-late:
			return errLate
		}
	}
	return nil
}

// settle takes all that is in the log now: what there is too much of would
// come last.
func (l *tourLog) settle(ctx context.Context, limit time.Duration) error {
	rest, err := l.open.eventsAfter(ctx, &v1.ListEventsRequest{Shelf: l.shelf, After: l.last})
	if err != nil || len(rest) == 0 {
		return err
	}
	end := rest[len(rest)-1].ID
	return l.await(limit, nil, func() bool { return l.last >= end })
}
