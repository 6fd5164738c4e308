package node

import (
	"context"
	"time"

	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/vm"
)

// Clocks of a watchdog timer.
const (
	ClockVM   = "vm"   // it stands still while the VM is paused
	ClockWall = "wall" // it does not
)

// watchdogPatience bounds an act of the watchdog's on the VM.
const watchdogPatience = 10 * time.Second

// openWatchdog makes the watchdog timer. It acts on the VM.
func (c *Controller) openWatchdog(p parts) (err error) {
	c.watchdog, err = mc.OpenWatchdog(mc.WatchdogConfig{
		Cell: p.ledger.watchdog(), Records: records{p.db}, Wall: p.watchdogClock == ClockWall,
		Can: func(i mc.WatchdogInterrupt, a mc.WatchdogAction) bool {
			// Nothing can raise an SMI in a QEMU from outside, and the VM
			// protocol alone cannot cycle a VM's power.
			return i != mc.WatchdogSMI && (a != mc.WatchdogPowerCycle || p.canCycle)
		},
		Go: func(f func(context.Context)) {
			c.spawn(func(ctx context.Context) { // which the controller's end does not cut short
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), watchdogPatience)
				defer cancel()
				f(ctx)
			})
		},
		Event: func(_ context.Context, offset, data2 byte) {
			c.sensors.note(c.sensors.Pulse(sensorWatchdog, offset, data2, mc.NoData))
		},
		Interrupt: c.watchdogInterrupt(p.vm),
		Act:       c.watchdogAct(p.vm),
		Settled:   func() { c.mail.clear(flagWatchdog) },
	})
	return err
}

func (c *Controller) watchdogInterrupt(v payload) func(context.Context, mc.WatchdogInterrupt) {
	return func(ctx context.Context, i mc.WatchdogInterrupt) {
		c.log.Warn("watchdog: pre-timeout", "interrupt", i.String())
		switch i {
		case mc.WatchdogMessage:
			c.mail.warn()
		case mc.WatchdogNMI:
			if err := v.Press(ctx, vm.CommandNMI); err != nil {
				c.log.Error("watchdog: no NMI", "err", err)
			}
		}
	}
}

func (c *Controller) watchdogAct(v payload) func(context.Context, mc.WatchdogUse, mc.WatchdogAction) {
	return func(ctx context.Context, u mc.WatchdogUse, a mc.WatchdogAction) {
		c.log.Warn("watchdog: time is up", "use", u.String(), "action", a.String())
		ctx = because(ctx, causeWatchdog, 0)
		var err error
		switch a {
		case mc.WatchdogHardReset:
			err = v.Press(ctx, vm.CommandReset)
		case mc.WatchdogPowerDown:
			err = v.PowerOff(ctx)
		case mc.WatchdogPowerCycle:
			err = v.Cycle(ctx)
		}
		if err != nil {
			c.log.Error("watchdog: action failed", "action", a.String(), "err", err)
		}
	}
}

// VMHappened tells the controller what happened to its VM, and whether the
// VM's clock stands still now. The first call in which something is known of
// the VM says how it was found.
func (c *Controller) VMHappened(e power.Event, paused bool) {
	switch {
	case e.Kind == power.EventExited || e.State == power.Off || e.State == power.Absent || e.State == power.Shutdown:
		c.watchdog.SystemOff()
	case e.Kind == power.EventReset:
		c.watchdog.SystemReset()
	}
	if e.State != power.Unknown {
		c.watchdog.System(paused)
	}
	c.acpi.happened(e)
}
