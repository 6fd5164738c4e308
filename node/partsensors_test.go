package node

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/thermal"
)

// parts compares the readings of processor and memory.
func (b *board) parts(when, cpu, memory string) {
	b.t.Helper()
	for number, want := range map[string]string{"19": cpu, "1a": memory} {
		if got := b.guest("04 2d " + number); got != "00 00 "+want+" 80" {
			b.t.Errorf("%s: sensor %s reads %s, want %s", when, number, got, want)
		}
	}
}

// Processor and memory are there while the VM is, and tell of what QEMU tells.
func TestParts(t *testing.T) {
	b := newBoard(t, ProfileServer)
	b.parts("unknown", "e0 00", "e0 00")
	b.sensors.vmFound(power.Off)
	b.parts("off", "c0 00", "c0 00")
	b.happens(power.EventStarted, power.Prelaunch)
	b.happens(power.EventResume, power.Running)
	b.parts("on", "c0 80", "c0 40")
	n := len(b.sel.rows)
	b.happens(power.EventMemory, power.Running)
	b.happens(power.EventMemory, power.Running)
	b.parts("broken memory", "c0 80", "c0 42")
	if got, want := b.logged(n), "8200040c1a6f01ffff 8200040c1a6f01ffff"; got != want {
		t.Errorf("logged %s, want %s", got, want)
	}
	n = len(b.sel.rows)
	b.sensors.vmHappened(power.Event{Kind: power.EventStop, State: power.Crashed, Reason: power.InternalError}, false)
	b.parts("broken down", "c0 01", "c0 02")
	if got, want := b.logged(n), "82000407196f00ffff "; !strings.HasPrefix(got, want) {
		t.Errorf("logged %s, want %s", got, want)
	}
	b.happens(power.EventReset, power.Prelaunch)
	b.parts("reset", "c0 80", "c0 40")
	b.sensors.vmLost()
	b.parts("lost", "e0 80", "e0 40")
}

// A processor that is too hot trips, once, until it has cooled down.
func TestThermalTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newHeated(t, ProfileServer, "environment: {inlet: 60, fan: 0}", "")
		b.sensors.vmFound(power.Running)
		b.set(thermal.Load{On: true, CPU: 1})
		b.pass(10 * time.Minute)
		if got := b.logged(0); strings.Count(got, "82000407196f01ffff") != 1 {
			t.Errorf("logged %s", got)
		}
		if got := b.guest("04 2d 19"); got != "00 00 c0 82 80" {
			t.Errorf("hot: reads %s", got)
		}
		b.set(thermal.Load{})
		b.pass(10 * time.Minute)
		if got := b.guest("04 2d 19"); got != "00 00 c0 80 80" {
			t.Errorf("cool: reads %s", got)
		}
	})
}
