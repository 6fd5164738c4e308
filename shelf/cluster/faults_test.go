package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/midplane-project/midplane/shelf/cluster"
)

func (l *lab) followers(leader *replica) (ids []string) {
	for id := range l.replicas {
		if id != leader.NodeID() {
			ids = append(ids, id)
		}
	}
	return ids
}

func TestLeaderKilled(t *testing.T) {
	bubble(t, func(l *lab) {
		leader := l.form()
		l.apply("before")
		term := leader.Stats().Term
		l.kill(leader.NodeID())
		l.apply("after")
		l.agree("before", "after")
		if now := l.leader().Stats().Term; now <= term {
			l.t.Errorf("term %d after term %d", now, term)
		}
	})
}

func TestOrderlyStopHandsOver(t *testing.T) {
	bubble(t, func(l *lab) {
		leader := l.form()
		began := time.Now()
		l.stop(leader.NodeID())
		l.leader()
		if took := time.Since(began); took >= cluster.Lab.Heartbeat {
			l.t.Errorf("a new leader after %v: nobody was told to take over", took)
		}
	})
}

// hung is a transport whose messages to others take until they are let go.
type hung struct {
	raft.Transport
	on    atomic.Bool
	letGo chan struct{}
}

func (h *hung) AppendEntries(id raft.ServerID, to raft.ServerAddress, q *raft.AppendEntriesRequest, a *raft.AppendEntriesResponse) error {
	if h.on.Load() {
		<-h.letGo
	}
	return h.Transport.AppendEntries(id, to, q, a)
}

func (h *hung) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// TestStopDoesNotWaitForEver stops a replica of which a part of raft hangs.
func TestStopDoesNotWaitForEver(t *testing.T) {
	bubble(t, func(l *lab) {
		h := &hung{letGo: make(chan struct{})}
		leader := l.start("shm1", func(cfg *cluster.Config) {
			h.Transport = cfg.Transport
			cfg.Transport = h
		})
		l.start("shm2")
		l.start("shm3")
		l.eventually("three voters", func() bool { return l.voters() == 3 })
		for !leader.leads() {
			if err := l.leader().TransferLeadership(l.t.Context(), "shm1"); err != nil {
				l.t.Fatal(err)
			}
			l.eventually("a leader", func() bool { return l.leader() != nil })
		}
		h.on.Store(true)
		time.Sleep(time.Second)
		l.stop("shm1")
		close(h.letGo)
		l.apply("a")
	})
}

func TestPartitionedLeaderCannotAct(t *testing.T) {
	bubble(t, func(l *lab) {
		old := l.form()
		l.apply("a")
		majority := l.followers(old)
		l.net.Partition(majority, []string{old.NodeID()})

		_, _, err := old.Apply(l.t.Context(), []byte("lost"))
		var ambiguous *cluster.ErrAmbiguous
		if !errors.As(err, &ambiguous) {
			l.t.Errorf("a command to a leader alone: %v, want ErrAmbiguous", err)
		}
		var notLeader *cluster.ErrNotLeader
		if err := old.VerifyLeader(l.t.Context()); !errors.As(err, &notLeader) {
			l.t.Errorf("verify by a leader alone: %v, want ErrNotLeader", err)
		}
		l.eventually("the old leader is told", func() bool { return !old.leads() })
		l.eventually("the majority elects", func() bool {
			return l.replicas[majority[0]].leads() || l.replicas[majority[1]].leads()
		})
		l.apply("b")

		l.net.Heal()
		l.agree("a", "b")
	})
}

func TestNotLeaderNamesTheLeader(t *testing.T) {
	bubble(t, func(l *lab) {
		leader := l.form()
		follower := l.replicas[l.followers(leader)[0]]
		l.eventually("the follower knows its leader", func() bool { _, ok := follower.Leader(); return ok })
		_, _, err := follower.Apply(l.t.Context(), []byte("x"))
		var notLeader *cluster.ErrNotLeader
		if !errors.As(err, &notLeader) || notLeader.Leader.ID != leader.NodeID() || notLeader.Leader.Address != leader.NodeID() {
			l.t.Errorf("apply at a follower: %v", err)
		}
	})
}

// TestLeadershipIsToldInPairs moves the leadership about and checks that each
// replica was told won, lost, won…, with terms that grow and are won once.
func TestLeadershipIsToldInPairs(t *testing.T) {
	bubble(t, func(l *lab) {
		l.form()
		for range 10 {
			leader := l.leader()
			if err := leader.TransferLeadership(l.t.Context(), ""); err != nil {
				l.t.Fatal(err)
			}
			l.eventually("the old leader is told", func() bool { return !leader.leads() })
		}
		l.leader()
		won := map[uint64]string{}
		for id, r := range l.replicas {
			r.mu.Lock()
			last := cluster.Leadership{}
			for _, change := range r.log {
				if change.Leader == last.Leader || change.Term < last.Term {
					l.t.Errorf("%s was told %v", id, r.log)
				}
				if other := won[change.Term]; change.Leader && other != "" {
					l.t.Errorf("term %d was won by %s and %s", change.Term, other, id)
				}
				if change.Leader {
					won[change.Term] = id
				}
				last = change
			}
			r.mu.Unlock()
		}
		if len(won) < 11 {
			l.t.Errorf("%d terms were won, want at least 11", len(won))
		}
	})
}

func TestWipedReplicaRejoins(t *testing.T) {
	for _, who := range []string{"follower", "former leader"} {
		t.Run(who, func(t *testing.T) {
			bubble(t, func(l *lab) {
				leader := l.form()
				l.apply("a")
				id := leader.NodeID()
				if who == "follower" {
					id = l.followers(leader)[0]
				}
				cid := leader.ClusterID()
				l.kill(id)
				l.apply("b")
				if err := cluster.Wipe(l.dirs[id]); err != nil {
					l.t.Fatal(err)
				}
				r := l.start(id)
				l.eventually("three voters again", func() bool { return l.voters() == 3 })
				l.apply("c")
				l.agree("a", "b", "c")
				if r.ClusterID() != cid {
					l.t.Errorf("rejoined %s, was in %s", r.ClusterID(), cid)
				}
			})
		})
	}
}

// TestWipedLeaderAsksBeforeItIsMissed: the others still name the leader that
// fell as the one to ask, which by then is the empty replica that asks.
func TestWipedLeaderAsksBeforeItIsMissed(t *testing.T) {
	bubble(t, func(l *lab) {
		leader := l.form()
		l.apply("a")
		id := leader.NodeID()
		l.kill(id)
		if err := cluster.Wipe(l.dirs[id]); err != nil {
			l.t.Fatal(err)
		}
		r := l.start(id)
		l.eventually("three voters again", func() bool { return l.voters() == 3 })
		l.agree("a")
		select {
		case err := <-r.Failed():
			l.t.Error(err)
		default:
		}
	})
}

// TestWipedReplicaDoesNotVote: of three replicas one is down and one is wiped.
// The one left must not become the leader with the vote of the wiped one, which
// has forgotten what it acknowledged.
func TestWipedReplicaDoesNotVote(t *testing.T) {
	bubble(t, func(l *lab) {
		leader := l.form()
		ids := l.followers(leader)
		behind, wiped := ids[0], ids[1]
		l.kill(behind)
		l.apply("committed by the leader and the one that is wiped")
		l.kill(wiped)
		l.kill(leader.NodeID())
		if err := cluster.Wipe(l.dirs[wiped]); err != nil {
			l.t.Fatal(err)
		}
		l.start(behind)
		l.start(wiped)
		time.Sleep(time.Minute)
		for id, r := range l.replicas {
			if r.leads() {
				l.t.Errorf("%s leads without the committed entry", id)
			}
		}
		l.start(leader.NodeID())
		l.eventually("three voters again", func() bool { return l.voters() == 3 })
		l.agree("committed by the leader and the one that is wiped")
	})
}

func TestAllWipedButOneIsNotANewCluster(t *testing.T) {
	bubble(t, func(l *lab) {
		leader := l.form()
		l.apply("a")
		keep := leader.NodeID()
		for _, id := range l.followers(leader) {
			l.kill(id)
			if err := cluster.Wipe(l.dirs[id]); err != nil {
				l.t.Fatal(err)
			}
		}
		for _, id := range three {
			if id != keep {
				l.start(id)
			}
		}
		time.Sleep(time.Minute)
		for id, r := range l.replicas {
			if id != keep && r.Status().HasCluster {
				l.t.Errorf("%s is in a cluster without a quorum of the old one", id)
			}
		}
		// The operator's way out: the survivor alone, by peers.json.
		l.kill(keep)
		writePeers(l, keep)
		l.start(keep)
		l.eventually("three voters again", func() bool { return l.voters() == 3 })
		l.agree("a")
	})
}

func TestVerifyIsSharedAndUnderAStoppedLeaderFails(t *testing.T) {
	bubble(t, func(l *lab) {
		leader := l.form()
		verifyAll := func() (ok int) {
			var mu sync.Mutex
			var wg sync.WaitGroup
			for range 200 {
				wg.Go(func() {
					if leader.VerifyLeader(l.t.Context()) == nil {
						mu.Lock()
						ok++
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			return ok
		}
		if ok := verifyAll(); ok != 200 {
			l.t.Errorf("%d of 200 verified by a living leader", ok)
		}
		l.net.Partition(l.followers(leader), []string{leader.NodeID()})
		time.Sleep(time.Millisecond) // what was answered before the cut has arrived
		if ok := verifyAll(); ok != 0 {
			l.t.Errorf("%d of 200 verified by a leader that nobody hears", ok)
		}
	})
}

func TestManyAppliersThroughFailovers(t *testing.T) {
	bubble(t, func(l *lab) {
		l.form()
		var mu sync.Mutex
		acknowledged := map[string]bool{}
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					cmd := fmt.Sprintf("%d-%d", w, i)
					for _, id := range three {
						mu.Lock()
						r := l.replicas[id]
						mu.Unlock()
						if _, _, err := r.Apply(ctx, []byte(cmd)); err == nil {
							mu.Lock()
							acknowledged[cmd] = true
							mu.Unlock()
							break
						}
					}
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		for i := range 6 {
			time.Sleep(300 * time.Millisecond)
			alone := three[i%3]
			var rest []string
			for _, id := range three {
				if id != alone {
					rest = append(rest, id)
				}
			}
			l.net.Partition(rest, []string{alone})
			time.Sleep(500 * time.Millisecond)
			l.net.Heal()
		}
		cancel()
		wg.Wait()
		l.apply("end")
		for id, r := range l.replicas {
			l.eventually(id+" has the end", func() bool {
				v := r.fsm.values()
				return len(v) > 0 && v[len(v)-1] == "end"
			})
			held := map[string]bool{}
			for _, v := range r.fsm.values() {
				held[v] = true
			}
			for cmd := range acknowledged {
				if !held[cmd] {
					l.t.Errorf("%s lost %s", id, cmd)
				}
			}
		}
		if len(acknowledged) < 100 {
			l.t.Errorf("only %d commands were acknowledged", len(acknowledged))
		}
	})
}
