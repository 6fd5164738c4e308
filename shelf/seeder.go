package shelf

import (
	"context"
	"fmt"

	"github.com/midplane-project/midplane/internal/link"
	"github.com/midplane-project/midplane/internal/version"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/backplane"
	"github.com/midplane-project/midplane/shelf/cluster"
)

// seeder asks other replicas over the bus; it is what the cluster forms by.
type seeder struct{ dial link.Dialer }

func (s seeder) Status(ctx context.Context, addr string) (out cluster.Status, err error) {
	err = s.ask(ctx, addr, func(c v1.BackplaneClient) error {
		r, err := c.Status(ctx, &v1.StatusRequest{})
		if err != nil {
			return err
		}
		out = cluster.Status{
			NodeID: r.Replica, Instance: r.Instance, HasCluster: r.HasCluster,
			ClusterID: r.Cluster, Applied: r.Applied, Leader: leaderFrom(r.Leader),
		}
		return nil
	})
	return out, err
}

func (s seeder) Join(ctx context.Context, addr string, req cluster.JoinRequest) (out cluster.JoinResponse, err error) {
	err = s.ask(ctx, addr, func(c v1.BackplaneClient) error {
		r, err := c.Join(ctx, &v1.JoinRequest{Replica: req.NodeID, Address: req.Address, Cluster: req.ClusterID, Fresh: req.Fresh})
		if err != nil {
			return err
		}
		out = cluster.JoinResponse{ClusterID: r.Cluster, Leader: leaderFrom(r.Leader)}
		switch r.Refusal {
		case v1.JoinRefusal_JOIN_REFUSAL_UNSPECIFIED:
			return nil
		case v1.JoinRefusal_JOIN_REFUSAL_NOT_LEADER:
			return &cluster.ErrNotLeader{Leader: out.Leader}
		case v1.JoinRefusal_JOIN_REFUSAL_WRONG_CLUSTER:
			return &cluster.ErrWrongCluster{Ours: req.ClusterID, Theirs: r.Cluster, Peer: addr}
		case v1.JoinRefusal_JOIN_REFUSAL_NAME_TAKEN:
			return &cluster.ErrNameTaken{NodeID: req.NodeID, Address: req.Address, Holder: r.Peer}
		}
		return fmt.Errorf("join at %s refused: %s", addr, r.Refusal)
	})
	return out, err
}

func (s seeder) ask(ctx context.Context, addr string, f func(v1.BackplaneClient) error) error {
	conn, err := s.dial(ctx, addr)
	if err != nil {
		return fmt.Errorf("ask the replica at %s: %w", addr, err)
	}
	defer conn.Close()
	return f(conn)
}

func leaderFrom(l *v1.LeaderAddress) cluster.Leader {
	return cluster.Leader{ID: l.GetReplica(), Address: l.GetAddress(), Term: l.GetTerm()}
}

func leaderTo(l cluster.Leader) *v1.LeaderAddress {
	if l.ID == "" {
		return nil
	}
	return &v1.LeaderAddress{Replica: l.ID, Address: l.Address, Term: l.Term}
}

// bus is the Backplane service of a replica: the switch's streams, and what
// other replicas ask before they have joined.
type bus struct {
	*backplane.Switch
	cluster *cluster.Cluster
}

func (b *bus) Status(context.Context, *v1.StatusRequest) (*v1.StatusResponse, error) {
	s := b.cluster.Status()
	return &v1.StatusResponse{
		Replica: s.NodeID, Cluster: s.ClusterID, HasCluster: s.HasCluster, Version: version.Get(),
		Instance: s.Instance, Applied: s.Applied, Leader: leaderTo(s.Leader),
	}, nil
}

func (b *bus) Join(ctx context.Context, r *v1.JoinRequest) (*v1.JoinResponse, error) {
	out, err := b.cluster.HandleJoin(ctx, cluster.JoinRequest{NodeID: r.Replica, Address: r.Address, ClusterID: r.Cluster, Fresh: r.Fresh})
	return joinResponse(out, err)
}
