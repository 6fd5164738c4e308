package cluster

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
)

// HandleJoin lets a replica in, as a non-voter that is promoted later. Only the
// leader can; another answers *[ErrNotLeader] with the leader's address.
func (c *Cluster) HandleJoin(ctx context.Context, req JoinRequest) (JoinResponse, error) {
	ours := c.ClusterID()
	if ours == "" { // a replica without a cluster, where one with the leader is believed to be
		return JoinResponse{}, ErrNotReady
	}
	if req.ClusterID != "" && req.ClusterID != ours {
		return JoinResponse{}, &ErrWrongCluster{Ours: ours, Theirs: req.ClusterID, Peer: req.NodeID}
	}
	if err := c.VerifyLeader(ctx); err != nil {
		return JoinResponse{}, err
	}
	if err := c.admit(ctx, req); err != nil {
		return JoinResponse{}, err
	}
	leader, _ := c.Leader()
	if leader.ID != c.cfg.NodeID {
		return JoinResponse{}, c.notLeader()
	}
	c.cfg.Logger.Info("let a replica in", "replica", req.NodeID, "address", req.Address, "fresh", req.Fresh)
	return JoinResponse{ClusterID: ours, Leader: leader}, nil
}

// admit changes the configuration as far as the request needs it.
func (c *Cluster) admit(ctx context.Context, req JoinRequest) error {
	members, err := c.Members()
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.Address == req.Address && m.ID != req.NodeID {
			return &ErrNameTaken{NodeID: req.NodeID, Address: req.Address, Holder: m.ID}
		}
	}
	old, known, err := c.member(req.NodeID)
	if err != nil {
		return err
	}
	if known && c.livesElsewhere(ctx, old, req) {
		return &ErrNameTaken{NodeID: req.NodeID, Address: req.Address, Holder: "the replica at " + old.Address}
	}
	if known && old.Voter && req.Fresh {
		if err := c.demote(ctx, req.NodeID); err != nil {
			return err
		}
	}
	return c.AddNonvoter(ctx, req.NodeID, req.Address)
}

// livesElsewhere says whether another living replica has the name already.
func (c *Cluster) livesElsewhere(ctx context.Context, old Member, req JoinRequest) bool {
	if old.ID == c.cfg.NodeID {
		return true
	}
	if old.Address == req.Address || c.cfg.Seeder == nil {
		return false
	}
	s, err := c.askStatus(ctx, old.Address)
	return err == nil && s.NodeID == req.NodeID && s.HasCluster
}

// promoteNonvoters gives, while this replica leads, a vote to each member that
// has caught up.
func (c *Cluster) promoteNonvoters(r *raft.Raft) {
	if c.cfg.Seeder == nil {
		return
	}
	tick := time.NewTicker(c.cfg.Profile.Heartbeat / 2)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.stopped:
			return
		case <-c.ctx.Done():
			return
		}
		if r.State() == raft.Leader {
			c.promoteOnce(r)
		}
	}
}

func (c *Cluster) promoteOnce(r *raft.Raft) {
	members, err := c.Members()
	if err != nil {
		return
	}
	for _, m := range members {
		if m.Voter || !c.caughtUp(r, m) {
			continue
		}
		ctx, cancel := context.WithTimeout(c.ctx, c.seedTimeout())
		if err := c.promote(ctx, m); err != nil {
			c.cfg.Logger.Debug("not promoted", "replica", m.ID, "error", err)
		} else {
			c.cfg.Logger.Info("a replica has caught up and votes", "replica", m.ID)
		}
		cancel()
	}
}

// caughtUp asks the member whether it has what was committed before the question.
func (c *Cluster) caughtUp(r *raft.Raft, m Member) bool {
	committed := r.CommitIndex()
	s, err := c.askStatus(c.ctx, m.Address)
	return err == nil && s.NodeID == m.ID && s.ClusterID == c.ClusterID() && s.Applied >= committed
}
