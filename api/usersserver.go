package api

import (
	"context"
	"log/slog"
	"sync"

	"google.golang.org/grpc"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf"
)

// NodeUsers serves the users of one node.
type NodeUsers struct {
	v1.UnimplementedUsersServer
	accounts accounts
}

func registerNodeUsers(s *grpc.Server, n *node.Node) {
	v1.RegisterUsersServer(s, &NodeUsers{accounts: accounts{
		do:  func(ctx context.Context, r *ipmb.Request) (ipmb.Response, error) { return n.ServeIPMI(ctx, r), nil },
		log: n.Log,
	}})
}

// List implements v1.UsersServer.
func (s *NodeUsers) List(ctx context.Context, _ *v1.ListUsersRequest) (*v1.ListUsersResponse, error) {
	m, err := s.accounts.list(ctx)
	return m, rpcError(err)
}

// Add implements v1.UsersServer.
func (s *NodeUsers) Add(ctx context.Context, r *v1.AddUserRequest) (*v1.User, error) {
	m, err := s.accounts.add(ctx, r)
	return m, rpcError(err)
}

// Change implements v1.UsersServer.
func (s *NodeUsers) Change(ctx context.Context, r *v1.ChangeUserRequest) (*v1.User, error) {
	m, err := s.accounts.change(ctx, r)
	return m, rpcError(err)
}

// Remove implements v1.UsersServer.
func (s *NodeUsers) Remove(ctx context.Context, r *v1.RemoveUserRequest) (*v1.RemoveUserResponse, error) {
	return &v1.RemoveUserResponse{}, rpcError(s.accounts.remove(ctx, r))
}

// ShelfUsers serves the users of the shelf managers at one replica. They are
// replicated; only the leader changes them.
type ShelfUsers struct {
	v1.UnimplementedUsersServer
	replica *shelf.Replica

	mu      sync.Mutex
	shelves map[string]*accounts
}

func registerShelfUsers(s *grpc.Server, r *shelf.Replica) {
	v1.RegisterUsersServer(s, &ShelfUsers{replica: r, shelves: make(map[string]*accounts)})
}

// of gives the users of a shelf.
func (s *ShelfUsers) of(shelf string) (*accounts, error) {
	name, err := s.replica.ShelfName(shelf)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shelves[name] == nil {
		s.shelves[name] = &accounts{
			do: func(ctx context.Context, r *ipmb.Request) (ipmb.Response, error) {
				return s.replica.Raw(ctx, name, ipmb.AddrShelfManager, r)
			},
			log: func() *slog.Logger { return s.replica.Log().With("shelf", name) },
		}
	}
	return s.shelves[name], nil
}

// usersAtLeader asks the leader's own API, or carries out here. A change that is
// passed on is noted, since the leader does not know who wants it.
func usersAtLeader[Rs any](ctx context.Context, s *ShelfUsers, shelf, change string, there func(v1.UsersClient) (Rs, error), here func(*accounts) (Rs, error)) (Rs, error) {
	var none Rs
	a, err := s.of(shelf)
	if err != nil {
		return none, shelfError(err)
	}
	return atLeader(s.replica,
		func(cc *grpc.ClientConn) (Rs, error) {
			if change != "" {
				a.log().Info("passed to the leader: "+change, "by", caller(ctx))
			}
			return there(v1.NewUsersClient(cc))
		},
		func() (Rs, error) {
			m, err := here(a)
			if err != nil {
				return none, shelfError(err)
			}
			return m, nil
		})
}

// List implements v1.UsersServer.
func (s *ShelfUsers) List(ctx context.Context, r *v1.ListUsersRequest) (*v1.ListUsersResponse, error) {
	return usersAtLeader(ctx, s, r.Shelf, "",
		func(c v1.UsersClient) (*v1.ListUsersResponse, error) { return c.List(ctx, r) },
		func(a *accounts) (*v1.ListUsersResponse, error) { return a.list(ctx) })
}

// Add implements v1.UsersServer.
func (s *ShelfUsers) Add(ctx context.Context, r *v1.AddUserRequest) (*v1.User, error) {
	return usersAtLeader(ctx, s, r.Shelf, "user added",
		func(c v1.UsersClient) (*v1.User, error) { return c.Add(ctx, r) },
		func(a *accounts) (*v1.User, error) { return a.add(ctx, r) })
}

// Change implements v1.UsersServer.
func (s *ShelfUsers) Change(ctx context.Context, r *v1.ChangeUserRequest) (*v1.User, error) {
	return usersAtLeader(ctx, s, r.Shelf, "user changed",
		func(c v1.UsersClient) (*v1.User, error) { return c.Change(ctx, r) },
		func(a *accounts) (*v1.User, error) { return a.change(ctx, r) })
}

// Remove implements v1.UsersServer.
func (s *ShelfUsers) Remove(ctx context.Context, r *v1.RemoveUserRequest) (*v1.RemoveUserResponse, error) {
	return usersAtLeader(ctx, s, r.Shelf, "user removed",
		func(c v1.UsersClient) (*v1.RemoveUserResponse, error) { return c.Remove(ctx, r) },
		func(a *accounts) (*v1.RemoveUserResponse, error) { return &v1.RemoveUserResponse{}, a.remove(ctx, r) })
}
