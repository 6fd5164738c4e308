package backplane

import (
	"context"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/midplane-project/midplane/internal/trust"
	"github.com/midplane-project/midplane/internal/wire"
	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// relay opens a stream as replica "r2" and gives what the switch says first.
func (r *rig) relay(first *v1.RelayRequest) (v1.Backplane_RelayClient, *v1.RelayResponse, error) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r.t.Cleanup(cancel)
	c, err := r.net.Dialer("r2")(ctx, "r1")
	if err != nil {
		r.t.Fatal(err)
	}
	stream, err := c.Relay(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := stream.Send(first); err != nil {
		r.t.Fatal(err)
	}
	m, err := stream.Recv()
	return stream, m, err
}

func relayHello() *v1.RelayRequest {
	return &v1.RelayRequest{Kind: &v1.RelayRequest_Hello{Hello: &v1.RelayHello{Protocol: Protocol, Replica: "r2"}}}
}

func TestRelayNeedsAReplica(t *testing.T) {
	tests := map[string]struct {
		id    trust.Identity
		first *v1.RelayRequest
		want  codes.Code
	}{
		"replica":         {trust.Identity{Role: trust.Replica, Name: "r2"}, relayHello(), codes.OK},
		"another replica": {trust.Identity{Role: trust.Replica, Name: "r3"}, relayHello(), codes.PermissionDenied},
		"node":            {trust.Identity{Role: trust.Node, Shelf: "lab", Slot: 1}, relayHello(), codes.PermissionDenied},
		"admin":           {trust.Identity{Role: trust.Admin, Name: "r2"}, relayHello(), codes.PermissionDenied},
		"no hello":        {trust.Identity{Role: trust.Replica, Name: "r2"}, &v1.RelayRequest{}, codes.InvalidArgument},
		"later protocol": {
			trust.Identity{Role: trust.Replica, Name: "r2"},
			&v1.RelayRequest{Kind: &v1.RelayRequest_Hello{Hello: &v1.RelayHello{Protocol: 2, Replica: "r2"}}}, codes.FailedPrecondition,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(c *Config) {
					c.Identity = func(context.Context) (trust.Identity, bool) { return tt.id, true }
				})
				if _, _, err := r.relay(tt.first); status.Code(err) != tt.want {
					t.Errorf("got %v, want %v", err, tt.want)
				}
			})
		})
	}
}

func TestRelayedFrames(t *testing.T) {
	tests := map[string]struct {
		shelf    string
		from, to ipmb.Addr
		term     uint64
		epoch    uint64
		want     Fate
	}{
		"from a node":            {"lab", addr2, addr1, 0, 1, Switched},
		"from the leader":        {"lab", ipmb.AddrShelfManager, addr1, 5, 0, Switched},
		"from a later leader":    {"lab", ipmb.AddrShelfManager, addr1, 6, 0, Switched},
		"from an earlier leader": {"lab", ipmb.AddrShelfManager, addr1, 4, 0, OldTerm},
		"of an older claim":      {"lab", addr2, addr1, 0, 0, OldEpoch},
		"of another shelf":       {"lab2", addr2, addr1, 0, 1, Spent},
		"to a third replica":     {"lab", addr2, 0x86, 0, 1, Spent},
		"to the manager":         {"lab", addr2, ipmb.AddrShelfManager, 5, 1, Served},
		"for a later manager":    {"lab", addr2, ipmb.AddrShelfManager, 6, 1, OldTerm},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				one, _ := r.attach(hello(hw1, instanceA, 1))
				r.brain.mu.Lock()
				r.brain.slots[slotKey{"lab", hw2}] = Slot{Held: true, Epoch: 1}
				r.brain.mu.Unlock()
				stream, _, err := r.relay(relayHello())
				if err != nil {
					t.Fatal(err)
				}
				e, err := wire.ToEnvelope(ipmb.Message{
					ID: 1, Instance: instanceB, Term: tt.term, Epoch: tt.epoch, Frame: ipmb.RequestFrame(tt.to, tt.from, 0, 1, deviceID),
				})
				if err != nil {
					t.Fatal(err)
				}
				e.Shelf, e.Hops = tt.shelf, 7 // what a sender says of hops counts for nothing
				err = stream.Send(&v1.RelayRequest{Kind: &v1.RelayRequest_Batch{Batch: &v1.Batch{Envelopes: []*v1.Envelope{e}}}})
				if err != nil {
					t.Fatal(err)
				}
				arrived := one.frames()
				if r.sw.Stats()[tt.want] != 1 || (len(arrived) == 1) != (tt.want == Switched) {
					t.Errorf("arrived %v, stats %v", arrived, r.sw.Stats())
				}
			})
		})
	}
}

// A replica that is asked as leader, and is none, commits nothing.
func TestOnlyTheLeaderClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.leads.Store(&reign{6, "r3"})
		stream, _, err := r.relay(relayHello())
		if err != nil {
			t.Fatal(err)
		}
		claim := &v1.RelayClaim{Request: 9, Hello: hello(hw1, instanceA, 1)}
		if err := stream.Send(&v1.RelayRequest{Kind: &v1.RelayRequest_Claim{Claim: claim}}); err != nil {
			t.Fatal(err)
		}
		m, err := stream.Recv()
		if a := m.GetClaim(); err != nil || a.GetRequest() != 9 || a.GetRefusal().GetCode() != v1.RefusalCode_REFUSAL_CODE_NO_QUORUM {
			t.Errorf("answer %v, %v", m, err)
		}
		if r.brain.slot("lab", hw1).Held {
			t.Error("a follower committed a claim")
		}
	})
}
