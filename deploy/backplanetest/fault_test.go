package backplanetest

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/uplink"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

func live(n *Node, replica string) bool {
	for _, l := range n.Uplink.Status().Links {
		if l.Replica == replica {
			return l.Live
		}
	}
	return false
}

func TestFrozenReplicaIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(t, nil, "r1", "r2", "r3")
		one, two := b.Node("lab", "n1", 0x41, nil), b.Node("lab", "n2", 0x42, nil)
		settle()
		b.Isolate("r1")
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if live(one, "r1") || live(two, "r1") || !live(one, "r2") {
			t.Fatalf("streams: %+v", one.Uplink.Status().Links)
		}
		wantID(t, one, two.Addr)
		b.Elect("r2", "r1")
		wantID(t, one, ipmb.AddrShelfManager)
		b.Net.HealAll()
		b.Enlighten("r1")
		time.Sleep(5 * time.Second)
		if !live(one, "r1") {
			t.Errorf("no stream to the replica that came back: %+v", one.Uplink.Status().Links)
		}
	})
}

// A request that was on its way through a frozen replica gets its answer by
// another one, sent again as soon as the stream is given up.
func TestRequestOutlivesFrozenLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(t, nil, "r1", "r2", "r3")
		n := b.Node("lab", "n1", 0x41, nil)
		settle()
		b.Isolate("r1")
		start := time.Now()
		time.AfterFunc(300*time.Millisecond, func() { b.Elect("r2", "r1") })
		wantID(t, n, ipmb.AddrShelfManager)
		if took := time.Since(start); took > 500*time.Millisecond {
			t.Errorf("answered after %v", took)
		}
	})
}

func TestFrozenNodeIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(t, nil, "r1", "r2")
		one, two := b.Node("lab", "n1", 0x41, nil), b.Node("lab", "n2", 0x42, nil)
		settle()
		if !b.Replica("r1").Brain.HasAttached("lab", 0x42) {
			t.Fatal("the shelf manager was not told of the node")
		}
		b.Isolate("n2")
		time.Sleep(1600 * time.Millisecond)
		if got := one.Uplink.Presence(two.Addr); got != v1.PresenceState_PRESENCE_STATE_LOST {
			t.Errorf("presence of the frozen node: %v", got)
		}
		if b.Replica("r1").Brain.HasAttached("lab", 0x42) {
			t.Error("the shelf manager was not told that the node is gone")
		}
		b.Net.HealAll()
		settle()
		wantID(t, one, two.Addr)
	})
}

// A leader that was stopped and continued can neither command nor answer.
func TestStoppedLeaderIsFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(t, nil, "r1", "r2", "r3")
		n := b.Node("lab", "n1", 0x41, nil)
		settle()
		b.Elect("r2", "r1")
		if err := b.Replica("r2").Switch.Announced(t.Context()); err != nil {
			t.Fatal(err)
		}
		command := ipmb.Message{
			ID: 1, Instance: "0123456789abcdef", Frame: ipmb.RequestFrame(n.Addr, 0, 0, 1, GetDeviceID(ipmb.SpeakerController)),
		}
		if err := b.Replica("r1").Switch.Send(t.Context(), "lab", command); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(n.Seen()) != 0 || n.Uplink.Status().OldTerm != 1 {
			t.Errorf("saw %v, dropped %d", n.Seen(), n.Uplink.Status().OldTerm)
		}
		if err := b.Replica("r2").Switch.Send(t.Context(), "lab", command); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(n.Seen()) != 1 {
			t.Errorf("the leader's command: saw %v", n.Seen())
		}
	})
}

// Without any leader nodes go on talking to each other, through every replica.
func TestNodesTalkWithoutQuorum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(t, nil, "r1", "r2", "r3")
		one, two := b.Node("lab", "n1", 0x41, nil), b.Node("lab", "n2", 0x42, nil)
		settle()
		b.Elect("")
		b.Isolate("r1")
		time.Sleep(30 * time.Second)
		wantID(t, one, two.Addr)
		fresh := b.Node("lab", "n3", 0x43, nil)
		settle()
		if _, err := one.DeviceID(t.Context(), fresh.Addr); !errors.Is(err, ipmb.ErrDestination) {
			t.Errorf("a node whose claim must wait: %v", err)
		}
		b.Elect("r2", "r1")
		settle()
		wantID(t, one, fresh.Addr)
	})
}

func TestSupersededNodeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(t, nil, "r1", "r2", "r3")
		boot := func(n uint64) func(*uplink.Config) {
			return func(c *uplink.Config) { c.Boot = n; copy(c.Instance[:], "the same instance") }
		}
		old := b.Node("lab", "n1", 0x41, boot(1))
		settle()
		b.Node("lab", "n1again", 0x41, boot(2))
		var refused *uplink.RefusedError
		if err := old.Ended(); !errors.As(err, &refused) || refused.Refusal.GetCode() != v1.RefusalCode_REFUSAL_CODE_SUPERSEDED {
			t.Errorf("earlier start ended with %v", err)
		}
	})
}

func TestLeaveMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(t, nil, "r1", "r2")
		one, two := b.Node("lab", "n1", 0x41, nil), b.Node("lab", "n2", 0x42, nil)
		settle()
		if err := two.Uplink.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		_ = two.Stop()
		settle()
		if _, err := one.DeviceID(t.Context(), two.Addr); !errors.Is(err, ipmb.ErrDestination) {
			t.Errorf("the slot of a node that left: %v", err)
		}
		next := b.Node("lab", "n2b", 0x42, nil)
		settle()
		wantID(t, one, next.Addr)
	})
}
