package node

import (
	"context"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/vm"
)

// payload is what a controller's power commands act on: the VM.
type payload interface {
	On() bool
	PowerOn(context.Context) error
	PowerOff(context.Context) error
	Cycle(context.Context) error
	// Press resets the VM, raises an NMI or presses its power button.
	Press(context.Context, vm.Command) error
	// Grant says whether the shelf lets the VM have power.
	Grant(bool) error
}

// Chassis Control's actions (IPMI 2.0 §28.3).
const (
	chassisDown  = 0
	chassisUp    = 1
	chassisCycle = 2
	chassisReset = 3
	chassisNMI   = 4
	chassisSoft  = 5

	chassisActionMask = 0x0F
)

// Chassis Capabilities and Status (IPMI 2.0 §28.1, §28.2).
const (
	capDiagnosticInterrupt = 0x04
	statusPowerOn          = 0x01
	statusRestorePrevious  = 0x20 // after a restart of the node the VM is as it was

	addressUnspecified = 0x00
)

// chassis is the host's power as its BMC has it.
type chassis struct {
	self ipmb.Addr
	vm   payload
}

func (c *chassis) commands() []ipmb.Command {
	return []ipmb.Command{
		{
			Name: "Get Chassis Capabilities", NetFn: ipmb.NetFnChassis, Cmd: 0x00, Privilege: ipmb.PrivilegeUser,
			Ref: "IPMI 2.0 §28.1", Do: c.capabilities,
		},
		{
			Name: "Get Chassis Status", NetFn: ipmb.NetFnChassis, Cmd: 0x01, Privilege: ipmb.PrivilegeUser,
			Ref: "IPMI 2.0 §28.2", Do: c.status,
		},
		{
			Name: "Chassis Control", NetFn: ipmb.NetFnChassis, Cmd: 0x02, Privilege: ipmb.PrivilegeOperator,
			Data: ipmb.Exactly(1), Effect: true, Ref: "IPMI 2.0 §28.3", Do: c.control,
		},
	}
}

// capabilities names the controller as SDR, SEL and system management device.
func (c *chassis) capabilities(context.Context, *ipmb.Request) ([]byte, error) {
	return []byte{capDiagnosticInterrupt, addressUnspecified, byte(c.self), byte(c.self), byte(c.self)}, nil
}

func (c *chassis) status(context.Context, *ipmb.Request) ([]byte, error) {
	power := byte(statusRestorePrevious)
	if c.vm.On() {
		power |= statusPowerOn
	}
	return []byte{power, 0, 0}, nil
}

// control acts on the VM. The own guest may end itself in this way: it is how
// Linux powers off a server without ACPI (ipmi_poweroff.c).
func (c *chassis) control(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	switch req.Data[0] & chassisActionMask {
	case chassisDown:
		return nil, c.vm.PowerOff(ctx)
	case chassisUp:
		return nil, c.vm.PowerOn(ctx)
	case chassisCycle:
		return nil, c.vm.Cycle(ctx)
	case chassisReset:
		return nil, c.vm.Press(ctx, vm.CommandReset)
	case chassisNMI:
		return nil, c.vm.Press(ctx, vm.CommandNMI)
	case chassisSoft:
		return nil, c.vm.Press(ctx, vm.CommandGracefulPower)
	}
	return nil, ipmb.ErrInvalidField
}
