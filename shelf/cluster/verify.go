package cluster

import (
	"context"
	"sync"

	"github.com/hashicorp/raft"
)

// VerifyLeader returns nil if this replica was still the leader at some moment
// after the call began, as a quorum says. Callers at the same time share one
// question; none shares one that was asked before its call.
func (c *Cluster) VerifyLeader(ctx context.Context) error {
	return c.readError("verify leadership", c.verifier.wait(ctx))
}

// verifyOnce asks the quorum once; it ends when raft answers or stops.
//
// raft takes any answer of a follower that arrives after the question, also
// one to a heartbeat sent before it. That is fresh enough as long as this
// process runs: without answers its lease ends before others elect. One that
// was stopped and goes on finds old answers in its sockets, so it asks by a
// barrier, which must be committed in this term.
func (c *Cluster) verifyOnce() error {
	if c.pulse.stopped() {
		_, err := call(context.Background(), c, func(r *raft.Raft) raft.Future { return r.Barrier(0) })
		return err
	}
	_, err := call(context.Background(), c, (*raft.Raft).VerifyLeader)
	return err
}

// verifier batches questions: while one is being asked, all new callers gather
// for the next one.
type verifier struct {
	verify func() error

	mu      sync.Mutex
	running bool
	next    *verification // not yet asked
}

type verification struct {
	done chan struct{}
	err  error // valid when done is closed
}

func (v *verifier) wait(ctx context.Context) error {
	q := v.join()
	select {
	case <-q.done:
		return q.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// join returns the next question and sees to it that somebody asks it.
func (v *verifier) join() *verification {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.next == nil {
		v.next = &verification{done: make(chan struct{})}
	}
	q := v.next
	if !v.running {
		v.running = true
		go v.run()
	}
	return q
}

// run asks until nobody waits. It ends when verify does, and so with raft.
func (v *verifier) run() {
	for q := v.take(); q != nil; q = v.take() {
		q.err = v.verify()
		close(q.done)
	}
}

func (v *verifier) take() *verification {
	v.mu.Lock()
	defer v.mu.Unlock()
	q := v.next
	v.next = nil
	v.running = q != nil
	return q
}
