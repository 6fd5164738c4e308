package node

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/node/power"
)

const (
	driverUp    = "06 2e 09"
	osBootReads = "04 2d 18"
)

// happens tells the board's sensors of an event of its VM.
func (b *board) happens(kind power.EventKind, state power.State) {
	b.sensors.vmHappened(power.Event{Kind: kind, State: state}, false)
}

// An operating system has come up when its driver has: once in each boot.
func TestOSBoot(t *testing.T) {
	b := newBoard(t, ProfileServer)
	b.sensors.vmFound(power.Running)
	b.guest(driverUp)
	if got := b.logged(0); got != "" {
		t.Errorf("of a boot that was not seen: %s", got)
	}
	if got := b.guest(osBootReads); got != "00 00 e0 00 80" {
		t.Errorf("of a boot that was not seen: reads %s", got)
	}
	b.happens(power.EventReset, power.Running)
	if got := b.guest(osBootReads); got != "00 00 c0 00 80" {
		t.Errorf("booting: reads %s", got)
	}
	b.guest("06 2f")
	b.shelf(driverUp)
	b.guest("06 2e ff")
	if got := b.logged(0); got != "" {
		t.Errorf("before its driver is up: %s", got)
	}
	b.guest(driverUp)
	b.guest(driverUp)
	if got, want := b.logged(0), "8200041f186f06ffff"; got != want {
		t.Errorf("logged %s, want %s", got, want)
	}
	if got := b.guest(osBootReads); got != "00 00 c0 40 80" {
		t.Errorf("up: reads %s", got)
	}
}

// Each way to a boot, and what is none.
func TestWhatIsABoot(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(*board)
		again   bool
	}{
		"reset":         {func(b *board) { b.happens(power.EventReset, power.Running) }, true},
		"new process":   {func(b *board) { b.happens(power.EventStarted, power.Prelaunch) }, true},
		"process ended": {func(b *board) { b.happens(power.EventExited, power.Off) }, true},
		"found off":     {func(b *board) { b.kill(); b.start(); b.sensors.vmFound(power.Off) }, true},
		"found again":   {func(b *board) { b.happens(power.EventStarted, power.Running) }, false},
		"paused":        {func(b *board) { b.happens(power.EventStop, power.Paused); b.happens(power.EventResume, power.Running) }, false},
		"driver anew":   {func(*board) {}, false},
		"node killed":   {func(b *board) { b.kill(); b.start(); b.sensors.vmFound(power.Running) }, false},
		"killed between": {func(b *board) {
			b.happens(power.EventReset, power.Running)
			b.kill()
			b.start()
			b.sensors.vmFound(power.Running)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBoard(t, ProfileServer)
			b.sensors.vmFound(power.Prelaunch)
			b.guest(driverUp)
			if got := b.logged(0); got != "8200041f186f06ffff" {
				t.Fatalf("logged %s", got)
			}
			c.happens(b)
			n := len(b.sel.rows)
			if !c.again && b.guest(osBootReads) != "00 00 c0 40 80" {
				t.Errorf("reads %s", b.guest(osBootReads))
			}
			b.guest(driverUp)
			if again := b.logged(n) == "8200041f186f06ffff"; again != c.again {
				t.Errorf("logged %q, again %v", b.logged(n), c.again)
			}
		})
	}
}

// The event says what the VM was made to boot.
func TestOSBootDevice(t *testing.T) {
	for device, want := range map[mc.BootDevice]string{
		mc.BootDefault: "06", mc.BootPXE: "02", mc.BootDisk: "01", mc.BootDiskSafe: "01", mc.BootDiagnostic: "03",
		mc.BootCD: "04", mc.BootRemoteCD: "04", mc.BootSetup: "06", mc.BootRemovable: "06",
	} {
		b := newBoard(t, ProfileServer)
		b.sensors.boot.device = func() mc.BootDevice { return device }
		b.sensors.vmFound(power.Prelaunch)
		b.guest(driverUp)
		if got := b.logged(0); got != "8200041f186f"+want+"ffff" {
			t.Errorf("device %d: %s, want offset %s", device, got, want)
		}
	}
}

// What a VM boots this time is known as long as it runs, not only until the
// order of its next boot is chosen.
func TestBootedDevice(t *testing.T) {
	inChassis(t, power.Off, true, func(t *testing.T, c *chassisRig) {
		c.answers(t, bootFromPXE, "00")
		if got := c.life.device(); got != mc.BootDefault {
			t.Errorf("before: %d", got)
		}
		c.answers(t, doReset, "00")
		if got := c.life.device(); got != mc.BootPXE {
			t.Errorf("reset: %d", got)
		}
		c.pass(t)
		if got := c.life.device(); got != mc.BootPXE {
			t.Errorf("later: %d", got)
		}
		c.answers(t, doReset, "00")
		if got := c.life.device(); got != mc.BootDefault {
			t.Errorf("next: %d", got)
		}
	})
}

// pass lets the firmware have its time.
func (c *chassisRig) pass(t *testing.T) {
	t.Helper()
	time.Sleep(2 * firmwareTime)
	synctest.Wait()
}
