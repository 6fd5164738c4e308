package node

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/node/power"
	midplanev1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// inChassis runs f with a host that a chassis device's commands act on.
func inChassis(t *testing.T, s power.State, on bool, f func(t *testing.T, c *chassisRig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newChassisRig(t, &mc.MemoryRecords{}, s, on)
		defer c.live(t)()
		f(t, c)
	})
}

// chassisRig is a rig with its chassis device, whose guest is whoever asks.
type chassisRig struct {
	*rig
	mux *ipmb.Mux
}

func newChassisRig(t *testing.T, records mc.Records, s power.State, on bool) *chassisRig {
	t.Helper()
	r := newRig(t, s, on)
	var err error
	if r.life, err = openLife(records, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	r.life.boot.Changed = r.chooseBoot
	device := &chassis{self: self, vm: supply{r.host}, life: r.life, log: r.log}
	return &chassisRig{r, ipmb.NewMux(device.commands(), r.life.boot.Commands())}
}

// ask gives the answer in hex, once all that follows at once has happened.
func (c *chassisRig) ask(t *testing.T, request string) string {
	t.Helper()
	raw := unhex(t, request)
	r := c.mux.ServeIPMI(t.Context(), &ipmb.Request{
		NetFn: ipmb.NetFn(raw[0]), Cmd: ipmb.Cmd(raw[1]), Data: raw[2:],
		Origin: ipmb.Origin{Door: ipmb.DoorLAN, Channel: 1, Privilege: ipmb.PrivilegeAdmin},
	})
	synctest.Wait()
	return strings.TrimSpace(fmt.Sprintf("%02x % x", byte(r.Code), r.Data))
}

func (c *chassisRig) answers(t *testing.T, request, want string) {
	t.Helper()
	if got := c.ask(t, request); got != want {
		t.Errorf("%s: %s, want %s", request, got, want)
	}
}

// press is the node's own API.
func (c *chassisRig) press(t *testing.T, a midplanev1.PowerAction) {
	t.Helper()
	n := &Node{host: c.host}
	if err := n.power(t.Context(), a); err != nil {
		t.Errorf("%v: %v", a, err)
	}
	synctest.Wait()
}

const (
	askStatus = "00 01"
	askCause  = "00 07"
	doReset   = "00 02 03"
	doCycle   = "00 02 02"
	doOn      = "00 02 01"
	doOff     = "00 02 00"
)

// Each way to start or reset a VM, and what Get System Restart Cause says of it.
func TestRestartCause(t *testing.T) {
	asks := func(request string) func(*testing.T, *chassisRig) {
		return func(t *testing.T, c *chassisRig) { c.answers(t, request, "00") }
	}
	presses := func(a midplanev1.PowerAction) func(*testing.T, *chassisRig) {
		return func(t *testing.T, c *chassisRig) { c.press(t, a) }
	}
	for _, w := range []struct {
		name string
		do   func(*testing.T, *chassisRig)
		want string
	}{
		{"the node started it", func(*testing.T, *chassisRig) {}, "00 00 00"},
		{"chassis control: reset", asks(doReset), "00 01 01"},
		{"chassis control: cycle", asks(doCycle), "00 01 01"},
		{"chassis control: off and on", func(t *testing.T, c *chassisRig) { asks(doOff)(t, c); asks(doOn)(t, c) }, "00 01 01"},
		{"chassis control: on when on", asks(doOn), "00 00 00"},
		{"chassis reset", asks("00 03"), "00 01 01"},
		{"reset button", presses(midplanev1.PowerAction_POWER_ACTION_RESET), "00 02 0e"},
		{"power button", func(t *testing.T, c *chassisRig) {
			presses(midplanev1.PowerAction_POWER_ACTION_SOFT_OFF)(t, c)
			c.vm.GuestPoweroff()
			synctest.Wait()
			presses(midplanev1.PowerAction_POWER_ACTION_ON)(t, c)
		}, "00 03 0e"},
		{"API: cycle", presses(midplanev1.PowerAction_POWER_ACTION_CYCLE), "00 01 0e"},
		{"watchdog", func(t *testing.T, c *chassisRig) {
			if err := (supply{c.host}).Cycle(because(t.Context(), causeWatchdog, 0)); err != nil {
				t.Error(err)
			}
		}, "00 04 00"},
		{"event filter", func(t *testing.T, c *chassisRig) {
			if err := (supply{c.host}).Cycle(because(t.Context(), causePEFCycle, 0)); err != nil {
				t.Error(err)
			}
		}, "00 09 00"},
		{"the guest reset itself", func(_ *testing.T, c *chassisRig) { c.vm.GuestReboot() }, "00 0a 00"},
		{"after a reset by command it did so again", func(t *testing.T, c *chassisRig) {
			asks(doReset)(t, c)
			c.vm.GuestReboot()
		}, "00 0a 00"},
		{"long after a reset that it did not obey", func(t *testing.T, c *chassisRig) {
			c.door.deaf = true
			asks(doReset)(t, c)
			time.Sleep(2 * resetWithin)
			c.vm.GuestReboot()
		}, "00 0a 00"},
		{"somebody at QEMU's monitor", func(t *testing.T, c *chassisRig) {
			asks(doReset)(t, c)
			if err := c.vm.Reset(t.Context()); err != nil {
				t.Error(err)
			}
		}, "00 00 00"},
		{"after a cycle that could not be", func(t *testing.T, c *chassisRig) {
			c.vm.Fail("Kill", errors.New("QEMU hangs"))
			asks(doCycle)(t, c)
			time.Sleep(time.Minute)
			c.vm.GuestReboot()
		}, "00 0a 00"},
		{"a crash", func(t *testing.T, c *chassisRig) {
			asks(doReset)(t, c)
			c.vm.Crash(power.Exit{})
		}, "00 00 00"},
	} {
		t.Run(w.name, func(t *testing.T) {
			inChassis(t, power.Off, true, func(t *testing.T, c *chassisRig) {
				w.do(t, c)
				time.Sleep(time.Minute)
				c.want(t, power.Running)
				c.answers(t, askCause, w.want)
			})
		})
	}
}

// What was not done leaves the cause as it was, and says so.
func TestControlThatCannotBe(t *testing.T) {
	inChassis(t, power.Off, false, func(t *testing.T, c *chassisRig) {
		for _, request := range []string{doReset, doCycle, "00 02 04", "00 02 05", "00 03"} {
			c.answers(t, request, "d5")
		}
		c.answers(t, doOff, "00") // it is
		c.answers(t, askCause, "00 00 00")
	})
	inChassis(t, power.Off, true, func(t *testing.T, c *chassisRig) {
		c.vm.GuestReboot()
		synctest.Wait()
		c.door.absent = true
		c.vm.Fail("Reset", power.ErrNotRunning)
		c.answers(t, doReset, "d5")
		c.answers(t, askCause, "00 0a 00")
		c.vm.Fail("Reset", nil)
		c.answers(t, doReset, "00")
		c.answers(t, askCause, "00 01 01")
	})
}

// A VM of somebody else's is reset by its door; its boot device is only kept.
func TestChassisWithoutMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChassisRig(t, &mc.MemoryRecords{}, power.Off, true)
		c.machine = nil
		c.answers(t, doReset, "00")
		c.answers(t, askCause, "00 01 01")
		c.answers(t, doCycle, "d5")
		c.answers(t, askCause, "00 01 01")
		c.answers(t, bootFromPXE, "00")
		c.answers(t, askFlags, "00 01 05 80 04 00 00 00")
	})
}

// A node that is killed between the command and the start goes on with both.
func TestCauseSurvivesTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := &mc.MemoryRecords{}
		c := newChassisRig(t, records, power.Off, false) // never runs
		c.answers(t, doOn, "00")
		next := newChassisRig(t, records, power.Off, c.wants())
		defer next.live(t)()
		next.want(t, power.Running)
		next.answers(t, askCause, "00 01 01")
		next.answers(t, askStatus, "00 21 10 40 70")
	})
}

func TestChassisStatus(t *testing.T) {
	inChassis(t, power.Off, false, func(t *testing.T, c *chassisRig) {
		c.answers(t, askStatus, "00 20 00 40 70")
		c.vm.Fail("Start", errors.New("no kernel"))
		c.answers(t, doOn, "00")
		c.answers(t, askStatus, "00 30 00 40 70") // control fault
		c.vm.Fail("Start", nil)
		time.Sleep(time.Minute)
		c.answers(t, askStatus, "00 21 10 40 70") // on by command
		c.vm.Crash(power.Exit{})
		synctest.Wait()
		c.answers(t, askStatus, "00 28 08 40 70") // power fault
		time.Sleep(time.Minute)
		c.answers(t, askStatus, "00 21 00 40 70")
		c.answers(t, doOff, "00")
		c.answers(t, askStatus, "00 20 00 40 70")
	})
}

func TestIdentify(t *testing.T) {
	inChassis(t, power.Off, false, func(t *testing.T, c *chassisRig) {
		const off, temporary, indefinite = "00 20 00 40 70", "00 20 00 50 70", "00 20 00 60 70"
		for _, i := range []struct {
			request string
			lasts   time.Duration
		}{{"00 04", 15 * time.Second}, {"00 04 05", 5 * time.Second}, {"00 04 ff 00", 255 * time.Second}} {
			c.answers(t, i.request, "00")
			time.Sleep(i.lasts - time.Millisecond)
			c.answers(t, askStatus, temporary)
			time.Sleep(time.Millisecond)
			c.answers(t, askStatus, off)
		}
		c.answers(t, "00 04 00 01", "00") // ipmitool chassis identify force
		time.Sleep(1000 * time.Hour)
		c.answers(t, askStatus, indefinite)
		c.answers(t, "00 04 00", "00")
		c.answers(t, askStatus, off)
	})
}

// The buttons that are disabled do nothing; what is no button, and power on, goes on.
func TestFrontPanel(t *testing.T) {
	all := []midplanev1.PowerAction{
		midplanev1.PowerAction_POWER_ACTION_RESET, midplanev1.PowerAction_POWER_ACTION_NMI,
		midplanev1.PowerAction_POWER_ACTION_SOFT_OFF, midplanev1.PowerAction_POWER_ACTION_CYCLE,
		midplanev1.PowerAction_POWER_ACTION_OFF, midplanev1.PowerAction_POWER_ACTION_ON,
	}
	for panel, disabled := range map[string][]midplanev1.PowerAction{
		"00": nil,
		"01": {midplanev1.PowerAction_POWER_ACTION_SOFT_OFF, midplanev1.PowerAction_POWER_ACTION_OFF},
		"02": {midplanev1.PowerAction_POWER_ACTION_RESET},
		"04": {midplanev1.PowerAction_POWER_ACTION_NMI},
	} {
		inChassis(t, power.Off, true, func(t *testing.T, c *chassisRig) {
			c.answers(t, "00 0a "+panel, "00")
			n := &Node{host: c.host}
			for _, a := range all {
				before := len(c.door.commands)
				err := n.power(t.Context(), a)
				if errors.Is(err, ErrButton) != slices.Contains(disabled, a) || err != nil && !errors.Is(err, ErrButton) {
					t.Errorf("panel %s: %v: %v", panel, a, err)
				}
				if err != nil && len(c.door.commands) != before {
					t.Errorf("panel %s: %v reached the VM", panel, a)
				}
				time.Sleep(time.Minute)
			}
			c.answers(t, doReset, "00") // no button
			c.want(t, power.Running)
		})
	}
	inChassis(t, power.Off, false, func(t *testing.T, c *chassisRig) {
		c.answers(t, "00 0a 03", "00")
		c.answers(t, askStatus, "00 20 00 42 73") // lockout
		c.answers(t, "00 0a 00", "00")
		c.answers(t, askStatus, "00 20 00 40 70")
	})
}

func TestCycleInterval(t *testing.T) {
	for interval, pause := range map[string]time.Duration{"00": 0, "0a": 10 * time.Second, "ff": 255 * time.Second} {
		inChassis(t, power.Off, true, func(t *testing.T, c *chassisRig) {
			c.answers(t, "00 0b "+interval, "00")
			c.answers(t, doCycle, "00")
			if pause > 0 {
				time.Sleep(pause - time.Millisecond)
				c.want(t, power.Off)
				time.Sleep(time.Millisecond)
			}
			c.want(t, power.Running)
			if n := c.starts(); n != 2 {
				t.Errorf("interval %s: %d starts", interval, n)
			}
		})
	}
}

// The settings are there for the next process.
func TestChassisIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := &mc.MemoryRecords{}
		c := newChassisRig(t, records, power.Off, false)
		c.answers(t, "00 05 01 20 22 24 26", "00")
		c.answers(t, "00 06 02", "00 07")
		c.answers(t, "00 0a 07", "00")
		c.answers(t, "00 0b 63", "00")
		c.answers(t, "00 04 00 01", "00")
		next := newChassisRig(t, records, power.Off, false)
		next.answers(t, "00 00", "00 01 20 22 24 26")
		next.answers(t, askStatus, "00 40 00 62 77")
		if got := next.life.cyclePause(); got != 99*time.Second {
			t.Errorf("cycle pause %v", got)
		}
		if err := records.Put(recordLife, []byte("{")); err != nil {
			t.Fatal(err)
		}
		if _, err := openLife(records, c.log); err == nil {
			t.Error("half a record was read")
		}
	})
}
