package node

import (
	"errors"
	"fmt"
	"slices"

	"github.com/midplane-project/midplane/internal/jsonfile"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/rmcp"
	"github.com/midplane-project/midplane/node/power"
)

// Config is one node, as the file of midplane node --config has it (JSON,
// unknown fields are errors).
type Config struct {
	Shelf string `json:"shelf"` // empty: standalone, a BMC without a shelf
	Slot  int    `json:"slot"`
	Name  string `json:"name"`
	// Profile is atca, server or fan-tray, which has neither VM nor system
	// interface; a standalone node is always a server.
	Profile      string `json:"profile"`
	Interface    string `json:"interface"` // kcs, bt, pci-kcs, pci-bt or ssif
	Manufacturer uint32 `json:"manufacturer,omitempty"`
	Product      uint16 `json:"product,omitempty"`

	// WatchdogClock is vm (the default: the watchdog timer stands still while
	// the VM is paused) or wall.
	WatchdogClock string `json:"watchdog_clock,omitempty"`

	// SEL is the log's size, and what it does when it is full.
	SEL SELConfig `json:"sel,omitzero"`

	// Dir holds what must survive: log, settings, outbox, console record.
	Dir string `json:"dir"`

	// Listen is where VMs that somebody else starts find their BMC.
	Listen []Listen `json:"listen,omitempty"`
	// VM is the VM that the node starts; nil for none.
	VM *power.Spec `json:"vm,omitempty"`
	// Power is how the node acts on a VM that somebody else starts, beside the
	// VM protocol; nil: by that alone.
	Power *power.External `json:"power,omitempty"`
	// Console is the serial console of a VM that somebody else starts; nil: none.
	Console *Console `json:"console,omitempty"`
	// Serial are the node's serial ports.
	Serial []SerialPort `json:"serial,omitempty"`
	// OnGuestPoweroff is stay (the default) or, for boards of a shelf, deactivate.
	OnGuestPoweroff string `json:"on_guest_poweroff,omitempty"`
	// Template is the file that says which sensors and FRU devices there are;
	// empty: as the built-in one has it.
	Template string `json:"template,omitempty"`

	// Replicas are the shelf managers to attach to.
	Replicas []Replica `json:"replicas,omitempty"`
	// PKI is the directory with the node's certificate, node-SHELF-SLOT.
	PKI     string `json:"pki,omitempty"`
	Cluster string `json:"cluster,omitempty"`

	// Alerts are the addresses, IP:PORT, that the node may send SNMP traps to;
	// where its guest wants them sent is a wish.
	Alerts []string `json:"alerts,omitempty"`

	// LAN is the node's RMCP+ door.
	LAN LANDoor `json:"lan,omitzero"`

	// API is where the node's gRPC API listens: unix:PATH (own user only).
	API string `json:"api"`
}

// LANDoor is how a node is reached by RMCP+.
type LANDoor struct {
	Listen string `json:"listen,omitempty"` // IP:PORT; empty: nowhere
	// Allow are the addresses that Set LAN Configuration Parameters may move it
	// to, beside that one: IP:PORT, IP:FIRST-LAST or CIDR:PORT.
	Allow []string `json:"allow,omitempty"`
	// Style is how answers come back over a bridge: split (the default) or embedded.
	Style ipmb.BridgeStyle `json:"style,omitempty"`
	rmcp.Settings
}

// Listen is a socket for VMs.
type Listen struct {
	Address string `json:"address"`         // unix:PATH or tcp:HOST:PORT
	Mode    uint32 `json:"mode,omitempty"`  // of a Unix socket; default 0600
	Group   string `json:"group,omitempty"` // of a Unix socket
}

// Replica is a shelf manager replica.
type Replica struct {
	Name    string `json:"name"`
	Address string `json:"address"` // HOST:PORT
}

// Standalone reports whether the node belongs to no shelf.
func (c *Config) Standalone() bool { return c.Shelf == "" }

// Addr is the node's IPMB address: its slot's, or 20h for a lone BMC.
func (c *Config) Addr() ipmb.Addr {
	if c.Standalone() {
		return ipmb.AddrShelfManager
	}
	return ipmb.SlotAddr(c.Slot)
}

// ReadConfig reads a node's file.
func ReadConfig(path string) (*Config, error) {
	c := new(Config)
	if err := jsonfile.ReadStrict(path, c); err != nil {
		return nil, err
	}
	return c, nil
}

// Check finds what is missing or cannot be.
func (c *Config) Check() error {
	var all []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			all = append(all, fmt.Errorf(format, args...))
		}
	}
	_, err := alertAddresses(c.Alerts)
	need(err == nil, "%w", err)
	_, err = lanAddress(c.LAN.Listen)
	need(err == nil, "lan: listen: %w", err)
	_, err = rmcp.ParsePlaces(c.LAN.Allow)
	need(err == nil, "lan: allow: %w", err)
	err = errors.Join(c.LAN.Style.Check(), c.LAN.Settings.Check())
	need(err == nil, "lan: %w", err)
	need(c.Dir != "", "dir: where shall the node keep its state?")
	if err := c.Console.Check(c.VM != nil); err != nil {
		all = append(all, fmt.Errorf("console: %w", err))
	}
	need(c.VM == nil || c.Power == nil, "power: is for a VM that somebody else starts; the node starts its own in another way")
	if err := c.SEL.Check(); err != nil {
		all = append(all, fmt.Errorf("sel: %w", err))
	}
	if c.Power != nil {
		if err := c.Power.Check(); err != nil {
			all = append(all, fmt.Errorf("power: %w", err))
		}
	}
	need(slices.Contains([]string{"", GuestPoweroffStay, GuestPoweroffDeactivate}, c.OnGuestPoweroff),
		"on_guest_poweroff: %q is neither stay nor deactivate", c.OnGuestPoweroff)
	need(c.OnGuestPoweroff != GuestPoweroffDeactivate || !c.Standalone() && c.Profile == ProfileATCA,
		"on_guest_poweroff: deactivate is for boards of a shelf with profile atca; nobody can deactivate a server")
	if c.Profile == ProfileFanTray {
		need(!c.Standalone() && c.VM == nil && c.Power == nil && c.Console == nil && len(c.Listen) == 0 && len(c.Serial) == 0 && c.Interface == "",
			"profile: a fan tray belongs to a shelf and has no VM: leave out vm, power, console, listen, serial and interface")
		return errors.Join(append(all, c.checkShelf()...)...)
	}
	need(slices.Contains([]string{"kcs", "bt", "pci-kcs", "pci-bt", "ssif"}, c.Interface), "interface: %q is none of kcs, bt, pci-kcs, pci-bt, ssif", c.Interface)
	need(slices.Contains([]string{"", ClockVM, ClockWall}, c.WatchdogClock), "watchdog_clock: %q is neither vm nor wall", c.WatchdogClock)
	if err := c.checkSerial(); err != nil {
		all = append(all, err)
	}
	if c.Standalone() {
		need(len(c.Listen) > 0 || c.VM != nil, "a standalone node needs --vm unix:PATH or tcp:HOST:PORT")
		return errors.Join(all...)
	}
	return errors.Join(append(all, c.checkShelf()...)...)
}

// checkShelf checks what a node of a shelf needs.
func (c *Config) checkShelf() (all []error) {
	need := func(ok bool, format string, args ...any) {
		if !ok {
			all = append(all, fmt.Errorf(format, args...))
		}
	}
	need(c.Slot >= 1 && c.Slot <= ipmb.MaxSlot, "slot: %d is not within 1 to %d", c.Slot, ipmb.MaxSlot)
	need(slices.Contains([]string{ProfileATCA, ProfileServer, ProfileFanTray}, c.Profile), "profile: %q is none of atca, server, fan-tray", c.Profile)
	need(len(c.Replicas) > 0, "replicas: a node of shelf %s needs at least one shelf manager", c.Shelf)
	need(c.PKI != "", "pki: a node of a shelf needs a certificate (midplane cert issue node/%s/%d)", c.Shelf, c.Slot)
	return all
}
