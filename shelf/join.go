package shelf

import (
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/cluster"
)

// joinResponse keeps the cluster's typed refusals recognisable over the wire.
func joinResponse(out cluster.JoinResponse, err error) (*v1.JoinResponse, error) {
	var (
		notLeader *cluster.ErrNotLeader
		wrong     *cluster.ErrWrongCluster
		taken     *cluster.ErrNameTaken
	)
	switch {
	case err == nil:
		return &v1.JoinResponse{Cluster: out.ClusterID, Leader: leaderTo(out.Leader)}, nil
	case errors.As(err, &notLeader):
		return &v1.JoinResponse{Leader: leaderTo(notLeader.Leader), Refusal: v1.JoinRefusal_JOIN_REFUSAL_NOT_LEADER}, nil
	case errors.As(err, &wrong):
		return &v1.JoinResponse{Cluster: wrong.Ours, Refusal: v1.JoinRefusal_JOIN_REFUSAL_WRONG_CLUSTER}, nil
	case errors.As(err, &taken):
		return &v1.JoinResponse{Peer: taken.Holder, Refusal: v1.JoinRefusal_JOIN_REFUSAL_NAME_TAKEN}, nil
	}
	return nil, status.Error(codes.Unavailable, err.Error())
}
