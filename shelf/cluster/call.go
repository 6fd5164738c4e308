package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// enter lets one call use raft; leave must follow when raft has answered.
func (c *Cluster) enter() (*raft.Raft, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closing {
		return nil, &errRefused{c.failure()}
	}
	if c.raft == nil {
		return nil, &errRefused{ErrNotReady}
	}
	c.inflight.Add(1)
	return c.raft, nil
}

func (c *Cluster) leave() { c.inflight.Done() }

// errRefused says that raft was never asked.
type errRefused struct{ cause error }

func (e *errRefused) Error() string { return e.cause.Error() }
func (e *errRefused) Unwrap() error { return e.cause }

// errUnanswered says that the wait ended before raft's answer.
type errUnanswered struct{ cause error }

func (e *errUnanswered) Error() string { return "no answer yet: " + e.cause.Error() }
func (e *errUnanswered) Unwrap() error { return e.cause }

// call submits one request to raft and waits for the answer, or until ctx
// ends, or raft does. Only with a nil error may the future be read.
func call[F raft.Future](ctx context.Context, c *Cluster, submit func(*raft.Raft) F) (F, error) {
	var zero F
	r, err := c.enter()
	if err != nil {
		return zero, err
	}
	type answer struct {
		f   F
		err error
	}
	done := make(chan answer, 1)
	go func() {
		defer c.leave()
		f := submit(r)
		done <- answer{f, f.Error()}
	}()
	select {
	case a := <-done:
		return a.f, a.err
	case <-ctx.Done():
		return zero, &errUnanswered{context.Cause(ctx)}
	case <-c.stopped:
		return zero, &errUnanswered{c.failure()}
	}
}

// Apply commits one command and returns the FSM's response and the command's
// index in the log. Many callers at once share messages and syncs.
//
// *[ErrNotLeader]: nothing was done. *[ErrAmbiguous]: the outcome is unknown.
// A response that is an error is the FSM's own and comes as the response.
func (c *Cluster) Apply(ctx context.Context, cmd []byte) (response any, index uint64, err error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	f, err := call(ctx, c, func(r *raft.Raft) raft.ApplyFuture {
		return r.Apply(cmd, timeLeft(ctx))
	})
	if err != nil {
		return nil, 0, c.writeError(err)
	}
	if h, ok := f.Response().(haltedResponse); ok {
		return nil, 0, &ErrAmbiguous{Cause: h.err}
	}
	return f.Response(), f.Index(), nil
}

// timeLeft is the time until ctx's deadline as raft takes it: 0 is for ever.
func timeLeft(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	return max(time.Until(deadline), time.Nanosecond)
}

// writeError maps raft's error for a command that should have been committed.
func (c *Cluster) writeError(err error) error {
	var refused *errRefused
	switch {
	case errors.As(err, &refused):
		return refused.cause
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return c.notLeader()
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return fmt.Errorf("cluster: not submitted, the leader is too busy: %w", context.DeadlineExceeded)
	}
	return &ErrAmbiguous{Cause: err}
}

// readError maps raft's error for a call that changes nothing by itself.
func (c *Cluster) readError(what string, err error) error {
	var refused *errRefused
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return refused.cause
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost),
		errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return c.notLeader()
	case errors.Is(err, raft.ErrRaftShutdown):
		return c.failure()
	}
	return fmt.Errorf("cluster: %s: %w", what, err)
}

func (c *Cluster) notLeader() error {
	l, _ := c.Leader()
	if l.ID == c.cfg.NodeID {
		l = Leader{}
	}
	return &ErrNotLeader{Leader: l}
}

// Barrier waits until everything committed before it has been applied here.
// Only the leader can.
func (c *Cluster) Barrier(ctx context.Context) error {
	_, err := call(ctx, c, func(r *raft.Raft) raft.Future { return r.Barrier(timeLeft(ctx)) })
	return c.readError("barrier", err)
}
