package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// Member is one replica as the cluster's configuration has it.
type Member struct {
	ID, Address string
	Voter       bool // false: it follows and will be promoted when caught up
}

// Members lists the replicas in the newest configuration that this one knows.
func (c *Cluster) Members() ([]Member, error) {
	r := c.running()
	if r == nil {
		return nil, ErrNotReady
	}
	f := r.GetConfiguration()
	if err := f.Error(); err != nil {
		return nil, c.readError("read the configuration", err)
	}
	var members []Member
	for _, s := range f.Configuration().Servers {
		members = append(members, Member{ID: string(s.ID), Address: string(s.Address), Voter: s.Suffrage == raft.Voter})
	}
	return members, nil
}

// member finds one member by its id.
func (c *Cluster) member(id string) (Member, bool, error) {
	members, err := c.Members()
	for _, m := range members {
		if m.ID == id {
			return m, true, nil
		}
	}
	return Member{}, false, err
}

func (c *Cluster) voters() int {
	n := 0
	members, _ := c.Members() //nolint:errcheck // no members, no voters
	for _, m := range members {
		if m.Voter {
			n++
		}
	}
	return n
}

func (c *Cluster) hasOtherVoters() bool {
	members, _ := c.Members() //nolint:errcheck // no members, no voters
	for _, m := range members {
		if m.Voter && m.ID != c.cfg.NodeID {
			return true
		}
	}
	return false
}

// AddNonvoter makes a replica a member that follows; the leader promotes it
// when it has caught up. Only the leader can. A member whose address has changed
// leaves and comes back as a non-voter: hashicorp/raft v1.8.0 changes the address
// of a peer to which it replicates without the lock that its reader needs.
func (c *Cluster) AddNonvoter(ctx context.Context, id, addr string) error {
	old, known, err := c.member(id)
	if err != nil {
		return err
	}
	if known && old.Address == addr {
		return nil
	}
	if known {
		if err := c.Remove(ctx, id); err != nil {
			return err
		}
	}
	return c.change(ctx, "add "+id, func(r *raft.Raft) raft.IndexFuture {
		return r.AddNonvoter(raft.ServerID(id), raft.ServerAddress(addr), 0, timeLeft(ctx))
	})
}

// Remove ends a replica's membership. Only the leader can, and not its own.
func (c *Cluster) Remove(ctx context.Context, id string) error {
	if id == c.cfg.NodeID {
		return fmt.Errorf("cluster: %s is the leader and cannot remove itself: transfer the leadership first", id)
	}
	if _, ok, err := c.member(id); err != nil || !ok {
		return errors.Join(err, fmt.Errorf("cluster: no member is called %q", id))
	}
	return c.change(ctx, "remove "+id, func(r *raft.Raft) raft.IndexFuture {
		return r.RemoveServer(raft.ServerID(id), 0, timeLeft(ctx))
	})
}

func (c *Cluster) demote(ctx context.Context, id string) error {
	return c.change(ctx, "demote "+id, func(r *raft.Raft) raft.IndexFuture {
		return r.DemoteVoter(raft.ServerID(id), 0, timeLeft(ctx))
	})
}

func (c *Cluster) promote(ctx context.Context, m Member) error {
	return c.change(ctx, "promote "+m.ID, func(r *raft.Raft) raft.IndexFuture {
		return r.AddVoter(raft.ServerID(m.ID), raft.ServerAddress(m.Address), 0, timeLeft(ctx))
	})
}

// change runs one membership change; each is idempotent, so an unknown outcome
// needs no type of its own.
func (c *Cluster) change(ctx context.Context, what string, submit func(*raft.Raft) raft.IndexFuture) error {
	_, err := call(ctx, c, submit)
	return c.readError(what, err)
}

// TransferLeadership hands over to the voter named, or to the one that is
// furthest along if id is empty, and waits until it has happened.
func (c *Cluster) TransferLeadership(ctx context.Context, id string) error {
	to := Member{}
	if id != "" {
		m, ok, err := c.member(id)
		if err != nil {
			return err
		}
		if !ok || !m.Voter {
			return fmt.Errorf("cluster: %q is not a voter of this cluster", id)
		}
		to = m
	}
	// raft lets the next one catch up in a goroutine that stays for ever when
	// leadership is lost meanwhile (v1.8.0, leadershipTransfer); so catch up first.
	if err := c.Barrier(ctx); err != nil {
		return err
	}
	_, err := call(ctx, c, func(r *raft.Raft) raft.Future {
		if to.ID == "" {
			return r.LeadershipTransfer()
		}
		return r.LeadershipTransferToServer(raft.ServerID(to.ID), raft.ServerAddress(to.Address))
	})
	return c.readError("transfer leadership", err)
}
