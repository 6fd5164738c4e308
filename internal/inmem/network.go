package inmem

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/midplane-project/midplane/internal/link"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Network connects callers to servers by address. Callers and servers share
// one space of addresses, by which Cut knows them.
type Network struct {
	wg     sync.WaitGroup
	faults atomic.Pointer[faults]

	mu      sync.Mutex
	servers map[string]v1.BackplaneServer
}

// NewNetwork makes a network that nothing disturbs.
func NewNetwork() *Network {
	n := &Network{servers: make(map[string]v1.BackplaneServer)}
	n.faults.Store(&faults{cuts: make(map[pair]chan struct{})})
	return n
}

// Serve answers calls to addr until the returned function is called. Streams
// that are open then go on: the server ends them.
func (n *Network) Serve(addr string, s v1.BackplaneServer) (stop func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.servers[addr] = s
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.servers[addr] == s {
			delete(n.servers, addr)
		}
	}
}

// Dialer connects to servers as the caller with the given address.
func (n *Network) Dialer(from string) link.Dialer {
	return func(_ context.Context, addr string) (link.Conn, error) {
		return &conn{n: n, from: from, to: addr}, nil
	}
}

// Wait waits until all handlers have returned; their callers must have ended.
func (n *Network) Wait() { n.wg.Wait() }

func (n *Network) server(addr string) (v1.BackplaneServer, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := n.servers[addr]; s != nil {
		return s, nil
	}
	return nil, status.Error(codes.Unavailable, fmt.Sprintf("inmem: nobody serves %s", addr))
}

// conn is a connection in name only: each call finds the server anew.
type conn struct {
	n        *Network
	from, to string
}

func (c *conn) Close() error { return nil }

func (c *conn) Attach(ctx context.Context, _ ...grpc.CallOption) (v1.Backplane_AttachClient, error) {
	return open(ctx, c, func(s v1.BackplaneServer, st *serverStream[v1.AttachRequest, v1.AttachResponse]) error {
		return s.Attach(st)
	})
}

func (c *conn) Relay(ctx context.Context, _ ...grpc.CallOption) (v1.Backplane_RelayClient, error) {
	return open(ctx, c, func(s v1.BackplaneServer, st *serverStream[v1.RelayRequest, v1.RelayResponse]) error {
		return s.Relay(st)
	})
}

func (c *conn) ServeConsole(ctx context.Context, _ ...grpc.CallOption) (v1.Backplane_ServeConsoleClient, error) {
	return open(ctx, c, func(s v1.BackplaneServer, st *serverStream[v1.ServeConsoleRequest, v1.ServeConsoleResponse]) error {
		return s.ServeConsole(st)
	})
}

func (c *conn) Status(ctx context.Context, r *v1.StatusRequest, _ ...grpc.CallOption) (*v1.StatusResponse, error) {
	s, err := c.reach(ctx)
	if err != nil {
		return nil, err
	}
	out, err := s.Status(ctx, r)
	return answered(ctx, c, out, err)
}

func (c *conn) Join(ctx context.Context, r *v1.JoinRequest, _ ...grpc.CallOption) (*v1.JoinResponse, error) {
	s, err := c.reach(ctx)
	if err != nil {
		return nil, err
	}
	out, err := s.Join(ctx, r)
	return answered(ctx, c, out, err)
}

// reach finds the server, after a cut has healed.
func (c *conn) reach(ctx context.Context) (v1.BackplaneServer, error) {
	if err := c.n.Pass(ctx, c.from, c.to); err != nil {
		return nil, err
	}
	return c.n.server(c.to)
}

// answered lets an answer travel back.
func answered[T any](ctx context.Context, c *conn, out *T, err error) (*T, error) {
	if lost := c.n.Pass(ctx, c.to, c.from); lost != nil {
		return nil, lost
	}
	return out, err
}
