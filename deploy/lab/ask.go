package lab

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/midplane-project/midplane/deploy/lab/proc"
	"github.com/midplane-project/midplane/internal/problem"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// ReplicaStatus asks a replica how its cluster is.
func (l *Lab) ReplicaStatus(ctx context.Context, e Endpoint) (*v1.ClusterStatusResponse, error) {
	conn, err := e.Dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	return v1.NewClusterClient(conn).Status(ctx, &v1.ClusterStatusRequest{})
}

// Leader asks the replicas for the active shelf manager. Only what one says of
// itself counts, since followers go on naming a dead leader for a while, and the
// highest term: a leader that was stopped may not know that it is none.
func (l *Lab) Leader(ctx context.Context) (name string, err error) {
	var term uint64
	var all []error
	for _, e := range l.ReplicaAPIs() {
		if r, running := l.dir().Running(l.hostOf(e.Name)); !running || proc.Stopped(r.PID) {
			continue
		}
		s, err := l.ReplicaStatus(ctx, e)
		if err != nil {
			all = append(all, fmt.Errorf("%s: %w", e.Name, err))
			continue
		}
		if s.GetLeader() == e.Name && s.GetTerm() >= term {
			name, term = s.GetLeader(), s.GetTerm()
		}
	}
	if name == "" {
		return "", &problem.Error{
			Code: problem.Unavailable, What: "shelf " + l.Name + " has no leader at present", Why: errors.Join(all...),
			Do: "midplane ls shows what runs; midplane up starts what is missing",
		}
	}
	return name, nil
}

// hostOf is the process in which a replica or node runs.
func (l *Lab) hostOf(name string) string {
	if l.Compact {
		return compactName
	}
	return name
}

// NodeStatus asks a node how it is.
func (l *Lab) NodeStatus(ctx context.Context, name string) (*v1.NodeStatusResponse, error) {
	conn, err := l.NodeAPI(name).Dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	return v1.NewNodeClient(conn).Status(ctx, &v1.NodeStatusRequest{})
}

// PowerOn switches a node's VM on.
func (l *Lab) PowerOn(ctx context.Context, name string) error {
	conn, err := l.NodeAPI(name).Dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	_, err = v1.NewNodeClient(conn).Power(ctx, &v1.PowerRequest{Action: v1.PowerAction_POWER_ACTION_ON})
	return err
}

func cutNode(process string) (name string, ok bool) { return strings.CutPrefix(process, nodePrefix) }
