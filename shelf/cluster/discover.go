package cluster

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"
)

// discover looks for a cluster until it has joined or formed one. An error
// that asking again cannot cure stops the replica.
func (c *Cluster) discover() {
	tick := time.NewTicker(c.cfg.Profile.Heartbeat)
	defer tick.Stop()
	for {
		done, err := c.discoverOnce()
		if err != nil && c.ctx.Err() == nil {
			c.fail(err)
		}
		if done || err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-c.broken:
			return
		case <-c.ctx.Done():
			return
		}
	}
}

func (c *Cluster) discoverOnce() (done bool, err error) {
	v := c.survey()
	for _, s := range v.answers {
		if s.NodeID == c.cfg.NodeID {
			return false, &ErrNameTaken{NodeID: c.cfg.NodeID, Address: c.cfg.Address, Holder: "a replica among the seeds"}
		}
	}
	if addr, s, ok := v.cluster(); ok {
		return c.join(addr, s)
	}
	if !c.mayForm(v) {
		return false, nil
	}
	return true, c.form()
}

// view is what the seeds answered; this replica itself is left out.
type view struct {
	answers map[string]Status // by address
	silent  int               // seeds that did not answer
}

// survey asks all seeds at the same time.
func (c *Cluster) survey() view {
	v := view{answers: make(map[string]Status)}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, addr := range c.cfg.Seeds {
		if addr == c.cfg.Address {
			continue
		}
		wg.Go(func() {
			s, err := c.askStatus(c.ctx, addr)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				v.silent++
				c.cfg.Logger.Debug("a seed does not answer", "seed", addr, "error", err)
			case s.Instance != c.instance:
				v.answers[addr] = s
			}
		})
	}
	wg.Wait()
	return v
}

// cluster finds a seed that has a cluster, one that knows a leader if possible.
func (v view) cluster() (addr string, s Status, ok bool) {
	for a, st := range v.answers {
		if st.HasCluster && (!ok || s.Leader.ID == "" || a < addr && st.Leader.ID != "") {
			addr, s, ok = a, st, true
		}
	}
	return addr, s, ok
}

// mayForm says whether every expected replica has answered that it has no
// cluster, and this one has the lowest name. A replica that was once let into
// a cluster never forms one.
func (c *Cluster) mayForm(v view) bool {
	c.mu.RLock()
	joined := c.identity.joined
	c.mu.RUnlock()
	if joined || v.silent > 0 {
		return false
	}
	names := map[string]bool{c.cfg.NodeID: true}
	for _, s := range v.answers {
		if s.NodeID < c.cfg.NodeID {
			return false
		}
		names[s.NodeID] = true
	}
	return len(names) >= c.cfg.Expect
}

// noSeeds says that there is nobody to ask.
func (c *Cluster) noSeeds() bool {
	for _, addr := range c.cfg.Seeds {
		if addr != c.cfg.Address {
			return false
		}
	}
	return true
}

// form starts a cluster with this replica as its only voter; the others join.
// The id is stored first: a crash in between leaves an id without a cluster,
// which the next start uses.
func (c *Cluster) form() error {
	id := c.chooseClusterID()
	if err := c.store.saveFormed(id); err != nil {
		return err
	}
	c.setIdentity(identity{clusterID: id})
	alone := raft.Configuration{Servers: []raft.Server{{
		ID: raft.ServerID(c.cfg.NodeID), Address: raft.ServerAddress(c.cfg.Address),
	}}}
	if err := c.bootstrap(alone); err != nil {
		return err
	}
	c.forming.Store(c.cfg.Expect > 1)
	c.cfg.Logger.Info("formed a cluster", "node", c.cfg.NodeID, "cluster", id)
	return c.startRaft()
}

func (c *Cluster) chooseClusterID() string {
	if id := c.ClusterID(); id != "" {
		return id
	}
	if c.cfg.ClusterID != "" {
		return c.cfg.ClusterID
	}
	return uuid.NewString()
}

func (c *Cluster) bootstrap(servers raft.Configuration) error {
	err := raft.BootstrapCluster(c.cfg.raft(nil), c.store, c.store, c.snaps, nil, servers)
	if err != nil {
		return fmt.Errorf("cluster: write the first configuration: %w", err)
	}
	return nil
}

func (c *Cluster) setIdentity(id identity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.identity = id
}

// join asks to be let in, at the leader if the seed knows one. Only then does
// raft run here: an empty replica that was a voter must not vote before.
func (c *Cluster) join(seed string, s Status) (done bool, err error) {
	want := c.ClusterID()
	if want == "" {
		want = c.cfg.ClusterID
	}
	if want != "" && want != s.ClusterID {
		return false, &ErrWrongCluster{Ours: want, Theirs: s.ClusterID, Peer: "the seed " + seed}
	}
	addr := seed
	if l := s.Leader.Address; l != "" && l != c.cfg.Address { // the seed may not have noticed yet that we led and fell
		addr = l
	}
	resp, err := c.askJoin(c.ctx, addr, JoinRequest{
		NodeID: c.cfg.NodeID, Address: c.cfg.Address, ClusterID: s.ClusterID, Fresh: true,
	})
	if hopeless(err) {
		return false, err
	}
	if err != nil {
		c.cfg.Logger.Debug("not let in yet", "asked", addr, "error", err)
		return false, nil
	}
	return true, c.enterCluster(resp)
}

// hopeless says whether asking again cannot help.
func hopeless(err error) bool {
	var wrong *ErrWrongCluster
	var taken *ErrNameTaken
	return errors.As(err, &wrong) || errors.As(err, &taken)
}

func (c *Cluster) enterCluster(resp JoinResponse) error {
	if err := c.store.saveJoined(resp.ClusterID); err != nil {
		return err
	}
	if err := c.store.adoptTerm(resp.Leader); err != nil {
		return err
	}
	c.setIdentity(identity{clusterID: resp.ClusterID, joined: true})
	c.cfg.Logger.Info("joined a cluster", "node", c.cfg.NodeID, "cluster", resp.ClusterID, "leader", resp.Leader.ID)
	return c.startRaft()
}
