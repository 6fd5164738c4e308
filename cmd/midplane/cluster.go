package main

import (
	"context"

	"github.com/spf13/cobra"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// clusterView is the set of replicas as the leader sees it, or, without one,
// the replica that has got furthest.
type clusterView struct {
	Cluster string       `json:"cluster"`
	Told    string       `json:"told_by"`
	Leader  string       `json:"leader"`
	Term    uint64       `json:"term"`
	Shelves []string     `json:"shelves"`
	Members []memberView `json:"members"`
}

type memberView struct {
	Name      string `json:"name"`
	Address   string `json:"address"`
	Role      string `json:"role"` // leader, follower, learner: not a voter yet
	Reachable bool   `json:"reachable"`
	Last      uint64 `json:"last_index"`
	Commit    uint64 `json:"commit_index"`
	Applied   uint64 `json:"applied_index"`
}

func (a *app) clusterVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "cluster",
		Short: "Show the replicas: who leads, who is reachable, how far each is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := a.lab()
			if err != nil {
				return err
			}
			rs, err := dialReplicas(l)
			if err != nil {
				return err
			}
			defer rs.close()
			v, err := rs.members(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(v, v.table)
		},
	}
}

// members asks all replicas and takes the word of the best informed.
func (rs replicas) members(ctx context.Context) (*clusterView, error) {
	all := askAll(ctx, rs, func(ctx context.Context, d daemon) (*v1.ClusterStatusResponse, error) {
		return d.cluster().Status(ctx, &v1.ClusterStatusRequest{})
	})
	var best *v1.ClusterStatusResponse
	for _, a := range all {
		if a.err == nil && (best == nil || informed(a.value, best)) {
			best = a.value
		}
	}
	if best == nil {
		return nil, silent(all)
	}
	v := &clusterView{
		Cluster: best.Cluster, Told: best.Replica, Leader: best.Leader, Term: best.Term,
		Shelves: best.Shelves, Members: []memberView{},
	}
	for _, m := range best.Members {
		v.Members = append(v.Members, memberView{
			Name: m.Name, Address: m.Address, Role: role(m), Reachable: m.Reachable,
			Last: m.LastIndex, Commit: m.CommitIndex, Applied: m.AppliedIndex,
		})
	}
	return v, nil
}

// informed reports whether a knows more than b.
func informed(a, b *v1.ClusterStatusResponse) bool {
	if a.Term != b.Term {
		return a.Term > b.Term
	}
	if leads := a.Leader == a.Replica; leads != (b.Leader == b.Replica) {
		return leads
	}
	return a.CommitIndex > b.CommitIndex
}

const roleLeader = "leader"

func role(m *v1.Member) string {
	switch {
	case m.Leader && m.Reachable: // otherwise it was, and no other has been elected yet
		return roleLeader
	case m.Voter:
		return "follower"
	}
	return "learner"
}

func (v *clusterView) table(t *table) {
	t.header = []string{"NAME", "ADDRESS", "ROLE", "REACHABLE", "TERM", "LAST", "COMMIT", "APPLIED"}
	for _, m := range v.Members {
		if !m.Reachable {
			t.row(m.Name, m.Address, m.Role, "no", "", "", "", "")
			continue
		}
		t.row(m.Name, m.Address, m.Role, "yes", v.Term, m.Last, m.Commit, m.Applied)
	}
}
