package power

import (
	"fmt"

	"github.com/midplane-project/midplane/node/power/qmp"
)

// A SystemInterface is the kind of device through which the guest reaches its BMC.
type SystemInterface string

// The interfaces that QEMU has. SSIF is the slowest and has no interrupt; KCS and BT are recommended.
const (
	KCS    SystemInterface = "kcs"
	BT     SystemInterface = "bt"
	PCIKCS SystemInterface = "pci-kcs"
	PCIBT  SystemInterface = "pci-bt"
	SSIF   SystemInterface = "ssif"
)

// Accelerators. Auto is for [Probe], which picks one of the others.
const (
	Auto = "auto"
	KVM  = "kvm"
	TCG  = "tcg"
)

// DefaultBinary is the QEMU that a Spec without Binary means.
const DefaultBinary = "qemu-system-x86_64"

// A Spec describes one VM and the sockets by which its node reaches it. The zero value of most fields is a default.
type Spec struct {
	Name      string
	UUID      string // also how a running VM is known again
	Binary    string // default: DefaultBinary
	Version   qmp.Version
	Machine   string // default: pc, or q35 for SSIF
	Accel     string // kvm or tcg (default)
	MemoryMiB int    // default: 256
	SMP       int    // processors, default: 1

	Kernel, Initrd, Append string // direct boot; all optional
	Boot                   Boot   `json:"-"` // other devices than these for one start, see Booter

	Disk  Disk
	NICs  []NIC
	Extra []string // further arguments, last

	SystemInterface SystemInterface // default: kcs
	SlaveAddr       uint8           // the BMC's IPMB address for SMBIOS, default: 0x20

	VMSocket      VMSocket
	QMPSocket     string
	AgentSocket   string // "" leaves the agent's port out
	ConsoleSocket string // "" leaves the serial port out
	SerialSocket  string `json:",omitempty"` // of the second serial port, ttyS1 to Linux; "" leaves it out
}

// A Disk is the guest's first disk. With Overlay the base is only read and all writes go to the overlay;
// without it the VM runs in snapshot mode and forgets its writes, so that a base is never written.
type Disk struct {
	Base    string
	Overlay string // qcow2, made when missing
	Format  string // of the base: qcow2 (default) or raw
}

// A NIC is one network interface.
type NIC struct {
	Backend string // what -netdev takes without an id, for example user,hostfwd=tcp:127.0.0.1:2201-:22
	Model   string // default: virtio-net-pci
	MAC     string // "" lets QEMU choose
}

// VMSocket is where QEMU and the node exchange the VM protocol.
type VMSocket struct {
	Path   string
	Server bool // QEMU listens and the node dials: for the node's own VMs. Else QEMU dials the node.
}

// withDefaults fills what was left out.
func (s Spec) withDefaults() Spec {
	s.Binary = or(s.Binary, DefaultBinary)
	s.SystemInterface = or(s.SystemInterface, KCS)
	s.Machine = or(s.Machine, defaultMachine(s.SystemInterface))
	s.Accel = or(s.Accel, TCG)
	s.MemoryMiB = or(s.MemoryMiB, 256)
	s.SMP = or(s.SMP, 1)
	s.SlaveAddr = or(s.SlaveAddr, 0x20)
	s.Disk.Format = or(s.Disk.Format, "qcow2")
	return s
}

func defaultMachine(i SystemInterface) string {
	if i == SSIF {
		return "q35"
	}
	return "pc"
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// sockets lists the Unix sockets on which this VM's QEMU listens.
func (s Spec) sockets() []string {
	var list []string
	for _, path := range []string{s.QMPSocket, s.ConsoleSocket, s.SerialSocket, s.AgentSocket} {
		if path != "" {
			list = append(list, path)
		}
	}
	if s.VMSocket.Server {
		list = append(list, s.VMSocket.Path)
	}
	return list
}

// maxSocketPath is what sockaddr_un holds beside the final zero (unix(7)).
const maxSocketPath = 107

// CheckSocketPath tells whether the kernel can take path as a Unix socket's address.
func CheckSocketPath(path string) error {
	if len(path) > maxSocketPath {
		return fmt.Errorf("socket path %s has %d bytes, but Unix sockets allow %d: choose a shorter state directory",
			path, len(path), maxSocketPath)
	}
	return nil
}
