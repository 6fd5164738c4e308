package link

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Conn is a connection to one replica's backplane.
type Conn interface {
	v1.BackplaneClient
	Close() error
}

// Dialer connects to the replica that listens at addr. It may connect lazily:
// the first stream then fails instead.
type Dialer func(ctx context.Context, addr string) (Conn, error)

type grpcConn struct {
	v1.BackplaneClient
	cc *grpc.ClientConn
}

func (c grpcConn) Close() error { return c.cc.Close() }

// OverGRPC makes a connection of a gRPC one, and owns it.
func OverGRPC(cc *grpc.ClientConn) Conn {
	return grpcConn{v1.NewBackplaneClient(cc), cc}
}

// Backoff counts failed tries to connect: 20 ms, then half as much again each
// time up to 1 s, give or take a fifth.
type Backoff struct{ next time.Duration }

const (
	backoffFirst  = 20 * time.Millisecond
	backoffMost   = time.Second
	backoffJitter = 0.2
)

// Next is how long to wait before the next try.
func (b *Backoff) Next() time.Duration {
	d := max(b.next, backoffFirst)
	b.next = min(d*3/2, backoffMost)
	return time.Duration(float64(d) * (1 + backoffJitter*(2*rand.Float64()-1)))
}

// Reset starts over: the last try succeeded.
func (b *Backoff) Reset() { b.next = 0 }

// Sleep waits for d or until ctx is over, and reports whether it is not.
func Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
