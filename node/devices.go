package node

import (
	"slices"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sdr"
)

// openDevices opens what the controller is made of, each with what it keeps.
func (c *Controller) openDevices(p parts) (err error) {
	kept := records{p.db}
	if c.sensors, err = c.openSensors(p, kept); err != nil {
		return err
	}
	if c.fruList, err = c.id.frus(p.settings.instance, p.frus); err != nil {
		return err
	}
	if c.frus, err = mc.NewFRUs(c.fruList, kept); err != nil {
		return err
	}
	if c.sdrs, err = c.openSDRs(&c.own, p.db); err != nil {
		return err
	}
	c.access, err = openAccess(c.id, p.settings.instance, p.db, func() *ipmb.Mux { return c.mux })
	return err
}

// bodies are the controller's own records: its locator, its sensors, and the
// locators of the FRU devices behind it.
func (c *Controller) bodies() []sdr.Body {
	locator := c.id.locator(mc.SupportBits(c.mux))
	return slices.Concat([]sdr.Body{locator}, c.sensors.sdrs, c.id.fruLocators(c.fruList))
}

// tables are the rows of the controller's command table.
func (c *Controller) tables(p parts) [][]ipmb.Command {
	c.events = &events{
		self: c.id.Addr, sel: c.sel, mail: c.mail, receiver: c.receiver, outbox: p.outbox, log: c.log, send: c.sendEvent,
	}
	c.sel.self, c.sel.logging, c.sel.announce = c.id.Addr, c.mail.logs, c.events.level
	vm := sensed{p.vm, c.sensors}
	t := [][]ipmb.Command{
		c.identity.Commands(func() *ipmb.Mux { return c.mux }, c.selfTest),
		c.receiver.Commands(),
		c.sensors.clockRows(mc.SELDeviceCommands(c.sel, records{p.db})),
		c.sdrs.Commands(),
		c.sensors.Commands(),
		c.sensors.DeviceSDRCommands(&c.own),
		c.frus.Commands(),
		c.mail.commands(),
		c.bridge.commands(),
		c.events.commands(),
		p.life.boot.Commands(),
		(&chassis{self: c.id.Addr, vm: vm, life: p.life, log: p.log}).commands(),
	}
	if c.id.Profile == ProfileATCA {
		t = append(t, (&carrier{self: c.id.Addr, vm: vm}).commands())
	}
	return append(t, c.access.tables()...)
}
