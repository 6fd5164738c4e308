package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sel"
	"github.com/midplane-project/midplane/node/serial"
)

// SerialPort is one serial interface of a node.
type SerialPort struct {
	Mode string `json:"mode"` // terminal, basic, direct or radisys
	// Listen is where the line is: guest for the second serial port of the VM
	// that the node starts, a socket, unix:PATH or tcp:HOST:PORT, or a pseudo
	// terminal, pty:PATH, where PATH becomes a link to it.
	Listen string `json:"listen"`
	// Privilege is what who speaks may without a session: none, callback, user,
	// operator or admin. Default: admin for the guest, as at its system
	// interface; none otherwise.
	Privilege string `json:"privilege,omitempty"`
	// Style is how answers come back over a bridge: split (the default in
	// terminal mode) or embedded.
	Style ipmb.BridgeStyle `json:"style,omitempty"`
}

const (
	// SerialGuest is the guest's second serial port as a SerialPort's Listen.
	SerialGuest = "guest"
	// SerialPTY begins that of a pseudo terminal.
	SerialPTY = "pty:"
	// MaxSerialPorts is how many serial ports a node may have.
	MaxSerialPorts = 4
	// firstSerialChannel is the channel of the first one.
	firstSerialChannel = 2
)

// serialPrivileges are the words for what may be done without a session.
var serialPrivileges = []ipmb.Privilege{
	ipmb.PrivilegeNone, ipmb.PrivilegeCallback, ipmb.PrivilegeUser, ipmb.PrivilegeOperator, ipmb.PrivilegeAdmin,
}

// ParseSerialPort reads MODE=LISTEN or MODE,PRIVILEGE=LISTEN, as --serial has it.
func ParseSerialPort(s string) (SerialPort, error) {
	how, listen, _ := strings.Cut(s, "=")
	mode, privilege, _ := strings.Cut(how, ",")
	p := SerialPort{Mode: mode, Listen: listen, Privilege: privilege}
	return p, p.Check()
}

// Check finds what cannot be.
func (p SerialPort) Check() error {
	if !slices.Contains(serial.Modes, serial.Mode(p.Mode)) {
		return fmt.Errorf("mode: %q is none of %v", p.Mode, serial.Modes)
	}
	if err := checkSerialListen(p.Listen); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if err := p.Style.Check(); err != nil {
		return err
	}
	level, err := p.privilege()
	if err != nil {
		return err
	}
	if level == ipmb.PrivilegeNone && !serial.Mode(p.Mode).Sessions() {
		return fmt.Errorf("privilege: is missing: nobody can log in by mode %s", p.Mode)
	}
	return nil
}

// checkSerialListen permits TCP on this host only: what passes is in clear,
// passwords too.
func checkSerialListen(s string) error {
	path, pty := strings.CutPrefix(s, SerialPTY)
	if s == SerialGuest || pty && path != "" {
		return nil
	}
	if _, err := ParseListen(s); err != nil {
		return fmt.Errorf("%w, pty:PATH or guest", err)
	}
	address, tcp := strings.CutPrefix(s, "tcp:")
	if !tcp {
		return nil
	}
	if a, err := netip.ParseAddrPort(address); err != nil || !a.Addr().IsLoopback() {
		return fmt.Errorf("%q: want a loopback IP:PORT, since passwords pass in clear", s)
	}
	return nil
}

// privilege is what may be done without a session.
func (p SerialPort) privilege() (ipmb.Privilege, error) {
	if p.Privilege == "" {
		if p.Listen == SerialGuest {
			return ipmb.PrivilegeAdmin, nil
		}
		return ipmb.PrivilegeNone, nil
	}
	for _, level := range serialPrivileges {
		if p.Privilege == level.String() {
			return level, nil
		}
	}
	return 0, fmt.Errorf("privilege: %q is none of %v", p.Privilege, serialPrivileges)
}

// channel describes the port in the controller's channel table.
func (p SerialPort) channel(i int) mc.Channel {
	c := mc.Channel{Number: uint8(firstSerialChannel + i), Medium: mc.MediumSerial, Protocol: mc.ProtocolIPMB}
	if serial.Mode(p.Mode) == serial.Terminal {
		c.Protocol = mc.ProtocolTMode
	}
	c.Sessions = serial.Mode(p.Mode).Sessions()
	c.Single = c.Sessions
	return c
}

// CheckSerial finds what cannot be in a list of ports, and which one it is. own
// says that the node starts its VM.
func CheckSerial(ports []SerialPort, own bool) (int, error) {
	if len(ports) > MaxSerialPorts {
		return MaxSerialPorts, fmt.Errorf("%d ports; at most %d", len(ports), MaxSerialPorts)
	}
	seen := make(map[string]bool)
	for i, p := range ports {
		err := p.Check()
		switch {
		case err != nil:
		case seen[p.Listen]:
			err = fmt.Errorf("listen: %s stands twice", p.Listen)
		case p.Listen == SerialGuest && !own:
			err = errors.New("listen: guest is the port of a VM that the node starts; give another one's chardev a unix:PATH")
		}
		if err != nil {
			return i, err
		}
		seen[p.Listen] = true
	}
	return 0, nil
}

func (c *Config) checkSerial() error {
	if i, err := CheckSerial(c.Serial, c.VM != nil); err != nil {
		return fmt.Errorf("serial[%d]: %w", i, err)
	}
	guest := slices.ContainsFunc(c.Serial, func(p SerialPort) bool { return p.Listen == SerialGuest })
	if guest && c.VM.SerialSocket == "" {
		return errors.New("serial: the VM has no socket for its second serial port")
	}
	return nil
}

// serialPort is a port with its door.
type serialPort struct {
	SerialPort
	channel mc.Channel
	door    *serial.Door
}

func (c *Config) serialPorts() (out []*serialPort) {
	for i, cfg := range c.Serial {
		p := &serialPort{SerialPort: cfg, channel: cfg.channel(i)}
		if p.channel.Sessions {
			p.channel.Active = func() int { return p.door.Sessions() } // nobody asks before the door is there
		}
		out = append(out, p)
	}
	return out
}

func serialChannels(ports []*serialPort) (out mc.Channels) {
	for _, p := range ports {
		out = append(out, p.channel)
	}
	return out
}

// openSerial builds the doors.
func (n *Node) openSerial() (err error) {
	for _, p := range n.serials {
		if p.door, err = serial.New(n.serialConfig(p)); err != nil {
			return err
		}
	}
	a := n.controller.access
	n.controller.bridge.lines, a.lines = nodeLines{n.serials, a.sessions}, n.serials
	return nil
}

func (n *Node) serialConfig(p *serialPort) serial.Config {
	level, _ := p.privilege() // Config.Check has looked at it
	speaker := ipmb.SpeakerSession
	if p.Listen == SerialGuest {
		speaker = ipmb.SpeakerGuest
	}
	number := p.channel.Number
	c := serial.Config{
		Mode: serial.Mode(p.Mode), Style: p.Style, Handler: n.controller.Handler(), Logger: n.log,
		Sensors: n.controller.sensors.thresholds(),
		Deliver: func(privilege ipmb.Privilege, handle uint8, f ipmb.Frame) bool {
			return n.controller.mail.pushLine(number, privilege, handle, f)
		},
		Origin: ipmb.Origin{
			Speaker: speaker, Channel: p.channel.Number, Privilege: level, Shelf: n.cfg.Shelf,
			Source: n.cfg.Addr(), Instance: string(n.settings.instance[:]),
		},
	}
	if !p.channel.Sessions {
		return c
	}
	a := n.controller.access
	c.Account = func(name string, atLeast ipmb.Privilege) (mc.Account, error) {
		return a.users.Account(number, name, atLeast)
	}
	c.Standing = func(id uint8) (mc.Standing, bool) { return a.users.Standing(number, id) }
	c.Users = func() (named, null bool) { return a.users.LoginKinds(number) }
	c.Limit = func() (ipmb.Privilege, bool) {
		s, _ := a.channels.Active(number)
		return s.Limit, s.Mode() != mc.AccessDisabled
	}
	c.Settings = func() mc.SerialSettings {
		s, _ := a.serial.Settings(number)
		return s
	}
	return c
}

// serveSerial serves the serial ports until ctx ends or one fails.
func (n *Node) serveSerial(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range n.serials {
		path, pty := strings.CutPrefix(p.Listen, SerialPTY)
		switch {
		case pty:
			g.Go(func() error { return p.serveTerminal(ctx, path) })
		case p.Listen == SerialGuest:
			g.Go(func() error { return p.door.Dial(ctx, n.cfg.VM.SerialSocket) })
		default:
			g.Go(func() error { return p.serveSocket(ctx) })
		}
	}
	return g.Wait()
}

func (p *serialPort) serveSocket(ctx context.Context) error {
	ln, err := Listen{Address: p.Listen}.open()
	if err != nil {
		return fmt.Errorf("listen for a serial line: %w", err)
	}
	return p.door.Serve(ctx, ln)
}

func (p *serialPort) serveTerminal(ctx context.Context, link string) error {
	tty, err := serial.OpenPTY(link)
	if err != nil {
		return fmt.Errorf("serial line: %w", err)
	}
	defer func() { _ = tty.Close() }()
	return p.door.ServePTY(ctx, tty)
}

// thresholds are the sensors that have some.
func (s *sensors) thresholds() (out []serial.Sensor) {
	for _, body := range s.readable() {
		if r, _, count := sensorOf(body); r.EventType == sel.EventThreshold && count == 1 {
			out = append(out, serial.Sensor{Kind: r.Kind, LUN: r.LUN, Number: r.Number})
		}
	}
	return out
}
