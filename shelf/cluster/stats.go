package cluster

import (
	"time"

	"github.com/hashicorp/raft"
)

// Stats are a replica's numbers at one moment.
type Stats struct {
	NodeID, Address, ClusterID string
	State                      string // "leader", "follower", "candidate", "stopped", "joining"
	Leader                     Leader // zero: none known
	Term                       uint64
	LastIndex                  uint64    // newest entry in this replica's log
	Commit                     uint64    // newest entry known to be committed
	Applied                    uint64    // newest entry handed to the state machine
	LastContact                time.Time // when the leader was last heard; zero on the leader
}

// Stats reads the numbers; it never waits for raft.
func (c *Cluster) Stats() Stats {
	s := Stats{NodeID: c.cfg.NodeID, Address: c.cfg.Address, ClusterID: c.ClusterID(), State: "joining"}
	r := c.running()
	if r == nil {
		return s
	}
	s.State = stateName(r.State())
	s.Leader, _ = c.Leader()
	s.Term = r.CurrentTerm()
	s.LastIndex, s.Commit, s.Applied = r.LastIndex(), r.CommitIndex(), r.AppliedIndex()
	if r.State() != raft.Leader {
		s.LastContact = r.LastContact()
	}
	return s
}

func stateName(s raft.RaftState) string {
	switch s {
	case raft.Leader:
		return "leader"
	case raft.Follower:
		return "follower"
	case raft.Candidate:
		return "candidate"
	default:
		return "stopped"
	}
}
