package backplanetest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/uplink"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/backplane"
)

// A node that has stopped reading, as a stopped process does, fills its own
// stream only: others go on, the replica gives it up, and closing does not wait
// for it. In virtual time it is not given up before its stream is full.
func TestStalledNodeHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(t, nil, "r1")
		dial := buffered(t, b.Replicas[0])
		one, two := b.Node("lab", "n1", 0x41, dial), b.Node("lab", "n2", 0x42, dial)
		flooder := b.Node("lab", "n4", 0x44, dial)
		stalled(t, dial)
		present(t, one, two.Addr)
		present(t, flooder, 0x86)
		flood := ipmb.Message{Instance: "0123456789abcdef", Frame: ipmb.RequestFrame(0x86, 0, 0, 1, GetDeviceID(0))}
		flood.Frame.Data = make([]byte, ipmb.MaxFramePayload)
		for b.Replicas[0].Switch.Stats()[backplane.Busy] == 0 { // until windows and queue are full
			switch err := flooder.Uplink.Send(t.Context(), flood); ipmb.CodeOf(err) {
			case ipmb.OK:
			case ipmb.ErrBusy:
				time.Sleep(time.Millisecond) // its own queue is full too
			default:
				t.Fatal(err)
			}
		}
		wantID(t, one, two.Addr)
		for one.Uplink.Presence(0x86) == v1.PresenceState_PRESENCE_STATE_PRESENT {
			time.Sleep(10 * time.Millisecond)
		}
		wantID(t, one, two.Addr)
	})
}

// stalled attaches a node at 0x86 that says hello and then does nothing.
func stalled(t *testing.T, dial func(*uplink.Config)) {
	t.Helper()
	var c uplink.Config
	dial(&c)
	ctx, cancel := context.WithCancel(context.Background())
	conn, err := c.Dial(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = conn.Close() })
	s, err := conn.Attach(ctx)
	if err != nil {
		t.Fatal(err)
	}
	h := &v1.NodeHello{Protocol: 1, Shelf: "lab", HardwareAddress: 0x43, Instance: []byte("stalled instance"), Boot: 1}
	if err := s.Send(&v1.AttachRequest{Kind: &v1.AttachRequest_Hello{Hello: h}}); err != nil {
		t.Fatal(err)
	}
}
