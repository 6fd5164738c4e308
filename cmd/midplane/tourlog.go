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
	l := &tourLog{open: rs, done: make(chan struct{}), arrived: make(chan eventView)}
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
