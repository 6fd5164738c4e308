package node

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/power"
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
	capFrontPanelLockout   = 0x02
	capDiagnosticInterrupt = 0x04
	capReserved            = 0xF0

	statusPolicyShift   = 5
	statusControlFault  = 0x10
	statusPowerFault    = 0x08
	statusPowerOn       = 0x01
	statusIdentify      = 0x40 // the command is there, and its state is
	statusIdentifyShift = 4
	statusLockout       = 0x02 // power off and reset

	addressUnspecified = 0x00
)

// minutesPerCount is the unit of the power-on hours counter (IPMI 2.0 §28.14).
const minutesPerCount = 60

// chassis is the host's power as its BMC has it.
type chassis struct {
	self ipmb.Addr
	vm   payload
	life *life
	log  *slog.Logger
}

func (c *chassis) commands() []ipmb.Command {
	row := func(name string, cmd ipmb.Cmd, p ipmb.Privilege, data ipmb.Span, ref string, do func(context.Context, *ipmb.Request) ([]byte, error)) ipmb.Command {
		return ipmb.Command{
			Name: name, NetFn: ipmb.NetFnChassis, Cmd: cmd, Privilege: p, Data: data, Ref: "IPMI 2.0 §" + ref, Do: do,
		}
	}
	acts := func(r ipmb.Command) ipmb.Command {
		r.Effect = true
		return r
	}
	const user, operator, admin = ipmb.PrivilegeUser, ipmb.PrivilegeOperator, ipmb.PrivilegeAdmin
	none, one := ipmb.Exactly(0), ipmb.Exactly(1)
	return []ipmb.Command{
		row("Get Chassis Capabilities", 0x00, user, none, "28.1", c.capabilities),
		row("Get Chassis Status", 0x01, user, none, "28.2", c.status),
		acts(row("Chassis Control", 0x02, operator, one, "28.3", c.control)),
		acts(row("Chassis Reset", 0x03, operator, none, "28.4", c.reset)),
		acts(row("Chassis Identify", 0x04, operator, ipmb.Between(0, 2), "28.5", c.identify)),
		acts(row("Set Chassis Capabilities", 0x05, admin, ipmb.Between(5, 6), "28.7", c.setCapabilities)),
		acts(row("Set Power Restore Policy", 0x06, operator, one, "28.8", c.setPolicy)),
		row("Get System Restart Cause", 0x07, user, none, "28.11", c.restartCause),
		acts(row("Set Front Panel Button Enables", 0x0A, admin, one, "28.6", c.setPanel)),
		acts(row("Set Power Cycle Interval", 0x0B, admin, one, "28.9", c.setInterval)),
		row("Get POH Counter", 0x0F, user, none, "28.14", c.powerOnHours),
	}
}

// capabilities names the controller as SDR, SEL and system management device,
// unless Set Chassis Capabilities named others.
func (c *chassis) capabilities(context.Context, *ipmb.Request) ([]byte, error) {
	if set := c.life.get().Capabilities; set != nil {
		return append([]byte(nil), set...), nil
	}
	self := byte(c.self)
	return []byte{capDiagnosticInterrupt | capFrontPanelLockout, addressUnspecified, self, self, self}, nil
}

func (c *chassis) setCapabilities(_ context.Context, req *ipmb.Request) ([]byte, error) {
	if req.Data[0]&capReserved != 0 {
		return nil, ipmb.ErrInvalidField
	}
	for _, address := range req.Data[1:] {
		if address&1 != 0 {
			return nil, ipmb.ErrInvalidField
		}
	}
	set := append([]byte(nil), req.Data...)
	return nil, c.life.update(func(s *lifeState) { s.Capabilities = set })
}

func (c *chassis) status(context.Context, *ipmb.Request) ([]byte, error) {
	s := c.life.get()
	current := byte(s.Policy)<<statusPolicyShift | c.life.faults()
	if c.vm.On() {
		current |= statusPowerOn
	}
	misc := statusIdentify | s.identifying(time.Now())<<statusIdentifyShift
	if both := byte(buttonPower | buttonReset); s.Panel&both == both {
		misc |= statusLockout
	}
	return []byte{current, s.Event, misc, buttonsAll<<allowedShift | s.Panel}, nil
}

// control acts on the VM. The own guest may end itself in this way: it is how
// Linux powers off a server without ACPI (ipmi_poweroff.c).
func (c *chassis) control(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	ctx = byCommand(ctx, req)
	c.life.boot.Controlled()
	action := req.Data[0] & chassisActionMask
	err := error(ipmb.ErrInvalidField)
	switch action {
	case chassisDown:
		err = c.vm.PowerOff(ctx)
	case chassisUp:
		err = c.vm.PowerOn(ctx)
	case chassisCycle:
		err = c.vm.Cycle(ctx)
	case chassisReset:
		err = c.vm.Press(ctx, vm.CommandReset)
	case chassisNMI:
		err = c.vm.Press(ctx, vm.CommandNMI)
	case chassisSoft:
		err = c.vm.Press(ctx, vm.CommandGracefulPower)
	}
	return nil, c.outcome(action, err)
}

// reset is an early form of Chassis Control's (IPMI 2.0 §28.4).
func (c *chassis) reset(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	c.life.boot.Controlled()
	return nil, c.outcome(chassisReset, c.vm.Press(byCommand(ctx, req), vm.CommandReset))
}

// outcome gives what was not done a code that says whether to try again.
func (c *chassis) outcome(action byte, err error) error {
	if err == nil {
		return nil
	}
	c.log.Warn("chassis control not done", "action", action, "err", err)
	var code ipmb.CompletionCode
	switch {
	case errors.As(err, &code):
		return err
	case errors.Is(err, power.ErrNotRunning):
		return ipmb.ErrState
	}
	return ipmb.ErrBusy
}

// setPolicy takes a restore policy, or none, and tells which there are.
func (c *chassis) setPolicy(_ context.Context, req *ipmb.Request) ([]byte, error) {
	p := restorePolicy(req.Data[0])
	if p > restoreQuery {
		return nil, ipmb.ErrInvalidField
	}
	if p != restoreQuery {
		if err := c.life.update(func(s *lifeState) { s.Policy = p }); err != nil {
			return nil, err
		}
	}
	return []byte{restoreSupported}, nil
}

func (c *chassis) restartCause(context.Context, *ipmb.Request) ([]byte, error) {
	r := c.life.get().Cause
	return []byte{byte(r.Cause), r.Channel}, nil
}

// setInterval sets for how many seconds a power cycle takes the power; 0 gives
// it back as soon as can be.
func (c *chassis) setInterval(_ context.Context, req *ipmb.Request) ([]byte, error) {
	return nil, c.life.update(func(s *lifeState) { s.CyclePause = req.Data[0] })
}

func (c *chassis) powerOnHours(context.Context, *ipmb.Request) ([]byte, error) {
	n, err := c.life.hours.read()
	if err != nil {
		return nil, err
	}
	return binary.LittleEndian.AppendUint32([]byte{minutesPerCount}, n), nil
}
