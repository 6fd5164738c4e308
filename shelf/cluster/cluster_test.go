package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/midplane-project/midplane/shelf/cluster"
	"github.com/midplane-project/midplane/shelf/cluster/clustertest"
)

// listFSM appends each command to a list and answers with the list's length.
type listFSM struct {
	mu   sync.Mutex
	list []string
	halt func(error)
}

func (f *listFSM) SetHalt(halt func(error)) { f.halt = halt }

func (f *listFSM) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

func (f *listFSM) ApplyBatch(logs []*raft.Log) []any {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]any, len(logs))
	for i, l := range logs {
		if string(l.Data) == "unknown" {
			f.halt(fmt.Errorf("entry %d: unknown command", l.Index))
			return out
		}
		f.list = append(f.list, string(l.Data))
		out[i] = len(f.list)
	}
	return out
}

func (f *listFSM) Snapshot() (raft.FSMSnapshot, error) {
	b, err := json.Marshal(f.values())
	return listSnapshot(b), err
}

func (f *listFSM) Restore(r io.ReadCloser) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = nil
	return json.NewDecoder(r).Decode(&f.list)
}

func (f *listFSM) values() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string{}, f.list...)
}

type listSnapshot []byte

func (s listSnapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(s); err != nil {
		return err
	}
	return sink.Close()
}

func (listSnapshot) Release() {}

// lab is a set of replicas on one network in memory.
type lab struct {
	t        testing.TB
	net      *clustertest.Network
	dirs     map[string]string
	replicas map[string]*replica
	logger   *slog.Logger
}

type replica struct {
	*cluster.Cluster
	fsm  *listFSM
	mu   sync.Mutex
	role cluster.Leadership
	log  []cluster.Leadership
	file *os.File // its database, for a failing disk
}

var three = []string{"shm1", "shm2", "shm3"}

func newLab(t testing.TB) *lab {
	l := &lab{t: t, net: clustertest.NewNetwork(), dirs: map[string]string{}, replicas: map[string]*replica{}}
	if testing.Verbose() {
		l.logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	return l
}

// start opens a replica with an own directory, in which it finds what it left.
func (l *lab) start(id string, change ...func(*cluster.Config)) *replica {
	l.t.Helper()
	r, err := l.tryStart(id, change...)
	if err != nil {
		l.t.Fatalf("start %s: %v", id, err)
	}
	return r
}

func (l *lab) tryStart(id string, change ...func(*cluster.Config)) (*replica, error) {
	if l.dirs[id] == "" {
		l.dirs[id] = l.t.TempDir()
	}
	r := &replica{fsm: &listFSM{}}
	cfg := cluster.Config{
		NodeID: id, Address: id, DataDir: l.dirs[id], Profile: cluster.Lab,
		Expect: 3, Seeds: three, Seeder: l.net.Seeder(id),
		FSM: r.fsm, Transport: l.net.Transport(id), Logger: l.logger,
		OpenFile: func(name string, flag int, perm os.FileMode) (*os.File, error) {
			f, err := os.OpenFile(name, flag, perm)
			r.file = f
			return f, err
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	c, err := cluster.Open(cfg)
	if err != nil {
		return nil, err
	}
	r.Cluster = c
	l.net.Attach(id, c)
	l.replicas[id] = r
	go r.follow()
	return r, nil
}

// follow records the replica's role until it is shut down.
func (r *replica) follow() {
	for change := range r.LeadershipChanges() {
		r.mu.Lock()
		r.role = change
		r.log = append(r.log, change)
		r.mu.Unlock()
	}
}

// leads says whether the replica has been told that it may act.
func (r *replica) leads() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.role.Leader
}

// kill ends a replica without a word to the others.
func (l *lab) kill(id string) {
	l.t.Helper()
	l.net.Detach(id)
	l.stop(id)
}

// stop shuts a replica down in order.
func (l *lab) stop(id string) {
	l.t.Helper()
	if err := l.replicas[id].Shutdown(context.Background()); err != nil {
		l.t.Errorf("shut down %s: %v", id, err)
	}
	l.net.Detach(id)
	delete(l.replicas, id)
}

func (l *lab) stopAll() {
	for id := range l.replicas {
		l.stop(id)
	}
}

// eventually waits for a condition, in virtual time under synctest.
func (l *lab) eventually(what string, cond func() bool) {
	l.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !cond() {
		if time.Now().After(deadline) {
			l.t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// form starts three replicas and waits until all vote; it returns the leader.
func (l *lab) form() *replica {
	l.t.Helper()
	for _, id := range three {
		l.start(id)
	}
	l.eventually("three voters", func() bool { return l.voters() == 3 })
	return l.leader()
}

func (l *lab) leader() (leader *replica) {
	l.t.Helper()
	l.eventually("a leader", func() bool {
		for _, r := range l.replicas {
			if r.leads() && r.VerifyLeader(context.Background()) == nil {
				leader = r
				return true
			}
		}
		return false
	})
	return leader
}

// voters counts them as the leader sees it; 0 without a leader.
func (l *lab) voters() (n int) {
	for _, r := range l.replicas {
		if !r.leads() {
			continue
		}
		members, err := r.Members()
		if err != nil {
			return 0
		}
		for _, m := range members {
			if m.Voter {
				n++
			}
		}
	}
	return n
}

// apply commits one command through whoever leads.
func (l *lab) apply(cmd string) {
	l.t.Helper()
	l.eventually("commit "+cmd, func() bool {
		_, _, err := l.leader().Apply(context.Background(), []byte(cmd))
		return err == nil
	})
}

// agree waits until all running replicas hold exactly want.
func (l *lab) agree(want ...string) {
	l.t.Helper()
	for id, r := range l.replicas {
		l.eventually(fmt.Sprintf("%s holds %v", id, want), func() bool {
			return fmt.Sprint(r.fsm.values()) == fmt.Sprint(want)
		})
	}
}

// bubble runs a test in virtual time and stops what it left running. The last
// minute is for raft's own goroutines that wait for an answer of a peer and that
// its shutdown does not wait for: they end with their timeouts.
func bubble(t *testing.T, test func(l *lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		defer time.Sleep(time.Minute)
		defer l.stopAll()
		test(l)
	})
}

func TestFormCommitRestart(t *testing.T) {
	bubble(t, func(l *lab) {
		leader := l.form()
		id := leader.ClusterID()
		response, index, err := leader.Apply(l.t.Context(), []byte("a"))
		if response != 1 || index == 0 || err != nil {
			l.t.Errorf("apply: %v at %d, %v", response, index, err)
		}
		l.apply("b")
		l.agree("a", "b")
		for _, r := range l.replicas {
			if r.ClusterID() != id || id == "" {
				l.t.Errorf("%s has cluster id %q, the leader %q", r.NodeID(), r.ClusterID(), id)
			}
		}
		l.stopAll()
		for _, id := range three {
			l.start(id)
		}
		l.apply("c")
		l.agree("a", "b", "c")
	})
}

func TestLowestNameForms(t *testing.T) {
	bubble(t, func(l *lab) {
		l.start("shm2")
		l.start("shm3")
		time.Sleep(time.Minute)
		if s := l.replicas["shm2"].Status(); s.HasCluster {
			l.t.Fatal("two of three replicas formed a cluster")
		}
		l.start("shm1")
		l.eventually("three voters", func() bool { return l.voters() == 3 })
	})
}

func TestFormerActsOnlyWithAMajorityOfVoters(t *testing.T) {
	bubble(t, func(l *lab) {
		for _, id := range three {
			l.start(id)
		}
		l.eventually("a first leader", func() bool {
			for _, r := range l.replicas {
				if r.leads() {
					return true
				}
			}
			return false
		})
		if n := l.voters(); n < 2 {
			l.t.Errorf("the leader may act with %d voter", n)
		}
	})
}
