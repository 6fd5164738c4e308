package inmem

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// echo answers each heartbeat with the same one until the caller detaches.
type echo struct {
	v1.UnimplementedBackplaneServer
	end error
}

func (e echo) Attach(s v1.Backplane_AttachServer) error {
	for {
		m, err := s.Recv()
		if err != nil {
			return err
		}
		if m.GetDetach() != nil {
			return e.end
		}
		if err := s.Send(&v1.AttachResponse{Kind: &v1.AttachResponse_Heartbeat{Heartbeat: m.GetHeartbeat()}}); err != nil {
			return err
		}
	}
}

func (echo) Status(context.Context, *v1.StatusRequest) (*v1.StatusResponse, error) {
	return &v1.StatusResponse{Replica: "r1"}, nil
}

func attach(t *testing.T, n *Network, e echo) v1.Backplane_AttachClient {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stop := n.Serve("r1", e)
	t.Cleanup(func() { n.HealAll(); cancel(); stop(); n.Wait() })
	c, err := n.Dialer("n1")(ctx, "r1")
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Attach(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func beat(t *testing.T, s v1.Backplane_AttachClient, n uint64) {
	t.Helper()
	if err := s.Send(&v1.AttachRequest{Kind: &v1.AttachRequest_Heartbeat{Heartbeat: &v1.Heartbeat{N: n}}}); err != nil {
		t.Fatal(err)
	}
}

func wantBeat(t *testing.T, s v1.Backplane_AttachClient, n uint64) {
	t.Helper()
	if m, err := s.Recv(); err != nil || m.GetHeartbeat().GetN() != n {
		t.Fatalf("got %v, %v, want heartbeat %d", m, err, n)
	}
}

func TestStreamEndsWithItsHandler(t *testing.T) {
	failed := errors.New("failed")
	for name, tt := range map[string]struct{ end, want error }{"well": {nil, io.EOF}, "badly": {failed, failed}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := attach(t, NewNetwork(), echo{end: tt.end})
				beat(t, s, 1)
				if err := s.Send(&v1.AttachRequest{Kind: &v1.AttachRequest_Detach{Detach: &v1.Detach{}}}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				wantBeat(t, s, 1) // what was sent before the end still arrives
				for range 2 {
					if _, err := s.Recv(); !errors.Is(err, tt.want) {
						t.Errorf("end of the stream: %v", err)
					}
				}
				for range depth + 1 { // a stream that is over takes nothing, and does not block
					if err := s.Send(&v1.AttachRequest{}); err != nil {
						return
					}
				}
				t.Error("the stream still takes messages")
			})
		})
	}
}

func TestCutHoldsBackAndHealDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		s := attach(t, n, echo{})
		n.Cut("r1", "n1")
		start := time.Now()
		time.AfterFunc(time.Minute, func() { n.Heal("n1", "r1") })
		beat(t, s, 1)
		wantBeat(t, s, 1)
		if got := time.Since(start); got != time.Minute {
			t.Errorf("arrived after %v", got)
		}
	})
}

func TestDisturb(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		s := attach(t, n, echo{})
		n.Disturb(func(from, _ string, m proto.Message) Disturbance {
			if r, ok := m.(*v1.AttachRequest); ok && from == "n1" && r.GetHeartbeat().GetN() == 1 {
				return Disturbance{Delay: time.Second, Copies: 1}
			}
			return Disturbance{}
		})
		beat(t, s, 1)
		beat(t, s, 2)
		for _, want := range []uint64{2, 1, 1} {
			wantBeat(t, s, want)
		}
	})
}

func TestNobodyServes(t *testing.T) {
	n := NewNetwork()
	c, err := n.Dialer("n1")(t.Context(), "r9")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Attach(t.Context()); status.Code(err) != codes.Unavailable {
		t.Errorf("stream to nobody: %v", err)
	}
	stop := n.Serve("r9", echo{})
	if s, err := c.Status(t.Context(), &v1.StatusRequest{}); err != nil || s.GetReplica() != "r1" {
		t.Errorf("call: %v, %v", s, err)
	}
	stop()
	if _, err := c.Status(t.Context(), &v1.StatusRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("call after the end: %v", err)
	}
}
