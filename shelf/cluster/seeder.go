package cluster

import (
	"context"
	"time"
)

// Seeder asks another replica, at the address where it serves raft. The
// network's implementation calls the other's [Cluster.Status] and
// [Cluster.HandleJoin]; the package clustertest has one in memory.
type Seeder interface {
	Status(ctx context.Context, addr string) (Status, error)
	// Join must keep *[ErrNotLeader], *[ErrWrongCluster] and *[ErrNameTaken]
	// recognisable with errors.As.
	Join(ctx context.Context, addr string, req JoinRequest) (JoinResponse, error)
}

// Status is what a replica tells any other that asks.
type Status struct {
	NodeID     string
	Instance   string // random per process: a replica that asks itself sees its own
	HasCluster bool   // it is part of a cluster, or was let into one
	ClusterID  string // empty if HasCluster is false
	Applied    uint64 // newest log index that its state machine has
	Leader     Leader // zero while it knows none
}

// JoinRequest asks to be a member.
type JoinRequest struct {
	NodeID, Address string
	ClusterID       string // empty: whichever cluster this is
	// Fresh says that the replica's disk is empty. If it was a voter, its vote
	// is taken away first: it no longer knows what it has promised.
	Fresh bool
}

// JoinResponse lets a replica in.
type JoinResponse struct {
	ClusterID string
	Leader    Leader
}

// Status answers another replica.
func (c *Cluster) Status() Status {
	c.mu.RLock()
	id, r := c.identity, c.raft
	c.mu.RUnlock()
	s := Status{NodeID: c.cfg.NodeID, Instance: c.instance, HasCluster: r != nil || id.joined}
	if s.HasCluster {
		s.ClusterID = id.clusterID
	}
	if r != nil {
		s.Applied = r.AppliedIndex()
		s.Leader, _ = c.Leader()
	}
	return s
}

// seedTimeout bounds one question to a seed.
func (c *Cluster) seedTimeout() time.Duration { return c.cfg.Profile.ioTimeout() }

func (c *Cluster) askStatus(ctx context.Context, addr string) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, c.seedTimeout())
	defer cancel()
	return c.cfg.Seeder.Status(ctx, addr)
}

func (c *Cluster) askJoin(ctx context.Context, addr string, req JoinRequest) (JoinResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, c.seedTimeout())
	defer cancel()
	return c.cfg.Seeder.Join(ctx, addr, req)
}
