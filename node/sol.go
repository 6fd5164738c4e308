package node

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/rmcp"
	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/uplink"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// solReplay is how much of what the VM said a serial-over-LAN session is shown
// first: a boot, but not more than a slow line carries in seconds.
const solReplay = 16 << 10

// vmConsole is the VM's serial port for serial over LAN.
type vmConsole struct{ node *Node }

// Open implements rmcp.Console. Whoever typed at the console only watches from
// then on: a session of serial over LAN cannot.
func (c vmConsole) Open(_ context.Context, o rmcp.Opening) (rmcp.Line, error) {
	return c.take(power.Paced{Hold: o.Hold})
}

func (c vmConsole) take(p power.Paced) (vmLine, error) {
	p.Replay = solReplay
	seat, err := c.node.console.TakePaced(p)
	if err != nil {
		return vmLine{}, err
	}
	return vmLine{seat, c.node}, nil
}

// shelfConsole takes the console over for a user at the shelf's LAN door.
func (n *Node) shelfConsole(call *v1.ConsoleCall) (uplink.Console, error) {
	return vmConsole{n}.take(power.Paced{
		Session: string(call.GetSession()), Resume: call.GetResume(), Hold: time.Duration(call.GetHoldMs()) * time.Millisecond,
	})
}

// vmLine is a place at the console, with the break that it cannot carry itself.
type vmLine struct {
	*power.Seat
	node *Node
}

// Break implements rmcp.Line. It takes QMP: a chardev's socket carries no break.
func (l vmLine) Break(ctx context.Context) error {
	chardev := power.ConsoleChardev
	if l.node.cfg.Console != nil {
		chardev = l.node.cfg.Console.Chardev
	}
	b, ok := l.node.driver.(interface {
		Break(ctx context.Context, chardev string) error
	})
	if !ok || chardev == "" {
		return errNoBreak
	}
	return b.Break(ctx, chardev)
}

var errNoBreak = errors.New("this VM's serial port takes no break from here: it needs power by QMP and console's chardev")

// Console is the serial console of a VM that somebody else starts: QEMU's
// chardev socket, at which QEMU listens.
type Console struct {
	Socket  string `json:"socket" yaml:"socket"`             // its path
	Chardev string `json:"chardev,omitempty" yaml:"chardev"` // its id in QEMU, for breaks, which go by QMP
}

// Check finds what cannot be.
func (c *Console) Check(ownVM bool) error {
	switch {
	case c == nil:
		return nil
	case ownVM:
		return errors.New("is for a VM that somebody else starts; the node's own has one")
	case c.Socket == "":
		return errors.New("socket: is missing")
	}
	return nil
}

// consoleSocket is where the VM's console is, empty without one.
func (c *Config) consoleSocket() string {
	switch {
	case c.VM != nil:
		return c.VM.ConsoleSocket
	case c.Console != nil:
		return c.Console.Socket
	}
	return ""
}

// openConsole records the VM's console, if it has one.
func (n *Node) openConsole() (err error) {
	socket := n.cfg.consoleSocket()
	if socket == "" {
		return nil
	}
	n.console, err = power.NewConsole(power.ConsoleConfig{Socket: socket, Log: filepath.Join(n.cfg.Dir, consoleFile), Logger: n.log})
	if err == nil && n.machine != nil {
		n.host.console = n.console
	}
	return err
}

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
