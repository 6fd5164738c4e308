package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/midplane-project/midplane/shelf/cluster"
)

// writePeers leaves a peers.json that names one replica only.
func writePeers(l *lab, id string) {
	l.t.Helper()
	text := fmt.Sprintf(`[{"id": %q, "address": %q}]`, id, id)
	if err := os.WriteFile(filepath.Join(l.dirs[id], "peers.json"), []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

func TestBackupAndRestore(t *testing.T) {
	bubble(t, func(l *lab) {
		leader := l.form()
		l.apply("a")
		l.apply("b")
		var backup bytes.Buffer
		info, err := leader.Backup(l.t.Context(), &backup)
		if err != nil || info.ClusterID != leader.ClusterID() || info.Index == 0 {
			l.t.Fatalf("backup: %+v, %v", info, err)
		}
		l.apply("c")
		if _, err := leader.Restore(l.t.Context(), bytes.NewReader(backup.Bytes())); err != nil {
			l.t.Fatal(err)
		}
		l.agree("a", "b")
		l.apply("d")
		l.agree("a", "b", "d")

		l.stopAll()
		for _, id := range three {
			l.start(id)
		}
		l.apply("e")
		l.agree("a", "b", "d", "e")
	})
}

func TestRestoreRefusesWhatIsNotABackup(t *testing.T) {
	bubble(t, func(l *lab) {
		leader := l.form()
		l.apply("a")
		var backup bytes.Buffer
		if _, err := leader.Backup(l.t.Context(), &backup); err != nil {
			l.t.Fatal(err)
		}
		good := backup.Bytes()
		flipped := slices.Clone(good)
		flipped[len(flipped)-2] ^= 1
		for name, b := range map[string][]byte{
			"empty": nil, "cut short": good[:len(good)-1], "flipped": flipped,
			"header only": good[:30], "something else": []byte(strings.Repeat("x", 9000)),
		} {
			if _, err := leader.Restore(l.t.Context(), bytes.NewReader(b)); err == nil {
				l.t.Errorf("%s: restored", name)
			}
		}
		l.agree("a")
	})
}

func TestBackupIsTheLeaders(t *testing.T) {
	bubble(t, func(l *lab) {
		follower := l.replicas[l.followers(l.form())[0]]
		var notLeader *cluster.ErrNotLeader
		if _, err := follower.Backup(l.t.Context(), &bytes.Buffer{}); !errors.As(err, &notLeader) {
			l.t.Errorf("backup at a follower: %v", err)
		}
	})
}

func TestSnapshotThenRestartAndCatchUp(t *testing.T) {
	bubble(t, func(l *lab) {
		leader := l.form()
		behind := l.followers(leader)[0]
		l.kill(behind)
		l.apply("a")
		if err := leader.Snapshot(l.t.Context()); err != nil {
			l.t.Fatal(err)
		}
		if err := leader.Snapshot(l.t.Context()); err != nil {
			l.t.Errorf("a snapshot with nothing new: %v", err)
		}
		if err := cluster.Wipe(l.dirs[behind]); err != nil {
			l.t.Fatal(err)
		}
		l.start(behind)
		l.eventually("three voters again", func() bool { return l.voters() == 3 })
		l.agree("a")
		l.stopAll()
		for _, id := range three {
			l.start(id)
		}
		l.apply("b")
		l.agree("a", "b")
	})
}

func TestRemove(t *testing.T) {
	bubble(t, func(l *lab) {
		leader := l.form()
		gone := l.followers(leader)[0]
		if err := leader.Remove(l.t.Context(), leader.NodeID()); err == nil {
			l.t.Error("the leader removed itself")
		}
		if err := leader.Remove(l.t.Context(), "nobody"); err == nil {
			l.t.Error("removed an unknown member")
		}
		if err := leader.Remove(l.t.Context(), gone); err != nil {
			l.t.Fatal(err)
		}
		if n := l.voters(); n != 2 {
			l.t.Errorf("%d voters after a removal from three", n)
		}
		l.kill(gone)
		l.apply("a")
	})
}

func TestReplicaMovesToAnotherAddress(t *testing.T) {
	bubble(t, func(l *lab) {
		leader := l.form()
		id := l.followers(leader)[0]
		l.stop(id)
		moved := l.start(id, func(cfg *cluster.Config) {
			cfg.Address = "elsewhere"
			cfg.Transport = l.net.Transport("elsewhere")
			cfg.Seeder = l.net.Seeder("elsewhere")
		})
		l.net.Detach(id)
		l.net.Attach("elsewhere", moved.Cluster)
		l.eventually("the members know", func() bool {
			members, err := l.leader().Members()
			return err == nil && slices.Contains(members, cluster.Member{ID: id, Address: "elsewhere", Voter: true})
		})
		l.apply("a")
		l.agree("a")
		l.net.Detach("elsewhere")
	})
}

func TestForeignReplicaIsRefused(t *testing.T) {
	bubble(t, func(l *lab) {
		l.form()
		var wrong *cluster.ErrWrongCluster

		foreign := l.start("shm4", func(cfg *cluster.Config) { cfg.ClusterID = "another shelf" })
		if err := <-foreign.Failed(); !errors.As(err, &wrong) {
			l.t.Errorf("a replica of another cluster: %v", err)
		}
		_, err := l.leader().HandleJoin(l.t.Context(), cluster.JoinRequest{NodeID: "x", Address: "x", ClusterID: "another", Fresh: true})
		if !errors.As(err, &wrong) {
			l.t.Errorf("a join with another cluster id: %v", err)
		}

		l.stop("shm3")
		_, err = l.tryStart("shm3", func(cfg *cluster.Config) { cfg.ClusterID = "another shelf" })
		if !errors.As(err, &wrong) {
			l.t.Errorf("a data directory of another cluster: %v", err)
		}
	})
}

func TestTakenNameIsRefused(t *testing.T) {
	bubble(t, func(l *lab) {
		leader := l.form()
		taken := l.followers(leader)[0]
		var name *cluster.ErrNameTaken
		for _, req := range []cluster.JoinRequest{
			{NodeID: taken, Address: "elsewhere", Fresh: true},
			{NodeID: leader.NodeID(), Address: "elsewhere", Fresh: true},
			{NodeID: "shm4", Address: taken, Fresh: true},
		} {
			if _, err := leader.HandleJoin(l.t.Context(), req); !errors.As(err, &name) {
				l.t.Errorf("%+v: %v", req, err)
			}
		}
		if n := l.voters(); n != 3 {
			l.t.Errorf("%d voters", n)
		}
	})
}

func TestHaltStopsOnlyThisReplicaForGood(t *testing.T) {
	bubble(t, func(l *lab) {
		leader := l.form()
		l.apply("a")
		l.agree("a")
		follower := l.replicas[l.followers(leader)[0]]
		follower.Halt(errors.New("told to"))
		if err := <-follower.Failed(); !errors.Is(err, cluster.ErrHalted) {
			l.t.Errorf("failed with %v", err)
		}
		l.apply("b")
		if got := follower.fsm.values(); len(got) != 1 {
			l.t.Errorf("a halted replica applied %v", got)
		}
		if _, _, err := follower.Apply(l.t.Context(), nil); !errors.Is(err, cluster.ErrHalted) {
			l.t.Errorf("apply after a halt: %v", err)
		}
	})
}

func TestUnknownCommandHaltsAndIsNotAcknowledged(t *testing.T) {
	bubble(t, func(l *lab) {
		leader := l.form()
		_, _, err := leader.Apply(l.t.Context(), []byte("unknown"))
		var ambiguous *cluster.ErrAmbiguous
		if !errors.As(err, &ambiguous) || !errors.Is(err, cluster.ErrHalted) {
			l.t.Errorf("an unknown command: %v", err)
		}
		// The second replica halts as the next leader. The third may never learn
		// that the command was committed: nobody is left to tell it.
		halted := 0
		l.eventually("two replicas halt", func() bool {
			for _, r := range l.replicas {
				select {
				case err := <-r.Failed():
					if !errors.Is(err, cluster.ErrHalted) {
						l.t.Errorf("failed with %v", err)
					}
					halted++
				default:
				}
			}
			return halted >= 2
		})
	})
}

func TestSingleReplica(t *testing.T) {
	bubble(t, func(l *lab) {
		alone := func(cfg *cluster.Config) { cfg.Expect, cfg.Seeds, cfg.Seeder = 1, nil, nil }
		r := l.start("shm1", alone)
		<-r.Ready()
		l.apply("a")
		l.stop("shm1")
		l.start("shm1", alone)
		l.apply("b")
		l.agree("a", "b")
	})
}

func TestCallsBeforeReadyAndAfterShutdown(t *testing.T) {
	bubble(t, func(l *lab) {
		r := l.start("shm2")
		if _, _, err := r.Apply(l.t.Context(), nil); !errors.Is(err, cluster.ErrNotReady) {
			l.t.Errorf("apply before a cluster: %v", err)
		}
		if s := r.Stats(); s.State != "joining" {
			l.t.Errorf("state %q", s.State)
		}
		l.stop("shm2")
		if err := r.Barrier(context.Background()); !errors.Is(err, cluster.ErrStopped) {
			l.t.Errorf("barrier after shutdown: %v", err)
		}
		if err := r.Shutdown(context.Background()); err != nil {
			l.t.Errorf("second shutdown: %v", err)
		}
	})
}

func TestApplyGivesUpWithItsContext(t *testing.T) {
	bubble(t, func(l *lab) {
		leader := l.form()
		l.net.Partition()
		ctx, cancel := context.WithTimeout(l.t.Context(), time.Millisecond)
		defer cancel()
		_, _, err := leader.Apply(ctx, []byte("x"))
		var ambiguous *cluster.ErrAmbiguous
		if !errors.As(err, &ambiguous) || !errors.Is(err, context.DeadlineExceeded) {
			l.t.Errorf("apply past its deadline: %v", err)
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	for name, cfg := range map[string]cluster.Config{
		"nothing":  {},
		"no fsm":   {NodeID: "a", Address: "a", DataDir: t.TempDir()},
		"no way":   {NodeID: "a", Address: "a", DataDir: t.TempDir(), FSM: &listFSM{}},
		"no seeds": {NodeID: "a", Address: "a", DataDir: t.TempDir(), FSM: &listFSM{}, Expect: 3},
	} {
		if _, err := cluster.Open(cfg); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}
