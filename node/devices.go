package node

import (
	"slices"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/picmg"
	"github.com/midplane-project/midplane/ipmb/sdr"
)

// openDevices opens what the controller is made of, each with what it keeps.
func (c *Controller) openDevices(p parts) (err error) {
	kept := records{p.db}
	if c.id.Profile == ProfileFanTray {
		if c.fans, err = openFanTray(kept); err != nil {
			return err
		}
		p.air = c.fans.flow
	}
	if c.sensors, err = c.openSensors(p, kept); err != nil {
		return err
	}
	if c.id.Profile == ProfileATCA {
		if c.swap, err = c.openHotSwap(p, kept); err != nil {
			return err
		}
	}
	if c.fruList, err = c.id.frus(p.settings.instance, p.frus); err != nil {
		return err
	}
	if c.frus, err = mc.NewFRUs(c.fruList, kept); err != nil {
		return err
	}
	c.tests = &selfTest{db: p.db, sel: c.sel, log: c.log}
	if err := c.openWatchdog(p); err != nil {
		return err
	}
	if c.acpi, err = openACPI(p.vm, kept); err != nil {
		return err
	}
	if c.sdrs, err = c.openSDRs(&c.own, p.db); err != nil {
		return err
	}
	if c.access, err = openAccess(c.id, p.settings.instance, p.db, func() *ipmb.Mux { return c.mux }); err != nil {
		return err
	}
	c.access.users.Changed = c.userChanged
	if c.pef, err = c.newPEF(p, &c.own); err != nil {
		return err
	}
	c.events = &events{
		self: c.id.Addr, sel: c.sel, mail: c.mail, receiver: c.receiver, outbox: p.outbox, pef: c.pef, log: c.log, send: c.sendEvent,
	}
	c.sel.self, c.sel.logging, c.sel.announce = c.id.Addr, c.mail.logs, c.events.level
	return nil
}

// bodies are the controller's own records: its locator, its sensors, and the
// locators of the FRU devices behind it.
func (c *Controller) bodies() []sdr.Body {
	locator := c.id.locator(mc.SupportBits(c.mux))
	return slices.Concat([]sdr.Body{locator}, c.sensors.sdrs, c.id.fruLocators(c.fruList))
}

// tables are the rows of the controller's command table.
func (c *Controller) tables(p parts) [][]ipmb.Command {
	var vm payload = sensed{p.vm, c.sensors}
	if c.swap != nil {
		vm = activated{vm, c.swap}
	}
	t := [][]ipmb.Command{
		c.identity.Commands(func() *ipmb.Mux { return c.mux }, c.tests.run),
		c.resets(),
		c.receiver.Commands(),
		c.sensors.clockRows(mc.SELDeviceCommands(selBesidePEF{c.sel, c.pef}, records{p.db})),
		c.sdrs.Commands(),
		c.sensors.Commands(),
		c.sensors.DeviceSDRCommands(&c.own),
		c.frus.Commands(),
		c.sensors.bootRows(c.mail.commands()),
		c.bridge.commands(),
		c.events.commands(),
		c.pef.Commands(),
	}
	switch c.id.Profile {
	case ProfileFanTray:
		t = append(t, (&carrier{self: c.id.Addr, site: picmg.SiteFanTray}).commands(), c.fans.commands())
	case ProfileATCA:
		board := &carrier{self: c.id.Addr, vm: vm, swap: c.swap, leaves: p.leaves}
		t = append(t, c.ofVM(p, vm), board.commands(), board.activationCommands())
	default:
		t = append(t, c.ofVM(p, vm))
	}
	return append(t, c.access.tables()...)
}

// ofVM are the rows that mean nothing without a VM.
func (c *Controller) ofVM(p parts, vm payload) []ipmb.Command {
	return slices.Concat(
		c.watchdog.Commands(), c.acpi.commands(), p.life.boot.Commands(),
		(&chassis{self: c.id.Addr, vm: vm, life: p.life, log: p.log}).commands(),
	)
}
