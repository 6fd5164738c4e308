package node

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/node/power"
)

const (
	bootFromPXE  = "00 08 05 80 04 00 00 00"
	bootAlwaysCD = "00 08 05 c0 14 00 00 00"
	bootDefault  = "00 08 05 80 00 00 00 00"
	askFlags     = "00 09 05 00 00"
	keepFlags    = "00 08 03 08" // also if nobody uses them for a minute
)

// booted compares the boot orders of all boots so far.
func (c *chassisRig) booted(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := c.vm.Boots(); !slices.Equal(got, want) {
		t.Errorf("booted by %q, want %q", got, want)
	}
}

// The next reset boots from the network, whoever makes it, and the one after it
// as ever.
func TestBootOnce(t *testing.T) {
	for name, reset := range map[string]func(*testing.T, *chassisRig){
		"chassis control": func(t *testing.T, c *chassisRig) { c.answers(t, doReset, "00") },
		"the guest":       func(_ *testing.T, c *chassisRig) { c.vm.GuestReboot() },
		"QEMU's monitor": func(t *testing.T, c *chassisRig) {
			if err := c.vm.Reset(t.Context()); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inChassis(t, power.Off, true, func(t *testing.T, c *chassisRig) {
				time.Sleep(time.Hour)
				c.answers(t, bootFromPXE, "00")
				c.answers(t, askFlags, "00 01 05 80 04 00 00 00")
				reset(t, c)
				c.booted(t, "", "n")
				c.answers(t, askFlags, "00 01 05 00 04 00 00 00")
				time.Sleep(firmwareTime)
				synctest.Wait()
				reset(t, c)
				c.booted(t, "", "n", "")
			})
		})
	}
}

// While its firmware may still read it, a VM keeps the order of its boot; if it
// is paused, for longer.
func TestOrderWaitsForTheFirmware(t *testing.T) {
	reorders := func(c *chassisRig) (n int) {
		for _, call := range c.vm.Calls() {
			if call == "Reorder" {
				n++
			}
		}
		return n
	}
	inChassis(t, power.Off, true, func(t *testing.T, c *chassisRig) {
		c.answers(t, bootFromPXE, "00")
		c.answers(t, doReset, "00")
		time.Sleep(firmwareTime - time.Millisecond)
		if n := reorders(c); n != 1 {
			t.Errorf("%d orders", n)
		}
		if err := c.vm.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if n := reorders(c); n != 1 {
			t.Errorf("paused: %d orders", n)
		}
		if err := c.vm.Cont(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(firmwareTime)
		if n := reorders(c); n != 2 {
			t.Errorf("in the end: %d orders", n)
		}
	})
}

func TestBootAlways(t *testing.T) {
	inChassis(t, power.Off, true, func(t *testing.T, c *chassisRig) {
		c.answers(t, bootAlwaysCD, "00")
		c.answers(t, doReset, "00")
		time.Sleep(time.Hour)
		c.answers(t, doReset, "00")
		time.Sleep(time.Hour)
		c.answers(t, doCycle, "00")
		time.Sleep(time.Hour)
		c.booted(t, "", "d", "d", "d")
		c.answers(t, askFlags, "00 01 05 c0 14 00 00 00")
		c.answers(t, bootDefault, "00")
		c.answers(t, doReset, "00")
		c.booted(t, "", "d", "d", "d", "")
	})
}

// A VM that is off boots by the flags when it is started.
func TestBootAtStart(t *testing.T) {
	inChassis(t, power.Off, false, func(t *testing.T, c *chassisRig) {
		c.answers(t, bootFromPXE, "00")
		c.answers(t, doOn, "00")
		c.booted(t, "n")
		c.answers(t, askFlags, "00 01 05 00 04 00 00 00")
		c.answers(t, doReset, "00") // QEMU itself keeps "once"
		c.booted(t, "n", "")
		c.answers(t, doCycle, "00")
		time.Sleep(time.Minute)
		c.booted(t, "n", "", "")
	})
}

// A start that fails has used nothing.
func TestBootOfFailedStart(t *testing.T) {
	inChassis(t, power.Off, false, func(t *testing.T, c *chassisRig) {
		c.vm.Fail("Start", errors.New("no memory"))
		c.answers(t, bootFromPXE, "00")
		c.answers(t, doOn, "00")
		c.answers(t, askFlags, "00 01 05 80 04 00 00 00")
		c.vm.Fail("Start", nil)
		time.Sleep(time.Hour)
		c.booted(t, "n")
	})
}

// A VM whose kernel is on its command line boots something else in a new
// process, and its kernel in another one. The cause of the reset stays.
func TestBootInANewProcess(t *testing.T) {
	inChassis(t, power.Off, true, func(t *testing.T, c *chassisRig) {
		c.vm.Fail("Reorder", power.ErrFixedBoot)
		c.answers(t, bootFromPXE, "00")
		c.answers(t, doReset, "00")
		c.want(t, power.Running, "Adopt", "Start", "Cont", "Reorder", "Reorder", "Kill", "Start", "Cont")
		c.booted(t, "", "", "n")
		c.answers(t, askCause, "00 01 01")
		c.answers(t, askFlags, "00 01 05 00 04 00 00 00")
		time.Sleep(time.Hour)
		c.vm.GuestReboot()
		c.booted(t, "", "", "n", "", "")
		if n := c.starts(); n != 3 {
			t.Errorf("%d starts", n)
		}
		c.answers(t, askCause, "00 0a 00")
	})
}

// "Valid bit clearing" leaves the flags at boots for the reasons that it names.
func TestBootValidBitClearing(t *testing.T) {
	inChassis(t, power.Off, true, func(t *testing.T, c *chassisRig) {
		c.answers(t, "00 08 03 0a", "00") // not at a reset by button or software, nor unused
		c.answers(t, bootFromPXE, "00")
		for range 2 {
			c.vm.GuestReboot()
			time.Sleep(time.Hour)
		}
		c.booted(t, "", "n", "n")
		c.answers(t, doReset, "00")
		time.Sleep(time.Hour)
		c.vm.GuestReboot()
		c.booted(t, "", "n", "n", "n", "")
	})
}

// The command says when the VM could not be told; the reset tries again.
func TestBootDeviceNotTold(t *testing.T) {
	inChassis(t, power.Off, true, func(t *testing.T, c *chassisRig) {
		c.answers(t, keepFlags, "00")
		c.vm.Fail("Reorder", errors.New("monitor is away"))
		c.answers(t, bootFromPXE, "c0")
		c.answers(t, doReset, "00")
		c.booted(t, "", "")
		c.answers(t, askFlags, "00 01 05 80 04 00 00 00") // not used yet
		c.vm.Fail("Reorder", nil)
		time.Sleep(time.Hour)
		c.answers(t, doReset, "00")
		c.booted(t, "", "", "n")
	})
}

// A device that no VM has is used up by a boot as any other.
func TestBootSetup(t *testing.T) {
	inChassis(t, power.Off, true, func(t *testing.T, c *chassisRig) {
		c.answers(t, "00 08 05 80 18 00 00 00", "00")
		c.answers(t, doReset, "00")
		c.booted(t, "", "")
		c.answers(t, askFlags, "00 01 05 00 18 00 00 00")
	})
}

// A node that ends just after a boot leaves the order of that boot to the next.
func TestOrderSurvivesTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := &mc.MemoryRecords{}
		c := newChassisRig(t, records, power.Off, true)
		end := c.live(t)
		c.answers(t, bootFromPXE, "00")
		c.answers(t, doReset, "00")
		end()
		next := newChassisRig(t, records, power.Running, true)
		next.vm, next.door.vm, next.machine = c.vm, c.vm, c.vm
		defer next.live(t)()
		time.Sleep(time.Hour)
		next.answers(t, doReset, "00")
		next.booted(t, "", "n", "")
	})
}

// Flags that no boot uses within a minute are taken back, from the VM too,
// unless "valid bit clearing" says to leave them. A Chassis Control gives them
// another minute.
func TestBootFlagsExpire(t *testing.T) {
	const doDiagnose = "00 02 04" // an NMI: a Chassis Control that boots nothing
	valid, lapsed := "00 01 05 80 04 00 00 00", "00 01 05 00 04 00 00 00"
	at := func(t *testing.T, c *chassisRig, wait time.Duration, flags string) {
		t.Helper()
		time.Sleep(wait)
		c.answers(t, askFlags, flags)
	}
	for name, run := range map[string]func(*testing.T, *chassisRig){
		"unused": func(t *testing.T, c *chassisRig) {
			c.answers(t, bootFromPXE, "00")
			at(t, c, mc.BootFlagsLast-time.Nanosecond, valid)
			at(t, c, time.Nanosecond, lapsed)
			c.vm.GuestReboot()
			c.booted(t, "", "")
		},
		"in time": func(t *testing.T, c *chassisRig) {
			c.answers(t, bootFromPXE, "00")
			time.Sleep(mc.BootFlagsLast - time.Nanosecond)
			c.answers(t, doReset, "00")
			c.booted(t, "", "n")
		},
		"another command": func(t *testing.T, c *chassisRig) {
			c.answers(t, bootFromPXE, "00")
			time.Sleep(mc.BootFlagsLast - time.Nanosecond)
			c.answers(t, doDiagnose, "00")
			at(t, c, mc.BootFlagsLast-time.Nanosecond, valid)
			at(t, c, time.Nanosecond, lapsed)
			c.vm.GuestReboot()
			c.booted(t, "", "")
		},
		"too late": func(t *testing.T, c *chassisRig) {
			c.answers(t, bootFromPXE, "00")
			time.Sleep(mc.BootFlagsLast + time.Millisecond) // at the very moment it could be either
			c.answers(t, doReset, "00")
			c.booted(t, "", "")
		},
		"written again": func(t *testing.T, c *chassisRig) {
			c.answers(t, bootFromPXE, "00")
			time.Sleep(mc.BootFlagsLast - time.Nanosecond)
			c.answers(t, bootFromPXE, "00")
			at(t, c, mc.BootFlagsLast-time.Nanosecond, valid)
			at(t, c, time.Nanosecond, lapsed)
		},
		"left": func(t *testing.T, c *chassisRig) {
			c.answers(t, keepFlags, "00")
			c.answers(t, bootFromPXE, "00")
			at(t, c, time.Hour, valid)
			c.vm.GuestReboot()
			c.booted(t, "", "n")
		},
		"no longer left": func(t *testing.T, c *chassisRig) {
			c.answers(t, keepFlags, "00")
			c.answers(t, bootFromPXE, "00")
			time.Sleep(time.Hour)
			c.answers(t, "00 08 03 00", "00")
			at(t, c, mc.BootFlagsLast-time.Nanosecond, valid)
			time.Sleep(time.Second) // nobody asks
			c.vm.GuestReboot()
			c.booted(t, "", "")
		},
		"persistent": func(t *testing.T, c *chassisRig) {
			c.answers(t, bootAlwaysCD, "00")
			at(t, c, time.Hour, "00 01 05 c0 14 00 00 00")
		},
	} {
		t.Run(name, func(t *testing.T) { inChassis(t, power.Off, true, run) })
	}
}
