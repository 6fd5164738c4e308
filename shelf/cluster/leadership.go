package cluster

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
)

// Leader says who leads, as this replica knows it.
type Leader struct {
	ID, Address string
	Term        uint64
}

// Leadership is one change of this replica's own role.
type Leadership struct {
	Leader bool
	// Term is the term that was won, or the term in which it was found lost.
	Term uint64
}

// Leader returns the leader that this replica knows of; false if none.
func (c *Cluster) Leader() (Leader, bool) {
	r := c.running()
	if r == nil {
		return Leader{}, false
	}
	for {
		term := r.CurrentTerm()
		addr, id := r.LeaderWithID()
		if r.CurrentTerm() == term {
			return Leader{ID: string(id), Address: string(addr), Term: term}, id != ""
		}
	}
}

// running is raft, nil before it runs.
func (c *Cluster) running() *raft.Raft {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.raft
}

// LeadershipChanges delivers this replica's role, for one reader. Leader is
// true only after a barrier in Term: everything committed before has been
// applied, so the reader may act at once. A loss is never left out once its
// win has been delivered; a win that was lost before it was read is. The
// channel is closed at the end, which means not leader.
func (c *Cluster) LeadershipChanges() <-chan Leadership { return c.changes }

// confirmed is a win whose barrier has passed.
type confirmed struct {
	ctx  context.Context // ends when that leadership does
	term uint64
}

// watchLeadership owns the queue of changes. It reads raft's NotifyCh, which
// skips nothing, unlike LeaderCh.
func (c *Cluster) watchLeadership(r *raft.Raft, notify <-chan bool) {
	defer close(c.changes)
	wins := make(chan confirmed)
	forget := func() {} // ends the attempt to confirm the newest win
	defer func() { forget() }()
	stopped := c.stopped
	var q changeQueue
	for {
		head, out := q.head(c.changes)
		select {
		case leader := <-notify:
			forget()
			q.lost(r.CurrentTerm())
			if leader {
				forget = c.confirmLater(r, wins)
			}
		case w := <-wins:
			if w.ctx.Err() == nil {
				q.won(w.term)
			}
		case <-stopped:
			stopped = nil
			forget()
			q.lost(r.CurrentTerm())
		case out <- head:
			q.pop()
		case <-c.ctx.Done():
			return
		}
	}
}

// changeQueue holds the changes that were not read yet: at most a loss and a
// win after it.
type changeQueue struct {
	pending []Leadership
	leader  bool // the role after all of pending
}

// head is the oldest change and the channel for it, nil if there is none.
func (q *changeQueue) head(out chan<- Leadership) (Leadership, chan<- Leadership) {
	if len(q.pending) == 0 {
		return Leadership{}, nil
	}
	return q.pending[0], out
}

func (q *changeQueue) pop() { q.pending = q.pending[1:] }

func (q *changeQueue) won(term uint64) {
	q.pending = append(q.pending, Leadership{Leader: true, Term: term})
	q.leader = true
}

// lost takes back a win that nobody read, or queues the loss of one that was.
func (q *changeQueue) lost(term uint64) {
	if !q.leader {
		return
	}
	q.leader = false
	if n := len(q.pending); n > 0 {
		q.pending = q.pending[:n-1]
		return
	}
	q.pending = append(q.pending, Leadership{Term: term})
}

// confirmLater confirms a win in the background, until it is told to forget it.
func (c *Cluster) confirmLater(r *raft.Raft, wins chan<- confirmed) (forget context.CancelFunc) {
	ctx, cancel := context.WithCancel(c.ctx)
	c.wg.Go(func() {
		term, ok := c.confirm(ctx, r)
		if !ok {
			return
		}
		select {
		case wins <- confirmed{ctx, term}:
		case <-ctx.Done():
		}
	})
	return cancel
}

// confirm passes a barrier and returns the term in which it did: a term that is
// the same before and after is the barrier's own, since terms only grow.
func (c *Cluster) confirm(ctx context.Context, r *raft.Raft) (term uint64, ok bool) {
	if !c.awaitFirstVoters(ctx) {
		return 0, false
	}
	for {
		before := r.CurrentTerm()
		if err := c.Barrier(ctx); err != nil {
			return 0, false
		}
		if r.CurrentTerm() == before {
			return before, true
		}
	}
}

// awaitFirstVoters holds back the leader of a cluster that it has just formed
// alone until a majority of the expected replicas vote: what it acknowledged
// before would be on one disk only.
func (c *Cluster) awaitFirstVoters(ctx context.Context) bool {
	if !c.forming.Load() {
		return true
	}
	tick := time.NewTicker(c.cfg.Profile.Heartbeat / 2)
	defer tick.Stop()
	for c.voters() <= c.cfg.Expect/2 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	c.forming.Store(false)
	return true
}
