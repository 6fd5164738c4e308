package topology

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/rmcp"
)

// LAN is what is said of the shelf's doors for RMCP+, and of the shelf
// manager's own.
type LAN struct {
	Off bool `yaml:"-"` // no door, but for nodes that say otherwise
	// Listen is where the shelf manager's door is, IP:PORT; default: address 0
	// of the shelf's loopback addresses, 127.77.ID.0.
	Listen string `yaml:"listen"`
	// Port is that of all doors that do not say; 0 is 623 where that is allowed,
	// else 6230, chosen once and kept.
	Port int `yaml:"port"`
	// Password says whether all doors begin with one password, or each with one
	// of its own.
	Password string `yaml:"password"` // shared or own
	// Style is how answers come back over the bridge: split or embedded. It and
	// what follows is of the shelf manager's own door.
	Style  ipmb.BridgeStyle `yaml:"style"`
	Suites []int            `yaml:"suites"`        // cipher suites, the better first
	Unsafe bool             `yaml:"unsafe_suites"` // permits 0, 1 and 2
	V15    []string         `yaml:"v15"`           // IPMI 1.5 sessions: md5, password
}

// Settings are how one may log in at the shelf manager's door.
func (l LAN) Settings() rmcp.Settings {
	return rmcp.Settings{Suites: l.Suites, Unsafe: l.Unsafe, V15: l.V15}
}

// NodeLAN is a node's own door.
type NodeLAN struct {
	Switch string `yaml:"-"`      // on or off
	Listen string `yaml:"listen"` // IP:PORT; default: 127.77.ID.SLOT
	// Allow are where a guest, or whoever may, can move it, beside that:
	// IP:PORT, IP:FIRST-LAST or CIDR:PORT.
	Allow  []string         `yaml:"allow"`
	Style  ipmb.BridgeStyle `yaml:"style"`         // of answers over a bridge: split or embedded
	Suites []int            `yaml:"suites"`        // cipher suites, the better first
	Unsafe bool             `yaml:"unsafe_suites"` // permits 0, 1 and 2
	V15    []string         `yaml:"v15"`           // IPMI 1.5 sessions: md5, password
}

// Settings are how one may log in.
func (l NodeLAN) Settings() rmcp.Settings {
	return rmcp.Settings{Suites: l.Suites, Unsafe: l.Unsafe, V15: l.V15}
}

// plain reports whether nothing is said beside the switch.
func (l NodeLAN) plain() bool {
	return l.Listen == "" && len(l.Allow) == 0 && l.Style == "" && len(l.Suites) == 0 && !l.Unsafe && len(l.V15) == 0
}

// Words for a door.
const (
	lanOn  = "on"
	lanOff = "off"
)

// Passwords of doors.
const (
	PasswordShared = "shared"
	PasswordOwn    = "own"
)

// Passwords are what may be said of them.
var Passwords = []string{PasswordShared, PasswordOwn}

// onOff reads the word on or off, which some take for a truth value.
func onOff(unmarshal func(any) error) (string, bool) {
	var truth bool
	if unmarshal(&truth) == nil {
		if truth {
			return lanOn, true
		}
		return lanOff, true
	}
	var word string
	return word, unmarshal(&word) == nil
}

var errOnOff = errors.New("lan: want on, off or a mapping")

// UnmarshalYAML takes on, off or a mapping.
func (l *LAN) UnmarshalYAML(unmarshal func(any) error) error {
	if word, ok := onOff(unmarshal); ok {
		if word != lanOn && word != lanOff {
			return errOnOff
		}
		*l = LAN{Off: word == lanOff}
		return nil
	}
	type plain LAN
	return unmarshal((*plain)(l))
}

// MarshalYAML writes off as the word.
func (l LAN) MarshalYAML() (any, error) {
	if l.Off {
		return lanOff, nil
	}
	type plain LAN
	return plain(l), nil
}

// UnmarshalYAML takes on, off or a mapping.
func (l *NodeLAN) UnmarshalYAML(unmarshal func(any) error) error {
	if word, ok := onOff(unmarshal); ok {
		if word != lanOn && word != lanOff {
			return errOnOff
		}
		*l = NodeLAN{Switch: word}
		return nil
	}
	type plain NodeLAN
	l.Switch = lanOn
	return unmarshal((*plain)(l))
}

// MarshalYAML writes a door that needs no more as the word.
func (l NodeLAN) MarshalYAML() (any, error) {
	switch {
	case l.plain() && l.Switch == "":
		return nil, nil
	case l.plain() || !l.On():
		return l.Switch, nil
	}
	type plain NodeLAN
	return plain(l), nil
}

// On reports whether there is a door.
func (l NodeLAN) On() bool { return l.Switch != lanOff }

func (l *LAN) fill() { or(&l.Password, PasswordShared) }

// fill: a node's own word goes before that of the defaults, and that before
// the shelf's, each key for itself.
func (l *NodeLAN) fill(d NodeLAN, shelf LAN) {
	or(&l.Switch, d.Switch)
	or(&l.Listen, d.Listen)
	or(&l.Style, d.Style)
	or(&l.Unsafe, d.Unsafe)
	orList(&l.Allow, d.Allow)
	orList(&l.Suites, d.Suites)
	orList(&l.V15, d.V15)
	if l.Switch == "" && shelf.Off {
		l.Switch = lanOff
	}
	or(&l.Switch, lanOn)
}

func orList[T any](p *[]T, d []T) {
	if *p == nil {
		*p = slices.Clone(d)
	}
}

// checkLogins finds those that a door would refuse.
func checkLogins(c *checker, lan string, s rmcp.Settings) {
	if err := s.Check(); err != nil {
		field, what, _ := strings.Cut(err.Error(), ": ")
		c.add(lan+"."+field, "%s", what)
	}
}

func (s *Shelf) checkLAN(c *checker) {
	if s.LAN.Port < 0 || s.LAN.Port > maxPort {
		c.add("$.lan.port", "%d is no port (0: 623 where that is allowed, else 6230)", s.LAN.Port)
	}
	c.oneOf("$.lan.password", s.LAN.Password, Passwords)
	if err := s.LAN.Style.Check(); err != nil {
		c.add("$.lan", "%v", err)
	}
	checkLogins(c, "$.lan", s.LAN.Settings())
	whose := map[netip.AddrPort]string{}
	one := func(path, listen, name string) {
		a, err := parseDoor(listen)
		if other, taken := whose[a]; err == nil && taken {
			err = fmt.Errorf("%s is the door of %s", a, other)
		}
		if err != nil {
			c.add(path, "%v", err)
			return
		}
		whose[a] = name
	}
	if s.LAN.Listen != "" {
		one("$.lan.listen", s.LAN.Listen, "the shelf manager")
	}
	for i, n := range s.Nodes {
		if n.LAN.Listen != "" {
			one(fmt.Sprintf("$.nodes[%d].lan.listen", i), n.LAN.Listen, n.Name)
		}
		for j, allowed := range n.LAN.Allow {
			if _, err := rmcp.ParsePlace(allowed); err != nil {
				c.add(fmt.Sprintf("$.nodes[%d].lan.allow[%d]", i, j), "%v", err)
			}
		}
		if err := n.LAN.Style.Check(); err != nil {
			c.add(fmt.Sprintf("$.nodes[%d].lan", i), "%v", err)
		}
	}
}

// parseDoor reads where a door is. Each has an address of its own, by which
// people name it.
func parseDoor(s string) (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(s)
	if err == nil && a.Addr().IsUnspecified() {
		return a, fmt.Errorf("%q is every address of this machine, and people need one to name the door by, such as 127.0.0.1:6230", s)
	}
	if err != nil || a.Port() == 0 || a.Addr().IsMulticast() {
		return a, fmt.Errorf("%q is no IP:PORT of this machine, such as 127.0.0.1:6230", s)
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), nil
}
