// Package topology reads shelf.yaml, the file that describes one shelf: its
// replicas, its nodes and their virtual machines.
package topology

import (
	"fmt"
	"slices"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node"
	"github.com/midplane-project/midplane/node/power"
)

// FileName is what a shelf's file is called when nobody says otherwise.
const FileName = "shelf.yaml"

// Shelf is one shelf.yaml with all defaults filled in.
type Shelf struct {
	Name string `yaml:"name"`
	// ID tells shelves on one machine apart; 0 picks the first free one.
	ID int `yaml:"id"`
	// Replicas is how many shelf managers run: 1, 3 or 5.
	Replicas int `yaml:"replicas"`
	// Timing is the raft profile: lab (200 ms elections) or lan (300 ms).
	Timing string `yaml:"timing"`
	// Listen is the IP address on which the replicas listen.
	Listen string `yaml:"listen"`
	// Ports are the replicas' TCP ports; empty picks free ones once and keeps them.
	Ports []int `yaml:"ports"`
	// LAN is the shelf's doors for ipmitool and the like.
	LAN      LAN    `yaml:"lan"`
	Defaults Node   `yaml:"defaults"`
	Nodes    []Node `yaml:"nodes"`
}

// Node is one slot and what is in it.
type Node struct {
	Slot         int      `yaml:"slot"`
	Name         string   `yaml:"name"`
	Interface    string   `yaml:"interface"` // kcs, bt, pci-kcs, pci-bt, ssif
	Profile      string   `yaml:"profile"`   // atca, server or fan-tray
	Manufacturer *uint32  `yaml:"manufacturer"`
	Product      *uint16  `yaml:"product"`
	Alerts       []string `yaml:"alerts"` // IP:PORT that SNMP traps may go to
	VMSocket     VMSocket `yaml:"vm_socket"`
	QEMU         QEMU     `yaml:"qemu"`
	// Power is how a node acts on a VM of one's own (qemu: none), beside the
	// VM protocol.
	Power           *power.External `yaml:"power"`
	OnGuestPoweroff string          `yaml:"on_guest_poweroff"` // stay or deactivate
	// Console is where the serial console of a VM of one's own is.
	Console *node.Console `yaml:"console"`
	// Serial are the node's serial ports.
	Serial []Serial `yaml:"serial"`
	// WatchdogClock is vm, by which the watchdog timer stands still while the VM
	// is paused, or wall.
	WatchdogClock string `yaml:"watchdog_clock"`
	SEL           SEL    `yaml:"sel"`
	// LAN is the node's own door.
	LAN NodeLAN `yaml:"lan"`

	// Template says which sensors and FRU devices the node has; empty: the
	// built-in one's (package template).
	Template string `yaml:"template"`
}

// SEL is a node's event log: how many records it holds, and whether a full one
// loses the oldest or refuses one more.
type SEL struct {
	Capacity int    `yaml:"capacity"`
	Overflow string `yaml:"overflow"` // oldest or refuse
}

// VMSocket is where a VM of one's own (qemu: none) finds its node.
type VMSocket struct {
	Path  string `yaml:"path"`
	Mode  string `yaml:"mode"` // octal, such as "0660"; default 0600
	Group string `yaml:"group"`
}

// Serial is one serial port of a node.
type Serial struct {
	Mode      string `yaml:"mode"`      // terminal, basic, direct, radisys
	Listen    string `yaml:"listen"`    // guest, unix:PATH or tcp:IP:PORT
	Privilege string `yaml:"privilege"` // without a session: none, callback, user, operator, admin
}

// SerialPorts are the node's serial ports as its own file has them.
func (n Node) SerialPorts() (out []node.SerialPort) {
	for _, p := range n.Serial {
		out = append(out, node.SerialPort(p))
	}
	return out
}

// QEMU is the virtual machine that a node starts. None means that somebody
// else starts it, or that the slot has a controller without a VM.
type QEMU struct {
	None    bool     `yaml:"-"`
	Binary  string   `yaml:"binary"`
	Machine string   `yaml:"machine"`
	Accel   string   `yaml:"accel"` // auto, kvm, tcg
	Memory  int      `yaml:"memory"`
	CPUs    int      `yaml:"cpus"`
	Kernel  string   `yaml:"kernel"`
	Initrd  string   `yaml:"initrd"`
	Append  string   `yaml:"append"`
	Modules string   `yaml:"modules"` // directory of the kernel's modules, for the lab guest
	Disk    Disk     `yaml:"disk"`
	NICs    []NIC    `yaml:"nics"`
	Extra   []string `yaml:"extra"`
}

// Disk is the VM's disk. The base is never written: changes go to the overlay.
type Disk struct {
	Base    string `yaml:"base"`
	Overlay string `yaml:"overlay"` // default: in the node's state directory
	Format  string `yaml:"format"`
}

// NIC is one network interface.
type NIC struct {
	Backend string `yaml:"backend"` // what -netdev takes without an id
	Model   string `yaml:"model"`
	MAC     string `yaml:"mac"`
}

// UnmarshalYAML takes the word none for no VM, or a mapping.
func (q *QEMU) UnmarshalYAML(unmarshal func(any) error) error {
	var word string
	if unmarshal(&word) == nil {
		if word != "none" {
			return fmt.Errorf("qemu: %q is neither none nor a mapping", word)
		}
		*q = QEMU{None: true}
		return nil
	}
	type plain QEMU
	return unmarshal((*plain)(q))
}

// MarshalYAML writes none as the word.
func (q QEMU) MarshalYAML() (any, error) {
	if q.None {
		return "none", nil
	}
	type plain QEMU
	return plain(q), nil
}

// Addr is the node's IPMB address.
func (n Node) Addr() ipmb.Addr { return ipmb.SlotAddr(n.Slot) }

// Node finds a node by its name.
func (s *Shelf) Node(name string) (Node, bool) {
	i := slices.IndexFunc(s.Nodes, func(n Node) bool { return n.Name == name })
	if i < 0 {
		return Node{}, false
	}
	return s.Nodes[i], true
}

// ReplicaName is the name of replica i, counted from 0: shm1, shm2, …
func ReplicaName(i int) string { return fmt.Sprintf("shm%d", i+1) }

// BuiltIn is the shelf of midplane up without a file: two blades.
func BuiltIn() *Shelf {
	s := &Shelf{Name: "demo", Nodes: []Node{
		{Slot: 1, Name: "blade1", Interface: "kcs"},
		{Slot: 2, Name: "blade2", Interface: "bt"},
	}}
	s.fill()
	return s
}

// Defaults of a shelf.
const (
	DefaultReplicas  = 3
	DefaultTiming    = "lab"
	DefaultListen    = "127.0.0.1"
	DefaultInterface = "kcs"
	DefaultProfile   = "atca"
	DefaultMemory    = 256
	DefaultAccel     = "auto"
	DefaultMode      = "0600"

	DefaultOnGuestPoweroff = "stay"
	DefaultWatchdogClock   = "vm"
	DefaultSELOverflow     = node.SELOldest
	DefaultSELCapacity     = node.DefaultSELCapacity
)

// fill puts defaults where nothing was said.
func (s *Shelf) fill() {
	or(&s.Replicas, DefaultReplicas)
	or(&s.Timing, DefaultTiming)
	or(&s.Listen, DefaultListen)
	s.LAN.fill()
	for i := range s.Nodes {
		s.Nodes[i].fill(s.Defaults)
		s.Nodes[i].LAN.fill(s.Defaults.LAN, s.LAN)
	}
}

func (n *Node) fill(d Node) {
	or(&n.Profile, d.Profile, DefaultProfile)
	if n.FanTray() {
		d = d.forFanTray()
		n.QEMU.None = n.QEMU.None || n.QEMU.empty()
	} else {
		or(&n.Interface, d.Interface, DefaultInterface)
	}
	or(&n.WatchdogClock, d.WatchdogClock, DefaultWatchdogClock)
	or(&n.SEL.Capacity, d.SEL.Capacity, DefaultSELCapacity)
	or(&n.SEL.Overflow, d.SEL.Overflow, DefaultSELOverflow)
	or(&n.VMSocket.Mode, d.VMSocket.Mode, DefaultMode)
	or(&n.VMSocket.Group, d.VMSocket.Group)
	or(&n.OnGuestPoweroff, d.OnGuestPoweroff, DefaultOnGuestPoweroff)
	or(&n.Template, d.Template)
	if n.Manufacturer == nil {
		n.Manufacturer = d.Manufacturer
	}
	if n.Product == nil {
		n.Product = d.Product
	}
	if n.Alerts == nil {
		n.Alerts = d.Alerts
	}
	if n.Serial == nil {
		n.Serial = slices.Clone(d.Serial)
	}
	n.QEMU.None = n.QEMU.None || d.QEMU.None && n.QEMU.empty()
	if n.QEMU.None && n.Power == nil {
		n.Power = d.Power
	}
	if !n.QEMU.None {
		n.QEMU.fill(d.QEMU)
	}
}

// FanTray reports whether the node has fans, and never a VM.
func (n Node) FanTray() bool { return n.Profile == node.ProfileFanTray }

// forFanTray are the defaults without what is of boards and their VMs.
func (n Node) forFanTray() Node {
	n.Template, n.VMSocket, n.Power, n.OnGuestPoweroff, n.QEMU, n.Serial = "", VMSocket{}, nil, "", QEMU{}, nil
	return n
}

func (q *QEMU) empty() bool { return q.Kernel == "" && q.Memory == 0 && q.Disk.Base == "" }

func (q *QEMU) fill(d QEMU) {
	or(&q.Binary, d.Binary)
	or(&q.Machine, d.Machine)
	or(&q.Accel, d.Accel, DefaultAccel)
	or(&q.Memory, d.Memory, DefaultMemory)
	or(&q.CPUs, d.CPUs, 1)
	or(&q.Kernel, d.Kernel)
	or(&q.Initrd, d.Initrd)
	or(&q.Append, d.Append)
	or(&q.Modules, d.Modules)
	if q.Disk == (Disk{}) {
		q.Disk = d.Disk
	}
	if q.NICs == nil {
		q.NICs = d.NICs
	}
	if q.Extra == nil {
		q.Extra = d.Extra
	}
}

// or sets *p to the first value that is not zero, if *p is.
func or[T comparable](p *T, values ...T) {
	var zero T
	for _, v := range values {
		if *p != zero {
			return
		}
		*p = v
	}
}
