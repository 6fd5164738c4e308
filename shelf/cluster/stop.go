package cluster

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// Failed delivers the one error for which this replica stopped by itself: a
// disk that refuses writes, a damaged record, or [Cluster.Halt]. The daemon
// should print it, call Shutdown and exit.
func (c *Cluster) Failed() <-chan error { return c.failed }

// Halt stops this replica: nothing is applied, voted or committed here any
// more, and err comes out of [Cluster.Failed]. It may be called from the FSM's
// Apply, and returns at once.
func (c *Cluster) Halt(err error) {
	err = fmt.Errorf("%w: %w", ErrHalted, err)
	c.fsm.halt(err)
	c.fail(err)
}

// fail records the first failure. It never blocks: raft's own goroutines call it.
func (c *Cluster) fail(err error) {
	if !c.failing.CompareAndSwap(nil, &err) {
		return
	}
	c.cfg.Logger.Error("this replica stops", "node", c.cfg.NodeID, "error", err)
	c.fsm.halt(err)
	c.failed <- err
	close(c.broken)
}

// failure is the recorded failure, or [ErrStopped].
func (c *Cluster) failure() error {
	if p := c.failing.Load(); p != nil {
		return *p
	}
	return ErrStopped
}

// runUntilEnd owns raft's end: it comes after a failure or at the shutdown.
func (c *Cluster) runUntilEnd() {
	defer close(c.stopped)
	select {
	case <-c.broken:
	case <-c.ctx.Done():
	}
	c.mu.Lock()
	c.closing = true
	r := c.raft
	c.mu.Unlock()
	if r == nil {
		return
	}
	f := r.Shutdown()
	c.conns.cut()
	ended := make(chan error, 1)
	go func() { ended <- f.Error() }()
	select {
	case err := <-ended:
		if err != nil {
			c.cfg.Logger.Warn("raft did not stop in order", "error", err)
		}
	case <-time.After(endPatience):
		stacks := make([]byte, 1<<20)
		c.cfg.Logger.Error("raft does not stop, and is left behind", "stacks", string(stacks[:runtime.Stack(stacks, true)]))
	}
}

// endPatience is how long raft may take to stop once nothing is connected any more.
// Raft waits for all of its goroutines; one that hangs must not keep the daemon.
const endPatience = 15 * time.Second

// Shutdown stops the replica and waits for everything it started. A leader
// hands over first; calls in progress are answered. When ctx ends, the
// hand-over and the calls are waited for no longer. The second call returns
// what the first did.
func (c *Cluster) Shutdown(ctx context.Context) error {
	c.shutdown.Do(func() { c.closeErr = c.close(ctx) })
	return c.closeErr
}

func (c *Cluster) close(ctx context.Context) error {
	if c.failing.Load() == nil {
		c.handOver(ctx)
		c.drain(ctx)
	}
	c.cancel()
	c.wg.Wait()
	if c.raft == nil {
		close(c.changes) // nobody watched
	}
	return errors.Join(c.closeTransport(), c.closeStore())
}

// handOver gives the leadership to another voter, if there is one.
func (c *Cluster) handOver(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 4*c.cfg.Profile.Election)
	defer cancel()
	if l, ok := c.Leader(); !ok || l.ID != c.cfg.NodeID || !c.hasOtherVoters() {
		return
	}
	var err error
	for range handOverTries {
		if err = c.TransferLeadership(ctx, ""); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		c.cfg.Logger.Info("stopping without handing the leadership over", "error", err)
	}
}

// handOverTries is for idle connections to a peer that has restarted since:
// raft finds that out by failing once on each.
const handOverTries = 1 + poolSize

// drain refuses new calls and waits for raft's answers to those in progress.
// Raft forgets commands that are queued when it stops, so it stops after them.
func (c *Cluster) drain(ctx context.Context) {
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	done := make(chan struct{})
	go func() {
		c.inflight.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-c.broken:
	case <-ctx.Done():
	}
}

func (c *Cluster) closeTransport() error {
	type closer interface{ Close() error }
	if t, ok := c.transport.(closer); ok {
		return t.Close()
	}
	if c.cfg.Listener != nil {
		return c.cfg.Listener.Close()
	}
	return nil
}

func (c *Cluster) closeStore() error {
	if c.store == nil {
		return nil
	}
	return c.store.Close()
}
