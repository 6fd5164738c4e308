package cluster_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/midplane-project/midplane/shelf/cluster"
)

// fillDisk makes every further write to the replica's database fail with
// ENOSPC: its descriptor becomes /dev/full. What is mapped stays readable.
func fillDisk(t testing.TB, r *replica) {
	t.Helper()
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if err := unix.Dup3(int(full.Fd()), int(r.file.Fd()), unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
}

func wantStorageError(t testing.TB, err error, path string) {
	t.Helper()
	var failed *cluster.StorageError
	if !errors.As(err, &failed) || !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("a full disk: %v", err)
	}
	for _, part := range []string{path, "no space left", "make room"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

func TestFullDiskStopsTheLeaderOnly(t *testing.T) {
	bubble(t, func(l *lab) {
		leader := l.form()
		l.apply("a")
		fillDisk(l.t, leader)
		if _, _, err := leader.Apply(l.t.Context(), []byte("lost")); err == nil {
			l.t.Error("a command was acknowledged by a leader with a full disk")
		}
		wantStorageError(l.t, <-leader.Failed(), filepath.Join(l.dirs[leader.NodeID()], "raft.db"))
		l.eventually("the leader is told that it is none", func() bool { return !leader.leads() })
		l.kill(leader.NodeID())
		l.apply("b")
		l.start(leader.NodeID())
		l.apply("c")
		l.eventually("all hold the same", func() bool {
			v := l.leader().fsm.values()
			return v[0] == "a" && v[len(v)-1] == "c"
		})
	})
}

func TestFullDiskStopsAFollower(t *testing.T) {
	bubble(t, func(l *lab) {
		leader := l.form()
		id := l.followers(leader)[0]
		fillDisk(l.t, l.replicas[id])
		l.apply("a")
		wantStorageError(l.t, <-l.replicas[id].Failed(), l.dirs[id])
		l.kill(id)
		l.apply("b")
		l.start(id)
		l.eventually("three voters", func() bool { return l.voters() == 3 })
		l.agree("a", "b")
	})
}

// TestFullDiskAtAnElection lets the term be what cannot be stored, where raft
// itself would panic.
func TestFullDiskAtAnElection(t *testing.T) {
	bubble(t, func(l *lab) {
		leader := l.form()
		ids := l.followers(leader)
		fillDisk(l.t, l.replicas[ids[0]])
		l.kill(leader.NodeID())
		wantStorageError(l.t, <-l.replicas[ids[0]].Failed(), l.dirs[ids[0]])
	})
}

// damage changes a byte in a log entry on a stopped replica's disk.
func damage(l *lab, id string, data string) {
	l.t.Helper()
	db, err := bolt.Open(filepath.Join(l.dirs[id], "raft.db"), 0o600, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	defer db.Close()
	found := false
	err = db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("log"))
		return b.ForEach(func(k, v []byte) error {
			if !strings.HasSuffix(string(v), data) {
				return nil
			}
			found = true
			bad := append([]byte(nil), v...)
			bad[len(bad)-1] ^= 1
			return b.Put(k, bad)
		})
	})
	if err != nil || !found {
		l.t.Fatalf("no entry %q: %v", data, err)
	}
}

func TestDamagedRecordStopsAtTheStart(t *testing.T) {
	bubble(t, func(l *lab) {
		leader := l.form()
		l.apply("precious")
		l.agree("precious")
		id := l.followers(leader)[0]
		l.stop(id)
		damage(l, id, "precious")
		_, err := l.tryStart(id)
		var corrupt *cluster.CorruptRecordError
		if !errors.As(err, &corrupt) || corrupt.Bucket != "log" || !strings.Contains(err.Error(), "rejoin") {
			l.t.Fatalf("started on a damaged log: %v", err)
		}
		// What the error says to do helps.
		if err := cluster.Wipe(l.dirs[id]); err != nil {
			l.t.Fatal(err)
		}
		l.start(id)
		l.eventually("three voters", func() bool { return l.voters() == 3 })
		l.agree("precious")
	})
}

func TestDamagedSnapshotStopsAtTheStart(t *testing.T) {
	bubble(t, func(l *lab) {
		leader := l.form()
		l.apply("a")
		if err := leader.Snapshot(l.t.Context()); err != nil {
			l.t.Fatal(err)
		}
		id := leader.NodeID()
		l.stop(id)
		states, err := filepath.Glob(filepath.Join(l.dirs[id], "snapshots", "*", "state.bin"))
		if err != nil || len(states) != 1 {
			l.t.Fatalf("snapshots %v, %v", states, err)
		}
		if err := os.WriteFile(states[0], []byte("damaged"), 0o600); err != nil {
			l.t.Fatal(err)
		}
		if _, err := l.tryStart(id); err == nil || !strings.Contains(err.Error(), "snapshot") {
			l.t.Errorf("started on a damaged snapshot: %v", err)
		}
	})
}

func TestPeersFileMustBeRight(t *testing.T) {
	bubble(t, func(l *lab) {
		l.form()
		l.stop("shm2")
		path := filepath.Join(l.dirs["shm2"], "peers.json")
		if err := os.WriteFile(path, []byte(`{"id":`), 0o600); err != nil {
			l.t.Fatal(err)
		}
		if _, err := l.tryStart("shm2"); err == nil || !strings.Contains(err.Error(), path) {
			l.t.Errorf("a broken peers.json: %v", err)
		}
	})
}

func TestWipeRefusesARunningReplica(t *testing.T) {
	l := newLab(t)
	defer l.stopAll()
	l.start("shm1", func(cfg *cluster.Config) { cfg.Expect, cfg.Seeds, cfg.Seeder = 1, nil, nil })
	if err := cluster.Wipe(l.dirs["shm1"]); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("wiped under a running replica: %v", err)
	}
}

var _ raft.BatchingFSM = (*listFSM)(nil)
