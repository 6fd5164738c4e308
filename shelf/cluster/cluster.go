package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"
)

// Cluster is one replica. All methods are safe for concurrent use.
type Cluster struct {
	cfg      Config
	instance string // this process, to tell a seed that is ourselves
	store    *store
	guard    *guard
	snaps    raft.SnapshotStore
	fsm      *fsm

	mu        sync.RWMutex // guards the fields below, and inflight's growth
	closing   bool
	identity  identity
	raft      *raft.Raft
	transport raft.Transport
	conns     *streamLayer // nil with an injected transport
	inflight  sync.WaitGroup

	verifier verifier
	pulse    *pulse
	forming  atomic.Bool // this process formed the cluster and waits for others
	changes  chan Leadership
	ready    chan struct{}

	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	failing  atomic.Pointer[error]
	broken   chan struct{} // closed at the first failure
	failed   chan error
	stopped  chan struct{} // closed when raft has ended
	shutdown sync.Once
	closeErr error
}

// Open starts a replica. With state on disk it runs when Open returns; an
// empty one asks its seeds in the background, see [Cluster.Ready]. A
// peers.json in the data directory is applied first.
func Open(cfg Config) (*Cluster, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := newCluster(cfg)
	if err := c.openDisk(); err != nil {
		return nil, errors.Join(err, c.Shutdown(context.Background()))
	}
	if err := c.begin(); err != nil {
		return nil, errors.Join(err, c.Shutdown(context.Background()))
	}
	return c, nil
}

func newCluster(cfg Config) *Cluster {
	c := &Cluster{
		cfg:       cfg,
		instance:  uuid.NewString(),
		transport: cfg.Transport,
		changes:   make(chan Leadership),
		ready:     make(chan struct{}),
		broken:    make(chan struct{}),
		failed:    make(chan error, 1),
		stopped:   make(chan struct{}),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.fsm = newFSM(cfg.FSM)
	c.verifier.verify = c.verifyOnce
	c.pulse = newPulse(cfg.Profile)
	if h, ok := cfg.FSM.(HaltSetter); ok {
		h.SetHalt(c.Halt)
	}
	c.wg.Go(c.runUntilEnd)
	c.wg.Go(func() { c.pulse.run(c.ctx) })
	return c
}

// openDisk opens the database and the snapshots and reads who we are.
func (c *Cluster) openDisk() error {
	dir := c.cfg.DataDir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cluster: data directory: %w", err)
	}
	var err error
	if c.store, err = openStore(filepath.Join(dir, dbName), c.cfg.OpenFile); err != nil {
		return err
	}
	c.guard = newGuard(c.store, c.fail)
	c.snaps, err = raft.NewFileSnapshotStoreWithLogger(dir, keepSnapshots, newRaftLogger(c.cfg.Logger))
	if err != nil {
		return fmt.Errorf("cluster: %s: %w", dir, err)
	}
	if c.identity, err = c.store.loadIdentity(); err != nil {
		return err
	}
	if want, have := c.cfg.ClusterID, c.identity.clusterID; want != "" && have != "" && want != have {
		return &ErrWrongCluster{Ours: want, Theirs: have, Peer: "the data directory " + dir}
	}
	return alignLog(dir, c.store, c.snaps)
}

// begin runs raft if there is state, or looks for a cluster in the background.
func (c *Cluster) begin() error {
	exists, err := raft.HasExistingState(c.store, c.store, c.snaps)
	if err != nil {
		return err
	}
	if !exists {
		if c.cfg.Expect == 1 && c.noSeeds() && !c.identity.joined {
			return c.form()
		}
		c.wg.Go(c.discover)
		return nil
	}
	if err := c.recoverPeers(); err != nil {
		return err
	}
	if err := c.startRaft(); err != nil {
		return err
	}
	c.wg.Go(c.announce)
	return nil
}

// startRaft runs raft on what is on the disk.
func (c *Cluster) startRaft() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return ErrStopped
	}
	if c.transport == nil {
		c.conns = newStreamLayer(c.cfg, c.identity.clusterID)
		c.transport = newTransport(c.cfg, c.conns)
	}
	notify := make(chan bool, 16)
	r, err := c.newRaft(notify)
	if err != nil {
		return err
	}
	c.raft = r
	c.wg.Go(func() { c.watchLeadership(r, notify) })
	c.wg.Go(func() { c.promoteNonvoters(r) })
	if c.cfg.Observer != nil {
		c.wg.Go(func() { c.observe(r) })
	}
	close(c.ready)
	return nil
}

// newRaft calls raft.NewRaft in a goroutine of its own: the guard ends it
// there if the disk fails or a record is damaged.
func (c *Cluster) newRaft(notify chan<- bool) (*raft.Raft, error) {
	type result struct {
		r   *raft.Raft
		err error
	}
	done := make(chan result, 1)
	go func() {
		defer close(done)
		logs := raft.LogStore(c.guard)
		cache, err := raft.NewLogCache(logCacheSize, logs)
		if err != nil {
			done <- result{nil, err}
			return
		}
		r, err := raft.NewRaft(c.cfg.raft(notify), c.fsm, cache, c.guard, c.snaps, c.transport)
		done <- result{r, err}
	}()
	res, ok := <-done
	if !ok {
		return nil, c.failure()
	}
	if res.err != nil {
		return nil, fmt.Errorf("cluster: start raft in %s: %w", c.cfg.DataDir, res.err)
	}
	return res.r, nil
}

// Ready is closed when this replica is part of a cluster and raft runs.
func (c *Cluster) Ready() <-chan struct{} { return c.ready }

// NodeID is this replica's name.
func (c *Cluster) NodeID() string { return c.cfg.NodeID }

// ClusterID is the cluster's id, minted when it was formed; empty before.
func (c *Cluster) ClusterID() string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.identity.clusterID
}
