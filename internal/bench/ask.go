package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

const askPatience = 2 * time.Second

// ask calls the API of one replica by its Unix socket.
func ask[T any](ctx context.Context, d *daemon, call func(context.Context, *grpc.ClientConn) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	var none T
	cc, err := grpc.NewClient(d.api, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return none, err
	}
	defer cc.Close()
	return call(ctx, cc)
}

func clusterStatus(ctx context.Context, cc *grpc.ClientConn) (*v1.ClusterStatusResponse, error) {
	return v1.NewClusterClient(cc).Status(ctx, &v1.ClusterStatusRequest{})
}

// status is the cluster's as its leader tells it.
func (s *stand) status(ctx context.Context) (*v1.ClusterStatusResponse, error) {
	var all []error
	for _, d := range s.replicas {
		st, err := ask(ctx, d, clusterStatus)
		switch {
		case err != nil:
			all = append(all, err)
		case st.Leader != "" && st.Leader == st.Replica:
			return st, nil
		}
	}
	return nil, errors.Join(append(all, errors.New("no replica leads"))...)
}

// leader gives the number of the replica that leads, from 0.
func (s *stand) leader(ctx context.Context) (int, error) {
	st, err := s.status(ctx)
	if err != nil {
		return 0, err
	}
	for i := range s.replicas {
		if replicaName(i) == st.Leader {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%s leads: who is that?", st.Leader)
}

// present tells which nodes the shelf does not see at every replica.
func (s *stand) present(ctx context.Context) error {
	for i, d := range s.replicas {
		r, err := ask(ctx, d, func(ctx context.Context, cc *grpc.ClientConn) (*v1.ListSlotsResponse, error) {
			return v1.NewShelfClient(cc).ListSlots(ctx, &v1.ListSlotsRequest{Shelf: shelfName})
		})
		if err != nil {
			return fmt.Errorf("%s: %w", replicaName(i), err)
		}
		n := 0
		for _, slot := range r.Slots {
			if slot.Presence == v1.PresenceState_PRESENCE_STATE_PRESENT {
				n++
			}
		}
		if n < len(s.nodes) {
			return fmt.Errorf("%s sees %d of %d nodes", replicaName(i), n, len(s.nodes))
		}
	}
	return nil
}
