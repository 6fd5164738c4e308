package lab

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/midplane-project/midplane/deploy/lab/topology"
	"github.com/midplane-project/midplane/node"
	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/shelf"
	"github.com/midplane-project/midplane/shelf/front"
)

// Compact is the file of midplane compact: all replicas and nodes of a shelf,
// and the front of its LAN door, for one process.
type Compact struct {
	Replicas []shelf.Config `json:"replicas"`
	Nodes    []node.Config  `json:"nodes"`
	Front    *front.Config  `json:"front,omitempty"` // nil: the shelf manager has no LAN door
}

// replicaConfig is the file of replica i.
func (l *Lab) replicaConfig(i int) shelf.Config {
	t := l.Topology
	name := topology.ReplicaName(i)
	c := shelf.Config{
		Name: name, Dir: l.ReplicaDir(name), Listen: l.address(i), Expect: t.Replicas, Timing: t.Timing,
		PKI: l.PKIDir(), Cluster: l.Cluster, API: "unix:" + l.socket(name, "api"),
		Shelves: []shelf.Declared{{Name: l.Name, LAN: l.replicaLAN(name)}},
	}
	for j := range t.Replicas {
		if j != i {
			c.Seeds = append(c.Seeds, l.address(j))
		}
	}
	for _, n := range t.Nodes {
		c.Shelves[0].Slots = append(c.Shelves[0].Slots, shelf.DeclaredSlot{Slot: n.Slot, Name: n.Name})
	}
	return c
}

// nodeConfig is the file of a node.
func (l *Lab) nodeConfig(n topology.Node) (node.Config, error) {
	c := node.Config{
		Shelf: l.Name, Slot: n.Slot, Name: n.Name, Profile: n.Profile, Interface: n.Interface,
		Manufacturer: value(n.Manufacturer), Product: value(n.Product), Alerts: n.Alerts,
		WatchdogClock: n.WatchdogClock, SEL: node.SELConfig(n.SEL),
		Dir: l.NodeDir(n.Name), PKI: l.PKIDir(), Cluster: l.Cluster, API: "unix:" + l.socket(n.Name, "api"),
		Power: n.Power, Console: n.Console, OnGuestPoweroff: n.OnGuestPoweroff, Template: n.Template,
		Serial: n.SerialPorts(),
	}
	if a := l.NodeLAN(n); a.IsValid() {
		c.LAN = node.LANDoor{Listen: a.String(), Allow: n.LAN.Allow, Style: n.LAN.Style, Settings: n.LAN.Settings()}
	}
	for i := range l.Topology.Replicas {
		c.Replicas = append(c.Replicas, node.Replica{Name: topology.ReplicaName(i), Address: l.address(i)})
	}
	if n.FanTray() {
		c.OnGuestPoweroff, c.WatchdogClock = "", ""
		return c, nil
	}
	if !n.QEMU.None {
		spec, err := l.vmSpec(n)
		c.VM = &spec
		return c, err
	}
	mode, err := n.VMSocket.FileMode()
	if err != nil {
		return node.Config{}, err
	}
	c.Listen = []node.Listen{{Address: "unix:" + l.VMSocket(n), Mode: mode, Group: n.VMSocket.Group}}
	return c, nil
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// VMSocket is where a node and its VM speak the VM protocol.
func (l *Lab) VMSocket(n topology.Node) string { return first(n.VMSocket.Path, l.socket(n.Name, "vm")) }

// vmSpec is the VM that a node starts. What a probe or a build decides comes
// from l.Choices.
func (l *Lab) vmSpec(n topology.Node) (power.Spec, error) {
	q := n.QEMU
	s := power.Spec{
		Name: n.Name, UUID: l.VMUUID(n.Name), Binary: q.Binary, Machine: q.Machine, Accel: q.Accel,
		MemoryMiB: q.Memory, SMP: q.CPUs, Kernel: q.Kernel, Initrd: q.Initrd, Append: q.Append,
		Extra:           append([]string(nil), q.Extra...), // none is nil, however the file says so: it is part of the hash
		SystemInterface: power.SystemInterface(n.Interface), SlaveAddr: uint8(n.Addr()),
		VMSocket:  power.VMSocket{Path: l.VMSocket(n), Server: true},
		QMPSocket: l.socket(n.Name, "qmp"), AgentSocket: l.socket(n.Name, "agent"), ConsoleSocket: l.socket(n.Name, "console"),
	}
	for _, p := range n.Serial {
		if p.Listen == node.SerialGuest {
			s.SerialSocket = l.socket(n.Name, "serial")
		}
	}
	if q.Accel == power.Auto {
		s.Accel = l.Accels[binary(q)]
	}
	if usesLabGuest(q) {
		image, ok := l.Images[imageKey(q)]
		if !ok {
			return s, fmt.Errorf("node %s: the lab guest has not been built", n.Name)
		}
		s.Kernel, s.Initrd = image.Kernel, image.Initrd
		// A guest on a busy machine without KVM takes the time that its timer lost
		// for a timer that does not work, and panics: it is not to look.
		s.Append = strings.TrimSpace("no_timer_check console=ttyS0 quiet midplane.name=" + n.Name + " " + q.Append)
	}
	for _, nic := range q.NICs {
		s.NICs = append(s.NICs, power.NIC(nic))
	}
	if q.Disk.Base != "" {
		s.Disk = power.Disk{Base: q.Disk.Base, Overlay: q.Disk.Overlay, Format: q.Disk.Format}
		s.Disk.Overlay = first(s.Disk.Overlay, filepath.Join(l.NodeDir(n.Name), "disk.qcow2"))
	}
	return s, nil
}

func binary(q topology.QEMU) string { return first(q.Binary, power.DefaultBinary) }

// usesLabGuest reports whether a VM boots the lab guest, perhaps with a kernel
// of one's own: it does unless it has an initrd or a disk.
func usesLabGuest(q topology.QEMU) bool {
	return !q.None && q.Initrd == "" && q.Disk.Base == ""
}

// imageKey tells lab guests apart.
func imageKey(q topology.QEMU) string { return q.Kernel + "|" + q.Modules }

// sockets lists the sockets of the shelf that are longest.
func (l *Lab) sockets() []string {
	var all []string
	for i := range l.Topology.Replicas {
		all = append(all, l.socket(topology.ReplicaName(i), "api"))
	}
	for _, n := range l.Topology.Nodes {
		if n.FanTray() {
			all = append(all, l.socket(n.Name, "api"))
			continue
		}
		all = append(all, l.socket(n.Name, "console"), l.VMSocket(n))
	}
	return all
}
