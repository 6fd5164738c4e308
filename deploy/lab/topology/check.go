package topology

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"

	"github.com/midplane-project/midplane/internal/yamlfile"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node"
)

// Values that the file may have.
var (
	Interfaces = []string{"kcs", "bt", "pci-kcs", "pci-bt", "ssif"}
	Profiles   = []string{"atca", "server", node.ProfileFanTray}
	Clocks     = []string{"vm", "wall"}
	Overflows  = []string{node.SELOldest, node.SELRefuse}
	Timings    = []string{"lab", "lan"}
	Accels     = []string{"auto", "kvm", "tcg"}
	Formats    = []string{"qcow2", "raw"}

	OnGuestPoweroffs = []string{"stay", "deactivate"}
)

// Names become directories, certificate names and host names.
var nameRule = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// reserved are names that mean something else where a node's name may stand.
var reserved = regexp.MustCompile(`^(shelf|leader|all|node|vm|supervisor|compact|front|shm[0-9]+)$`)

const (
	maxID     = 254
	maxPort   = 65535
	minMemory = 32
)

type checker struct{ found []yamlfile.Mistake }

func (c *checker) add(path, format string, args ...any) {
	c.found = append(c.found, yamlfile.Mistake{Path: path, Message: fmt.Sprintf(format, args...)})
}

func (c *checker) oneOf(path, value string, allowed []string) {
	if !slices.Contains(allowed, value) {
		c.add(path, "%q is not one of %v", value, allowed)
	}
}

// check finds all mistakes that the types allow.
func (s *Shelf) check() []yamlfile.Mistake {
	var c checker
	if !nameRule.MatchString(s.Name) {
		c.add("$.name", "%q is no name: 1 to 32 of a-z, 0-9 and -, not at either end", s.Name)
	}
	if s.ID < 0 || s.ID > maxID {
		c.add("$.id", "%d is not within 1 to %d (or 0 for the first free one)", s.ID, maxID)
	}
	if !slices.Contains([]int{1, 3, 5}, s.Replicas) {
		c.add("$.replicas", "%d replicas: want 1, 3 or 5, so that a majority exists", s.Replicas)
	}
	c.oneOf("$.timing", s.Timing, Timings)
	if _, err := netip.ParseAddr(s.Listen); err != nil {
		c.add("$.listen", "%q is no IP address", s.Listen)
	}
	s.checkPorts(&c)
	s.checkLAN(&c)
	if len(s.Nodes) == 0 {
		c.add("$.nodes", "a shelf needs at least one node")
	}
	s.checkNodes(&c)
	return c.found
}

func (s *Shelf) checkPorts(c *checker) {
	if len(s.Ports) != 0 && len(s.Ports) != s.Replicas {
		c.add("$.ports", "%d ports for %d replicas", len(s.Ports), s.Replicas)
	}
	for i, p := range s.Ports {
		if p < 1 || p > maxPort || slices.Index(s.Ports, p) != i {
			c.add(fmt.Sprintf("$.ports[%d]", i), "%d is no port, or stands twice", p)
		}
	}
}

func (s *Shelf) checkNodes(c *checker) {
	slots, names := map[int]string{}, map[string]bool{}
	s.checkSerialSockets(c)
	for i, n := range s.Nodes {
		at := func(field string) string { return fmt.Sprintf("$.nodes[%d].%s", i, field) }
		if n.Slot < 1 || n.Slot > ipmb.MaxSlot {
			c.add(at("slot"), "%d is not within 1 to %d", n.Slot, ipmb.MaxSlot)
		} else if other, ok := slots[n.Slot]; ok {
			c.add(at("slot"), "slot %d is taken by %s", n.Slot, other)
		}
		switch {
		case !nameRule.MatchString(n.Name):
			c.add(at("name"), "%q is no name: 1 to 32 of a-z, 0-9 and -, not at either end", n.Name)
		case reserved.MatchString(n.Name) || isNumber(n.Name):
			c.add(at("name"), "%q means something else as a TARGET", n.Name)
		case names[n.Name]:
			c.add(at("name"), "%q stands twice", n.Name)
		}
		slots[n.Slot], names[n.Name] = n.Name, true
		if n.FanTray() {
			n.checkFanTray(c, at)
		} else {
			c.oneOf(at("interface"), n.Interface, Interfaces)
		}
		c.oneOf(at("profile"), n.Profile, Profiles)
		c.oneOf(at("watchdog_clock"), n.WatchdogClock, Clocks)
		c.oneOf(at("sel.overflow"), n.SEL.Overflow, Overflows)
		if n.SEL.Capacity < node.MinSELCapacity || n.SEL.Capacity > node.MaxSELCapacity {
			c.add(at("sel.capacity"), "%d is not within %d to %d records", n.SEL.Capacity, node.MinSELCapacity, node.MaxSELCapacity)
		}
		n.checkRest(c, at)
	}
}

// checkFanTray finds what is said of a VM that there is none of.
func (n Node) checkFanTray(c *checker, at func(string) string) {
	for field, said := range map[string]bool{
		"interface": n.Interface != "", "qemu": !n.QEMU.None, "vm_socket.path": n.VMSocket.Path != "", "power": n.Power != nil,
		"console": n.Console != nil,
		"serial":  len(n.Serial) > 0,
	} {
		if said {
			c.add(at(field), "a fan tray has no VM: leave it out")
		}
	}
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 0, 32)
	return err == nil
}

func (n Node) checkRest(c *checker, at func(string) string) {
	if n.Manufacturer != nil && *n.Manufacturer > 0xFFFFF {
		c.add(at("manufacturer"), "%d does not fit in 20 bits", *n.Manufacturer)
	}
	n.checkAlerts(c, at)
	checkLogins(c, at("lan"), n.LAN.Settings())
	if i, err := node.CheckSerial(n.SerialPorts(), !n.QEMU.None); err != nil {
		c.add(at(fmt.Sprintf("serial[%d]", i)), "%v", err)
	}
	if _, err := n.VMSocket.FileMode(); err != nil {
		c.add(at("vm_socket.mode"), "%v", err)
	}
	if n.VMSocket.Path != "" && !n.QEMU.None {
		c.add(at("vm_socket.path"), "is for a VM that somebody else starts: set qemu: none, or leave it out")
	}
	c.oneOf(at("on_guest_poweroff"), n.OnGuestPoweroff, OnGuestPoweroffs)
	if n.OnGuestPoweroff == OnGuestPoweroffs[1] && n.Profile != Profiles[0] {
		c.add(at("on_guest_poweroff"), "a node with profile %s has no FRU state: it cannot be deactivated", n.Profile)
	}
	n.checkPower(c, at("power"))
	n.checkConsole(c, at("console"))
	if n.QEMU.None {
		return
	}
	c.oneOf(at("qemu.accel"), n.QEMU.Accel, Accels)
	if n.QEMU.Memory < minMemory {
		c.add(at("qemu.memory"), "%d MiB is too little; at least %d", n.QEMU.Memory, minMemory)
	}
	if n.QEMU.CPUs < 1 {
		c.add(at("qemu.cpus"), "%d processors", n.QEMU.CPUs)
	}
	if n.QEMU.Initrd != "" && n.QEMU.Kernel == "" {
		c.add(at("qemu.initrd"), "needs a kernel")
	}
	if n.QEMU.Disk.Format != "" {
		c.oneOf(at("qemu.disk.format"), n.QEMU.Disk.Format, Formats)
	}
	for i, nic := range n.QEMU.NICs {
		if nic.Backend == "" {
			c.add(at(fmt.Sprintf("qemu.nics[%d].backend", i)), "is missing: what -netdev takes, such as user")
		}
	}
}

func (n Node) checkConsole(c *checker, at string) {
	if err := n.Console.Check(!n.QEMU.None); err != nil {
		c.add(at, "%v", err)
	}
}

func (n Node) checkPower(c *checker, at string) {
	if n.Power == nil {
		return
	}
	if !n.QEMU.None {
		c.add(at, "is for a VM that somebody else starts: set qemu: none, or leave it out")
	}
	if err := n.Power.Check(); err != nil {
		c.add(at, "%v", err)
	}
}

func (n Node) checkAlerts(c *checker, at func(string) string) {
	seen := make(map[netip.Addr]bool)
	for i, s := range n.Alerts {
		where := at(fmt.Sprintf("alerts[%d]", i))
		a, err := netip.ParseAddrPort(s)
		switch {
		case err != nil || a.Port() == 0:
			c.add(where, "%q is no IP:PORT", s)
		case seen[a.Addr().Unmap()]:
			c.add(where, "%s stands twice; an address has one port", a.Addr())
		}
		seen[a.Addr().Unmap()] = true
	}
}

// FileMode is the socket's mode.
func (v VMSocket) FileMode() (uint32, error) {
	if v.Mode == "" {
		v.Mode = DefaultMode
	}
	n, err := strconv.ParseUint(v.Mode, 8, 32)
	if err != nil || n > 0o777 {
		return 0, fmt.Errorf("%q is no file mode; want octal digits such as \"0660\"", v.Mode)
	}
	return uint32(n), nil
}

// checkSerialSockets finds sockets that two nodes would listen on.
func (s *Shelf) checkSerialSockets(c *checker) {
	whose := map[string]int{}
	for i, n := range s.Nodes {
		for j, p := range n.Serial {
			other, ok := whose[p.Listen]
			if ok && other != i && p.Listen != node.SerialGuest {
				c.add(fmt.Sprintf("$.nodes[%d].serial[%d]", i, j), "listen: %s is %s's", p.Listen, s.Nodes[other].Name)
			}
			whose[p.Listen] = i
		}
	}
}
