package node

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/midplane-project/midplane/internal/tap"
	"github.com/midplane-project/midplane/internal/version"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/power/agent"
	"github.com/midplane-project/midplane/node/uplink"
	"github.com/midplane-project/midplane/node/vm"
	midplanev1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// ServeIPMI asks the node's controller on behalf of its daemon's API.
func (n *Node) ServeIPMI(ctx context.Context, req *ipmb.Request) ipmb.Response {
	req.Origin.Source, req.Origin.Shelf = n.cfg.Addr(), n.cfg.Shelf
	return n.controller.Handler().ServeIPMI(ctx, req)
}

// Commands is the controller's command table.
func (n *Node) Commands() []ipmb.Command { return n.controller.Commands() }

// Watch lets an onlooker see what passes the node's doors.
func (n *Node) Watch() *tap.Viewer { return n.hub.Watch() }

// Attach joins the VM's serial console: see power.Console.
func (n *Node) Attach(ctx context.Context, rw io.ReadWriter, a power.Attachment) error {
	if n.console == nil {
		return ErrNoVM
	}
	return n.console.Attach(ctx, rw, a)
}

// Break sends a break to the VM's serial port for one who types there.
func (n *Node) Break(ctx context.Context, seat *power.Seat) error {
	if !seat.Types() {
		return power.ErrWriterBusy
	}
	return vmLine{seat, n}.Break(ctx)
}

// Agent is the way to the guest's agent.
func (n *Node) Agent() (*agent.Client, error) {
	if n.agent == nil {
		return nil, ErrNoVM
	}
	return n.agent, nil
}

// LeaveGuest lets what the API's callers run in the guest go on when they go,
// for they go because the node does.
func (n *Node) LeaveGuest() {
	if n.agent != nil {
		n.agent.Leave()
	}
}

// Power acts on the VM as the buttons of its front panel do. A board that is
// not active asks the shelf, and starts when that activates it. What the node is to remember of it is on disk when it returns.
func (n *Node) Power(ctx context.Context, a midplanev1.PowerAction) error {
	if err := n.power(ctx, a); err != nil {
		return err
	}
	return n.db.Sync()
}

func (n *Node) power(ctx context.Context, a midplanev1.PowerAction) error {
	ctx, err := n.host.life.press(ctx, a)
	if err != nil {
		return err
	}
	host := sensed{supply{n.host}, n.host.watch}
	switch a {
	case midplanev1.PowerAction_POWER_ACTION_ON:
		if s := n.swap; s != nil {
			return s.button(ctx, host)
		}
		if err := host.Grant(true); err != nil {
			return err
		}
		return host.PowerOn(ctx)
	case midplanev1.PowerAction_POWER_ACTION_OFF:
		return host.PowerOff(ctx)
	case midplanev1.PowerAction_POWER_ACTION_SOFT_OFF:
		return host.Press(ctx, vm.CommandGracefulPower)
	case midplanev1.PowerAction_POWER_ACTION_RESET:
		return host.Press(ctx, vm.CommandReset)
	case midplanev1.PowerAction_POWER_ACTION_NMI:
		return host.Press(ctx, vm.CommandNMI)
	case midplanev1.PowerAction_POWER_ACTION_CYCLE:
		return host.Cycle(ctx)
	}
	return fmt.Errorf("power action %s: %w", a, ipmb.ErrInvalidField)
}

// Faults is what the guest's door can do wrong on purpose.
func (n *Node) Faults() *vm.Door { return n.door }

// SensorFaults is what the node's sensors can say that is not so.
func (n *Node) SensorFaults() *SensorFaults { return n.controller.sensors.faults }

// VMState is where the VM is: none for a VM of somebody else's that is not connected.
func (n *Node) VMState() string {
	switch {
	case n.driver != nil:
		return n.driver.State().String()
	case len(n.door.Connected()) > 0:
		return power.Running.String()
	}
	return "none"
}

// Status tells how the node is.
func (n *Node) Status() *midplanev1.NodeStatusResponse {
	guid := n.identity().SystemGUID
	s := &midplanev1.NodeStatusResponse{
		Name: n.cfg.Name, Shelf: n.cfg.Shelf, Address: uint32(n.cfg.Addr()), SystemInterface: n.cfg.Interface,
		Profile: n.cfg.Profile, VmState: n.VMState(), VmLink: len(n.door.Connected()) > 0,
		Instance: n.settings.instance[:], Boot: n.settings.boot, Version: version.Get(),
		SystemGuid: guid[:], Pid: int32(os.Getpid()),
	}
	if n.machine != nil {
		s.VmPid = int32(n.machine.PID())
		s.CommandLine, _ = power.Args(*n.cfg.VM) // of a spec that has started before
	}
	if n.uplink != nil {
		s.Uplinks = uplinks(n.uplink.Status())
		s.OutboxPending = n.outbox.Last() - n.outbox.Acked()
	}
	return s
}

func uplinks(st uplink.Status) (out []*midplanev1.UplinkStatus) {
	for _, l := range st.Links {
		u := &midplanev1.UplinkStatus{
			Replica: l.Replica, Address: l.Addr, Plane: midplanev1.Plane(l.Plane) + midplanev1.Plane_PLANE_A,
			Connected: l.Live, Leader: l.Replica != "" && l.Replica == st.Leader,
		}
		if l.Err != nil {
			u.Error = l.Err.Error()
		}
		out = append(out, u)
	}
	return out
}
