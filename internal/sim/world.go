package sim

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/midplane-project/midplane/internal/inmem"
	"github.com/midplane-project/midplane/node"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf"
	"github.com/midplane-project/midplane/shelf/cluster"
)

// The shelf of a [World].
const (
	Shelf     = "sim"
	clusterID = "00000000-0000-4000-8000-000000000001"
)

var replicaNames = []string{"shm1", "shm2", "shm3"}

// lazy is a profile whose leader is slow to notice that it was deposed: for up
// to a second it believes that it leads beside the new leader.
var lazy = cluster.Profile{Heartbeat: time.Second, Election: time.Second, Lease: time.Second}

// World is a shelf with three replicas and some nodes, all in one process.
type World struct {
	t    testing.TB
	rand *rand.Rand
	dir  string
	log  *slog.Logger

	Net    *inmem.Network
	raft   *raftNet
	Ledger *Ledger
	health *health
	wit    *Witness

	lazy string // the replica whose leadership dies hard; empty: none

	mu       sync.Mutex
	replicas map[string]*replicaRun
	nodes    map[string]*nodeRun
}

// replicaRun is a replica from one start to its end.
type replicaRun struct {
	*shelf.Replica
	stop func() // ends what looks at it
}

// nodeRun is a node from one start to its end.
type nodeRun struct {
	*node.Node
	name   string
	addr   string // on the network: a second claimant has another than the first
	door   *doorway
	cancel context.CancelFunc
	ended  chan struct{}
}

// NewWorld makes the shelf of a seed with so many nodes, and starts it.
func NewWorld(t testing.TB, seed uint64, nodes int) *World {
	w := &World{
		t: t, rand: rand.New(rand.NewPCG(seed, 0)), dir: ramDir(t), log: slog.New(slog.DiscardHandler),
		Net: inmem.NewNetwork(), Ledger: newLedger(),
		replicas: make(map[string]*replicaRun), nodes: make(map[string]*nodeRun),
	}
	if os.Getenv("MIDPLANE_SIM_LOG") != "" {
		w.log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	w.raft, w.health = newRaftNet(w.Net), newHealth(w.Net)
	w.wit = newWitness(w)
	if w.rand.IntN(2) == 0 {
		w.lazy = replicaNames[w.rand.IntN(len(replicaNames))]
	}
	for _, name := range replicaNames {
		w.StartReplica(name)
	}
	for i := range nodes {
		w.StartNode(nodeName(i + 1))
	}
	return w
}

func nodeName(slot int) string { return fmt.Sprintf("blade%d", slot) }

// ramDir is a directory for the state of all, in memory where there is such:
// a seed syncs thousands of times.
func ramDir(t testing.TB) string {
	const shm = "/dev/shm"
	parent := ""
	if i, err := os.Stat(shm); err == nil && i.IsDir() {
		parent = shm
	}
	dir, err := os.MkdirTemp(parent, "midplane-sim-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (w *World) logf(format string, args ...any) {
	w.log.Info(fmt.Sprintf(format, args...), "at", since(w.health.began))
}

func since(t time.Time) time.Duration { return time.Since(t).Round(time.Millisecond) }

// StartReplica starts a replica on what it left on its disk.
func (w *World) StartReplica(name string) {
	cfg := w.replicaConfig(name)
	m := &shelf.Memory{Raft: w.raft.transport(name), Bus: w.Net.Dialer(name)}
	m.Serve = func(s v1.BackplaneServer) func() { return w.Net.Serve(name, s) }
	if name == w.lazy {
		m.Profile = lazy
	}
	r, err := shelf.Open(cfg, shelf.Options{Log: w.log.With("replica", name), Memory: m})
	if err != nil {
		w.t.Errorf("start %s: %v", name, err)
		return
	}
	run := &replicaRun{Replica: r}
	run.stop = w.wit.watch(run)
	w.mu.Lock()
	w.replicas[name] = run
	w.mu.Unlock()
	w.health.up(name, true)
	w.logf("started %s", name)
}

func (w *World) replicaConfig(name string) shelf.Config {
	cfg := shelf.Config{
		Name: name, Dir: filepath.Join(w.dir, name), Listen: name, Expect: len(replicaNames), Timing: "lab",
		PKI: "unused", Cluster: clusterID, Shelves: []shelf.Declared{{Name: Shelf}},
	}
	for _, other := range replicaNames {
		if other != name {
			cfg.Seeds = append(cfg.Seeds, other)
		}
	}
	return cfg
}

// StopReplica stops a replica in order.
func (w *World) StopReplica(name string) {
	w.mu.Lock()
	r := w.replicas[name]
	delete(w.replicas, name)
	w.mu.Unlock()
	if r == nil {
		return
	}
	w.health.up(name, false)
	w.logf("stopping %s", name)
	r.stop()
	if err := r.Close(); err != nil {
		w.t.Errorf("stop %s: %v", name, err)
	}
}

// KillReplica ends a replica without a word to the others.
func (w *World) KillReplica(name string) {
	release := w.health.isolate(name, w.parties())
	w.StopReplica(name)
	release()
}

// WipeReplica loses the disk of a replica that does not run.
func (w *World) WipeReplica(name string) {
	w.logf("wiping %s", name)
	if err := shelf.Wipe(w.replicaConfig(name)); err != nil {
		w.t.Errorf("wipe %s: %v", name, err)
	}
}

// parties are all addresses on the network.
func (w *World) parties() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := slices.Clone(replicaNames)
	for _, n := range w.nodes {
		all = append(all, n.addr)
	}
	return all
}

// StartNode starts a node on what it left on its disk.
func (w *World) StartNode(name string) { w.startNode(name, name) }

// startNode starts a node of the same slot as name, known as addr.
func (w *World) startNode(name, addr string) {
	var slot int
	if _, err := fmt.Sscanf(name, "blade%d", &slot); err != nil {
		w.t.Fatal(err)
	}
	cfg := node.Config{
		Shelf: Shelf, Slot: slot, Name: name, Profile: node.ProfileATCA, Interface: "kcs", Product: uint16(slot),
		Dir: filepath.Join(w.dir, addr), PKI: "unused", OnGuestPoweroff: node.GuestPoweroffDeactivate,
	}
	for _, r := range replicaNames {
		cfg.Replicas = append(cfg.Replicas, node.Replica{Name: r, Address: r})
	}
	run := &nodeRun{name: name, addr: addr, door: newDoorway(), ended: make(chan struct{})}
	n, err := node.New(cfg, node.Options{
		Log: w.log, Dial: w.Net.Dialer(addr), VM: run.door, Tap: w.wit.nodeTap(addr),
	})
	if err != nil {
		w.t.Errorf("start %s: %v", addr, err)
		return
	}
	run.Node = n
	var ctx context.Context
	ctx, run.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(run.ended)
		if err := n.Run(ctx); err != nil && addr == name {
			w.logf("%s ended: %v", addr, err)
		}
	}()
	w.mu.Lock()
	w.nodes[addr] = run
	w.mu.Unlock()
	w.health.up(addr, true)
	w.logf("started %s", addr)
}

// StopNode stops a node in order; kill also loses what it only had in memory.
func (w *World) StopNode(addr string, kill bool) {
	w.mu.Lock()
	n := w.nodes[addr]
	delete(w.nodes, addr)
	w.mu.Unlock()
	if n == nil {
		return
	}
	w.health.up(addr, false)
	w.logf("stopping %s, kill %t", addr, kill)
	release := func() {}
	if kill {
		release = w.health.isolate(addr, replicaNames)
	}
	n.cancel()
	<-n.ended
	if err := n.Close(); err != nil {
		w.t.Errorf("stop %s: %v", addr, err)
	}
	if kill {
		_ = os.Remove(filepath.Join(w.dir, addr, "queue.json")) // it may have been empty
	}
	release()
}

// Node gives the running node of a name, nil when it is down.
func (w *World) node(addr string) *nodeRun {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nodes[addr]
}

// running lists the replicas that run.
func (w *World) running() map[string]*replicaRun {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.replicas)
}

// Leader is the replica that acts, nil when there is none or several say so.
func (w *World) Leader() *shelf.Replica {
	var best *replicaRun
	for _, r := range w.running() {
		if r.Term() > 0 && (best == nil || r.Term() > best.Term()) {
			best = r
		}
	}
	if best == nil {
		return nil
	}
	return best.Replica
}

// Stop ends everything. The minute is for raft's goroutines that wait for a
// peer's answer and that its shutdown does not wait for.
func (w *World) Stop() {
	for _, addr := range w.parties() {
		w.StopNode(addr, false)
	}
	for name := range w.running() {
		w.StopReplica(name)
	}
	w.Net.HealAll()
	w.Net.Wait()
	time.Sleep(time.Minute)
}

// eventually waits for a condition.
func (w *World) eventually(what string, within time.Duration, ok func() error) bool {
	deadline := time.Now().Add(within)
	for {
		err := ok()
		if err == nil {
			return true
		}
		if time.Now().After(deadline) {
			w.t.Errorf("not within %s of the end of all faults: %s: %v %v", within, what, err, w.Ledger.Failed())
			return false
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Replica gives a running replica, nil when it is down.
func (w *World) Replica(name string) *shelf.Replica {
	if r := w.running()[name]; r != nil {
		return r.Replica
	}
	return nil
}
