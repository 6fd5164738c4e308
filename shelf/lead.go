package shelf

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/cluster"
)

// announcePatience bounds how long a new leader waits for nodes to read that
// it leads; a node that has not by then is frozen, and its stream is dropped.
const announcePatience = 500 * time.Millisecond

// leader is the raft term and the leader as the switch may know it: this
// replica counts only while it may act, which is after the barrier of its term.
func (r *Replica) leader() (term uint64, name string) {
	l, ok := r.cluster.Leader()
	if !ok {
		return l.Term, ""
	}
	if l.ID == r.cfg.Name {
		acting := r.brain.term.Load()
		if acting == 0 {
			return l.Term, ""
		}
		return acting, l.ID
	}
	return l.Term, l.ID
}

// wake makes followLeadership look at who leads.
func (r *Replica) wake() {
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

// followLeadership runs the shelf managers while this replica leads, and tells
// the nodes of every change. It ends with the cluster.
func (r *Replica) followLeadership() {
	stop := func() {}
	defer func() { stop() }()
	changes := r.cluster.LeadershipChanges()
	for {
		select {
		case c, ok := <-changes:
			stop()
			stop = func() {}
			if !ok {
				return
			}
			if c.Leader {
				stop = r.lead(c.Term)
			}
		case <-r.woken:
		}
		term, name := r.leader()
		r.sw.LeaderChanged(term, name)
	}
}

// lead starts acting as the active shelf manager of every shelf. The function
// it gives ends that, and waits.
func (r *Replica) lead(term uint64) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	r.brain.begin(ctx, term)
	r.sw.LeaderChanged(term, r.cfg.Name)
	r.log.Info("leads", "replica", r.cfg.Name, "term", term)
	go func() {
		defer close(done)
		announce, cancelAnnounce := context.WithTimeout(ctx, announcePatience)
		_ = r.sw.Announced(announce) // who has not read it by now is dropped by the heartbeat
		cancelAnnounce()
		if err := r.declare(ctx); err != nil && ctx.Err() == nil {
			r.log.Error("shelves not declared", "err", err)
		}
		r.brain.run(ctx, term)
	}()
	return func() {
		r.brain.end()
		cancel()
		<-done
		r.log.Info("no longer leads", "replica", r.cfg.Name, "term", term)
	}
}

// declare commits the shelves of the configuration that the cluster does not
// have yet, or has with other slots.
func (r *Replica) declare(ctx context.Context) error {
	for _, d := range r.cfg.Shelves {
		want := d.command(r.cfg.Cluster)
		have, ok := r.fsm.Shelf(d.Name)
		if ok && slices.Equal(have.HW, hardware(d)) && slices.Equal(have.SlotNames, want.GetSetShelf().SlotNames) {
			continue
		}
		if _, err := r.Propose(ctx, want); err != nil {
			return err
		}
	}
	return nil
}

// Propose commits one command and gives what it answered. It fails with the
// cluster's typed errors.
func (r *Replica) Propose(ctx context.Context, c *v1.Command) (*v1.Answer, error) {
	c.Version = 1
	if c.Time == 0 {
		c.Time = time.Now().UnixNano()
	}
	raw, err := proto.Marshal(c)
	if err != nil {
		return nil, err
	}
	out, _, err := r.cluster.Apply(ctx, raw)
	if err != nil {
		return nil, err
	}
	switch a := out.(type) {
	case *v1.Answer:
		return a, nil
	case error:
		return nil, a
	}
	return nil, errors.New("the state machine gave no answer")
}

// VerifyLeader reports nil when this replica was still the leader after the call began.
func (r *Replica) VerifyLeader(ctx context.Context) error { return r.cluster.VerifyLeader(ctx) }

// Term is the term in which this replica acts as leader, 0 when it does not.
func (r *Replica) Term() uint64 { return r.brain.term.Load() }

// Cluster gives the raft side, for those who look after it.
func (r *Replica) Cluster() *cluster.Cluster { return r.cluster }
