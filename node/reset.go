package node

import (
	"context"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// resets gives the commands that put the controller into another condition.
// None of them touches the VM.
func (c *Controller) resets() []ipmb.Command {
	row := func(name string, cmd ipmb.Cmd, ref string, do func(context.Context) error) ipmb.Command {
		return ipmb.Command{
			Name: name, NetFn: ipmb.NetFnApp, Cmd: cmd, Privilege: ipmb.PrivilegeAdmin, Effect: true, Ref: ref,
			Do: func(ctx context.Context, _ *ipmb.Request) ([]byte, error) { return nil, do(ctx) },
		}
	}
	return []ipmb.Command{
		row("Cold Reset", 0x02, "IPMI 2.0 §20.2", c.coldReset),
		row("Warm Reset", 0x03, "IPMI 2.0 §20.3", c.warmReset),
		row("Manufacturing Test On", 0x05, "IPMI 2.0 §20.5", c.manufacturingTest),
	}
}

// coldReset gives what is volatile its default, drops what is under way and
// tests the controller. Who asked gets the answer, as from a controller that
// resets itself once it has answered. What is stored as configuration, the
// event receiver among it, is what a controller starts with, and stays.
func (c *Controller) coldReset(ctx context.Context) error {
	c.log.Warn("cold reset")
	if err := c.watchdog.Forget(); err != nil {
		return err
	}
	if err := c.acpi.forget(); err != nil {
		return err
	}
	if err := c.access.coldReset(); err != nil {
		return err
	}
	if err := c.mail.reset(); err != nil {
		return err
	}
	c.tests.thorough.Store(false)
	c.dropTraffic()
	if r := c.tests.run(ctx); r.Result != mc.SelfTestPassed {
		c.log.Error("self test failed", "result", r.Result, "detail", r.Detail)
	}
	return nil
}

// warmReset drops what is under way between guest and bus, with the numbers by
// which repeats are known. Settings stay as they are.
func (c *Controller) warmReset(context.Context) error {
	c.log.Warn("warm reset")
	c.dropTraffic()
	return nil
}

func (c *Controller) dropTraffic() {
	c.asks.reset()
	c.software.reset()
	c.mail.settle()
	c.mail.clear(flagQueue)
}

// manufacturingTest is left to the controller's maker by the specification.
// Here the self test writes to the disk as well from now on, and no longer only
// reads, until the next cold reset.
func (c *Controller) manufacturingTest(context.Context) error {
	c.log.Warn("manufacturing test on")
	c.tests.thorough.Store(true)
	return nil
}
