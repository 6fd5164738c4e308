package api

import (
	"context"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/midplane-project/midplane/internal/version"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf"
)

// memberPatience bounds how long a replica waits for another's numbers.
const memberPatience = 500 * time.Millisecond

// amongReplicas marks a call as one that a replica makes to another. Where all
// replicas are one process they call each other by Unix sockets, and no
// certificate says who calls; without the mark each would ask all others again.
const amongReplicas = "midplane-among-replicas"

// ClusterServer serves the set of replicas at one of them.
type ClusterServer struct {
	v1.UnimplementedClusterServer
	replica *shelf.Replica
}

// own is what this replica knows without asking anybody.
func (s *ClusterServer) own() *v1.ClusterStatusResponse {
	st := s.replica.Cluster().Stats()
	out := &v1.ClusterStatusResponse{
		Cluster: st.ClusterID, Replica: s.replica.Name(), Term: st.Term, Leader: st.Leader.ID,
		LastIndex: st.LastIndex, CommitIndex: st.Commit, AppliedIndex: st.Applied, Version: version.Get(),
	}
	for _, sh := range s.replica.State().Shelves() {
		out.Shelves = append(out.Shelves, sh.Name)
	}
	return out
}

// Status implements v1.ClusterServer. Asked by a person, a replica asks the
// others for their numbers; asked by a replica, it gives only its own.
func (s *ClusterServer) Status(ctx context.Context, _ *v1.ClusterStatusRequest) (*v1.ClusterStatusResponse, error) {
	out := s.own()
	members, err := s.replica.Cluster().Members()
	if err != nil {
		return out, nil // not part of a cluster yet: that is what the answer says
	}
	for _, m := range members {
		out.Members = append(out.Members, &v1.Member{Name: m.ID, Address: m.Address, Voter: m.Voter, Leader: m.ID == out.Leader})
	}
	if isReplica(ctx) || len(metadata.ValueFromIncomingContext(ctx, amongReplicas)) > 0 {
		return out, nil
	}
	done := make(chan struct{})
	for _, m := range out.Members {
		go func() {
			defer func() { done <- struct{}{} }()
			s.ask(ctx, m)
		}()
	}
	for range out.Members {
		<-done
	}
	return out, nil
}

// ask fills in what a member says of itself; one that does not answer is not reachable.
func (s *ClusterServer) ask(ctx context.Context, m *v1.Member) {
	if m.Name == s.replica.Name() {
		own := s.own()
		m.Reachable, m.Version = true, version.Get()
		m.LastIndex, m.CommitIndex, m.AppliedIndex = own.LastIndex, own.CommitIndex, own.AppliedIndex
		return
	}
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(ctx, amongReplicas, "1"), memberPatience)
	defer cancel()
	cc, err := s.replica.DialMember(m.Address)
	if err != nil {
		return
	}
	defer cc.Close()
	st, err := v1.NewClusterClient(cc).Status(ctx, &v1.ClusterStatusRequest{})
	if err != nil {
		return
	}
	m.Reachable = true
	m.Version, m.LastIndex, m.CommitIndex, m.AppliedIndex = st.Version, st.LastIndex, st.CommitIndex, st.AppliedIndex
}

// TransferLeadership implements v1.ClusterServer.
func (s *ClusterServer) TransferLeadership(ctx context.Context, r *v1.TransferLeadershipRequest) (*v1.TransferLeadershipResponse, error) {
	return atLeader(s.replica,
		func(cc *grpc.ClientConn) (*v1.TransferLeadershipResponse, error) {
			return v1.NewClusterClient(cc).TransferLeadership(ctx, r)
		},
		func() (*v1.TransferLeadershipResponse, error) {
			if err := s.replica.Cluster().TransferLeadership(ctx, r.Replica); err != nil {
				return nil, status.Error(codes.FailedPrecondition, err.Error())
			}
			return &v1.TransferLeadershipResponse{}, nil
		})
}

// RemoveReplica implements v1.ClusterServer.
func (s *ClusterServer) RemoveReplica(ctx context.Context, r *v1.RemoveReplicaRequest) (*v1.RemoveReplicaResponse, error) {
	return atLeader(s.replica,
		func(cc *grpc.ClientConn) (*v1.RemoveReplicaResponse, error) {
			return v1.NewClusterClient(cc).RemoveReplica(ctx, r)
		},
		func() (*v1.RemoveReplicaResponse, error) {
			if err := s.replica.Cluster().Remove(ctx, r.Replica); err != nil {
				return nil, status.Error(codes.FailedPrecondition, err.Error())
			}
			return &v1.RemoveReplicaResponse{}, nil
		})
}

// onlyLeader refuses what travels as a stream and is not passed on.
func (s *ClusterServer) onlyLeader() error {
	st := s.replica.Cluster().Stats()
	switch st.Leader.ID {
	case s.replica.Name():
		return nil
	case "":
		return shelfError(shelf.ErrNoLeader)
	}
	return status.Errorf(codes.FailedPrecondition, "%s leads: ask it at %s", st.Leader.ID, st.Leader.Address)
}

// Backup implements v1.ClusterServer.
func (s *ClusterServer) Backup(_ *v1.BackupRequest, stream v1.Cluster_BackupServer) error {
	if err := s.onlyLeader(); err != nil {
		return err
	}
	_, err := s.replica.Cluster().Backup(stream.Context(), backupWriter{stream})
	return shelfError(err)
}

type backupWriter struct{ stream v1.Cluster_BackupServer }

func (b backupWriter) Write(p []byte) (int, error) {
	rest := append([]byte(nil), p...)
	for len(rest) > 0 {
		if err := b.stream.Send(&v1.BackupResponse{Data: head(&rest)}); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// Restore implements v1.ClusterServer.
func (s *ClusterServer) Restore(stream v1.Cluster_RestoreServer) error {
	if err := s.onlyLeader(); err != nil {
		return err
	}
	if _, err := s.replica.Cluster().Restore(stream.Context(), &restoreReader{stream: stream}); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return stream.SendAndClose(&v1.RestoreResponse{})
}

type restoreReader struct {
	stream v1.Cluster_RestoreServer
	rest   []byte
}

func (r *restoreReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		m, err := r.stream.Recv()
		if err != nil {
			return 0, err
		}
		r.rest = m.Data
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

var _ io.Reader = (*restoreReader)(nil)
