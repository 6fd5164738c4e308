package backplanetest

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// settle lets hellos and presence tables arrive; in a synctest bubble it takes
// no time.
func settle() {
	time.Sleep(time.Second)
	synctest.Wait()
}

func wantID(t *testing.T, n *Node, to ipmb.Addr) {
	t.Helper()
	r, err := n.DeviceID(t.Context(), to)
	if err != nil || len(r.Data) != 1 || r.Data[0] != byte(to) {
		t.Fatalf("%s asks %s: %v, %v", n.Name, to, r, err)
	}
}

func TestNodeToNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(t, nil, "r1", "r2", "r3")
		one, two := b.Node("lab", "n1", 0x41, nil), b.Node("lab", "n2", 0x42, nil)
		settle()
		wantID(t, one, two.Addr)
		wantID(t, two, one.Addr)
		if got := two.Seen()[0].Origin; got.Shelf != "lab" || got.Source != one.Addr || got.Privilege != ipmb.PrivilegeOperator {
			t.Errorf("origin at the target: %+v", got)
		}
	})
}

func TestToManager(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(t, nil, "r1", "r2", "r3")
		n := b.Node("lab", "n1", 0x41, nil)
		settle()
		wantID(t, n, ipmb.AddrShelfManager)
		b.Elect("r3")
		wantID(t, n, ipmb.AddrShelfManager)
	})
}

// A node that cannot reach the leader is served through a follower.
func TestFollowerRelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(t, nil, "r1", "r2", "r3")
		b.Net.Cut("n1", "r1")
		n := b.Node("lab", "n1", 0x41, nil)
		settle()
		wantID(t, n, ipmb.AddrShelfManager)
	})
}

// Two nodes that share no replica reach each other by one hop.
func TestOneHop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(t, nil, "r1", "r2", "r3")
		for _, cut := range [][2]string{{"n1", "r2"}, {"n1", "r3"}, {"n2", "r1"}, {"n2", "r3"}} {
			b.Net.Cut(cut[0], cut[1])
		}
		one, two := b.Node("lab", "n1", 0x41, nil), b.Node("lab", "n2", 0x42, nil)
		settle()
		wantID(t, one, two.Addr)
	})
}

func TestAbsentFailsFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(t, nil, "r1")
		n := b.Node("lab", "n1", 0x41, nil)
		settle()
		start := time.Now()
		if _, err := n.DeviceID(t.Context(), 0x84); !errors.Is(err, ipmb.ErrDestination) || time.Since(start) != 0 {
			t.Errorf("absent controller: %v after %v", err, time.Since(start))
		}
	})
}

func TestLostIsHeldThenAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(t, nil, "r1", "r2", "r3")
		one, two := b.Node("lab", "n1", 0x41, nil), b.Node("lab", "n2", 0x42, nil)
		settle()
		_ = two.Stop()
		settle()
		if got := one.Uplink.Presence(two.Addr); got != v1.PresenceState_PRESENCE_STATE_LOST {
			t.Fatalf("just lost: %v", got)
		}
		time.Sleep(11 * time.Second)
		if got := one.Uplink.Presence(two.Addr); got != v1.PresenceState_PRESENCE_STATE_ABSENT {
			t.Fatalf("after the grace: %v", got)
		}
	})
}

func TestTwoShelvesDoNotMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(t, nil, "r1", "r2")
		one := b.Node("lab", "n1", 0x41, nil)
		twin := b.Node("lab2", "m1", 0x41, nil)
		other := b.Node("lab2", "m2", 0x42, nil)
		settle()
		if _, err := one.DeviceID(t.Context(), other.Addr); !errors.Is(err, ipmb.ErrDestination) {
			t.Errorf("a slot of the other shelf: %v", err)
		}
		wantID(t, other, twin.Addr)
		if len(one.Seen()) != 0 || len(twin.Seen()) != 1 {
			t.Errorf("one saw %d requests, its twin %d", len(one.Seen()), len(twin.Seen()))
		}
	})
}
