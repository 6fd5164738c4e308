package backplanetest

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/midplane-project/midplane/internal/link"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/uplink"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// overGRPC serves a replica on a listener, and gives a change of a node's
// config that makes it attach there.
func overGRPC(tb testing.TB, r *Replica, ln net.Listener, dial func(context.Context, string) (net.Conn, error)) func(*uplink.Config) {
	tb.Helper()
	s := grpc.NewServer()
	v1.RegisterBackplaneServer(s, r.Switch)
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	tb.Cleanup(func() { s.Stop(); <-served })
	return func(c *uplink.Config) {
		c.Dial = func(context.Context, string) (link.Conn, error) {
			cc, err := grpc.NewClient("passthrough:///"+ln.Addr().String(),
				grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(dial))
			if err != nil {
				return nil, err
			}
			return link.OverGRPC(cc), nil
		}
	}
}

func buffered(tb testing.TB, r *Replica) func(*uplink.Config) {
	ln := bufconn.Listen(1 << 20)
	return overGRPC(tb, r, ln, func(ctx context.Context, _ string) (net.Conn, error) { return ln.DialContext(ctx) })
}

// present waits until a node knows of another one.
func present(tb testing.TB, n *Node, a ipmb.Addr) {
	tb.Helper()
	for n.Uplink.Presence(a) != v1.PresenceState_PRESENCE_STATE_PRESENT {
		select {
		case <-tb.Context().Done():
			tb.Fatal("the other node did not come")
		case <-time.After(time.Millisecond):
		}
	}
}

func TestOverGRPC(t *testing.T) {
	b := New(t, nil, "r1")
	dial := buffered(t, b.Replicas[0])
	one, two := b.Node("lab", "n1", 0x41, dial), b.Node("lab", "n2", 0x42, dial)
	present(t, one, two.Addr)
	wantID(t, one, two.Addr)
	wantID(t, one, ipmb.AddrShelfManager)
	if err := two.Uplink.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.State.Slot("lab", 0x42).Held {
		t.Error("the claim of the node that left goes on")
	}
}

// A refusal must reach the node before its stream ends.
func TestRefusalOverGRPC(t *testing.T) {
	b := New(t, nil, "r1")
	dial := buffered(t, b.Replicas[0])
	boot := func(n uint64) func(*uplink.Config) {
		return func(c *uplink.Config) { dial(c); c.Boot = n; copy(c.Instance[:], "the same instance") }
	}
	old := b.Node("lab", "n1", 0x41, boot(1))
	present(t, old, old.Addr)
	b.Node("lab", "n1again", 0x41, boot(2))
	var refused *uplink.RefusedError
	if err := old.Ended(); !errors.As(err, &refused) {
		t.Errorf("earlier start ended with %v", err)
	}
}

// roundTrips asks one node from another. parallel is how many ask at once per
// CPU; 0 is one asker alone.
func roundTrips(b *testing.B, one, two *Node, parallel int) {
	present(b, one, two.Addr)
	req := GetDeviceID(ipmb.SpeakerController)
	ask := func() {
		if _, err := one.Requester.Do(b.Context(), two.Addr, req, ipmb.LinuxRhythm); err != nil {
			b.Error(err)
		}
	}
	b.ReportAllocs()
	if parallel == 0 {
		for b.Loop() {
			ask()
		}
		return
	}
	b.SetParallelism(parallel)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			ask()
		}
	})
}

// BenchmarkRoundTrip is node → replica → node and back. Over gRPC it uses a TCP
// loopback socket without TLS.
func BenchmarkRoundTrip(b *testing.B) {
	for _, p := range []struct {
		name     string
		parallel int
	}{{"one", 0}, {"16-per-cpu", 16}} {
		b.Run("inmem/"+p.name, func(b *testing.B) {
			bus := New(b, nil, "r1")
			roundTrips(b, bus.Node("lab", "n1", 0x41, nil), bus.Node("lab", "n2", 0x42, nil), p.parallel)
		})
		b.Run("grpc/"+p.name, func(b *testing.B) {
			bus := New(b, nil, "r1")
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			dial := overGRPC(b, bus.Replicas[0], ln, func(ctx context.Context, addr string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
			})
			roundTrips(b, bus.Node("lab", "n1", 0x41, dial), bus.Node("lab", "n2", 0x42, dial), p.parallel)
		})
	}
}
