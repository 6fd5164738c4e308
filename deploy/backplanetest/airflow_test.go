package backplanetest

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node"
	"github.com/midplane-project/midplane/node/uplink"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// tray runs the node of a fan tray until stop.
func tray(t *testing.T, b *Bus, slot int, name string) (stop func()) {
	t.Helper()
	cfg := node.Config{Shelf: "lab", Slot: slot, Name: name, Profile: node.ProfileFanTray, Dir: t.TempDir(), PKI: "unused"}
	for _, r := range b.Replicas {
		cfg.Replicas = append(cfg.Replicas, node.Replica{Name: r.Name, Address: r.Name})
	}
	n, err := node.New(cfg, node.Options{Log: slog.New(slog.DiscardHandler), Dial: b.Net.Dialer(name)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
}

// fanLevel is a request for a level of a tray's.
func fanLevel(by ipmb.Speaker, level uint8) *ipmb.Request {
	return &ipmb.Request{
		NetFn: ipmb.NetFnGroup, Cmd: 0x15, Data: []byte{0, 0, level},
		Origin: ipmb.Origin{Speaker: by, Privilege: ipmb.PrivilegeAdmin, Shelf: "lab"},
	}
}

// orders sends a request of the shelf manager's.
func (b *Bus) orders(to ipmb.Addr, req *ipmb.Request) {
	b.t.Helper()
	m := ipmb.Message{ID: 1, Instance: "the manager's ..", Frame: ipmb.RequestFrame(to, ipmb.AddrShelfManager, 0, 1, req), Origin: req.Origin}
	if err := b.Replicas[0].Switch.Send(b.t.Context(), "lab", m); err != nil {
		b.t.Fatal(err)
	}
}

// The level of the shelf's trays is at every blade: their mean, kept while a tray
// is lost, and gone with the last of them.
func TestAirflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(t, nil, "shm1", "shm2")
		blade := b.Node("lab", "blade1", 0x41, nil)
		stranger := b.Node("lab2", "blade1b", 0x41, func(c *uplink.Config) { c.Name = "blade1" })
		want := func(when string, level float64, ok bool) {
			t.Helper()
			settle()
			if l, k := blade.Uplink.Airflow(); l != level || k != ok {
				t.Errorf("%s: %g, %v; want %g, %v", when, l, k, level, ok)
			}
			if l, k := stranger.Uplink.Airflow(); k {
				t.Errorf("%s: the other shelf has %g", when, l)
			}
		}
		want("no tray", 0, false)
		stop1 := tray(t, b, 9, "fans1")
		want("one tray", 0.5, true)
		b.orders(ipmb.SlotAddr(9), fanLevel(ipmb.SpeakerController, 100))
		want("one tray full", 1, true)
		for _, who := range []ipmb.Speaker{ipmb.SpeakerGuest, ipmb.SpeakerController} {
			r, err := blade.Requester.Do(t.Context(), ipmb.SlotAddr(9), fanLevel(who, 20), ipmb.LinuxRhythm)
			if err != nil || r.Code != ipmb.ErrPrivilege {
				t.Errorf("%v of another slot: %v, %v", who, r.Code, err)
			}
		}
		want("after them", 1, true)
		stop2 := tray(t, b, 10, "fans2")
		want("two trays", 0.75, true)
		stop1()
		settle()
		if s := blade.Uplink.Presence(ipmb.SlotAddr(9)); s != v1.PresenceState_PRESENCE_STATE_LOST {
			t.Error("a tray whose node ended:", s)
		}
		want("one lost", 0.75, true)
		time.Sleep(time.Minute) // more than the grace
		want("one gone", 0.5, true)
		stop2()
		time.Sleep(time.Minute) // more than the grace
		want("both gone", 0, false)
	})
}
