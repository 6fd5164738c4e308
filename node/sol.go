package node

import (
	"context"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/rmcp"
	"github.com/midplane-project/midplane/node/power"
)

// solReplay is how much of what the VM said a serial-over-LAN session is shown
// first: a boot, but not more than a slow line carries in seconds.
const solReplay = 16 << 10

// vmConsole is the VM's serial port for serial over LAN.
type vmConsole struct{ node *Node }

// Open implements rmcp.Console. Whoever typed at the console only watches from
// then on: a session of serial over LAN cannot.
func (c vmConsole) Open() (rmcp.Line, error) {
	seat, err := c.node.console.Join(power.TakeOver, solReplay, true)
	if err != nil {
		return nil, err
	}
	return vmLine{seat, c.node}, nil
}

// vmLine is a place at the console, with the break that it cannot carry itself.
type vmLine struct {
	*power.Seat
	node *Node
}

func (l vmLine) Break(ctx context.Context) error { return l.node.machine.Break(ctx) }

// offerSOL lets the first administrator use the console of a VM that has one:
// who makes the LAN door wants that.
func (n *Node) offerSOL() error {
	if n.console == nil {
		return nil
	}
	const channel = 1
	if _, err := n.own(0x4C, channel, lanUserID, 1<<mc.PayloadSOL, 0, 0, 0); err != nil { // Set User Payload Access
		return err
	}
	_, err := n.ownOf(ipmb.NetFnTransport, 0x21, channel, mc.SOLEnable, 1) // Set SOL Configuration Parameters
	return err
}
