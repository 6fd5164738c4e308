package power

import (
	"fmt"
	"strings"

	"github.com/midplane-project/midplane/node/power/qmp"
)

// Ids of the devices in our command lines, which QMP paths such as /chardevs/ipmi0 name.
const (
	idQMP     = "qmp0"
	idConsole = ConsoleChardev
	idSerial  = "serial1"
	idIPMI    = "ipmi0"
	idBMC     = "bmc0"
	idAgent   = "agent0"
)

// ConsoleChardev is the id of the console of a VM that a [Machine] starts.
const ConsoleChardev = "console0"

// agentPort is the port name that every distribution's agent opens.
const agentPort = "org.qemu.guest_agent.0"

// ssifAddress is the 7-bit SMBus address of the SSIF device: 0x20 on the wire, the customary BMC address.
const ssifAddress = "0x10"

// interfaceDevices are QEMU's device names. PCI forms carry no address in SMBIOS, so Linux assumes 0x20 there.
var interfaceDevices = map[SystemInterface]string{
	KCS:    "isa-ipmi-kcs,bmc=" + idBMC,
	BT:     "isa-ipmi-bt,bmc=" + idBMC,
	PCIKCS: "pci-ipmi-kcs,bmc=" + idBMC,
	PCIBT:  "pci-ipmi-bt,bmc=" + idBMC,
	SSIF:   "smbus-ipmi,bmc=" + idBMC + ",address=" + ssifAddress,
}

// pair is one option with its value, as QEMU's command line has them.
type pair struct{ option, value string }

// bmcArgs connects the guest's IPMI device to the node.
func bmcArgs(s Spec) ([]pair, error) {
	device, ok := interfaceDevices[s.SystemInterface]
	if !ok {
		return nil, fmt.Errorf("system interface %q is unknown: use kcs, bt, pci-kcs, pci-bt or ssif", s.SystemInterface)
	}
	if s.SystemInterface == SSIF && !strings.Contains(s.Machine, "q35") {
		return nil, fmt.Errorf("system interface ssif needs machine q35, which has the SMBus controller: not %q", s.Machine)
	}
	if s.VMSocket.Path == "" {
		return nil, fmt.Errorf("VM %q has no socket for the VM protocol", s.Name)
	}
	socket := listening(idIPMI, s.VMSocket.Path)
	if !s.VMSocket.Server {
		socket = dialling(idIPMI, s.VMSocket.Path, s.Version)
	}
	return []pair{
		{"-chardev", socket},
		{"-device", fmt.Sprintf("ipmi-bmc-extern,id=%s,chardev=%s,slave_addr=0x%02x", idBMC, idIPMI, s.SlaveAddr)},
		{"-device", device},
	}, nil
}

func monitorArgs(s Spec) []pair {
	if s.QMPSocket == "" {
		return nil
	}
	return []pair{
		{"-chardev", listening(idQMP, s.QMPSocket)},
		{"-mon", "chardev=" + idQMP + ",mode=control"},
	}
}

func agentArgs(s Spec) []pair {
	if s.AgentSocket == "" {
		return nil
	}
	return []pair{
		{"-device", "virtio-serial-pci,id=vserial0"},
		{"-chardev", listening(idAgent, s.AgentSocket)},
		{"-device", "virtserialport,bus=vserial0.0,chardev=" + idAgent + ",name=" + agentPort},
	}
}

func consoleArgs(s Spec) []pair {
	if s.ConsoleSocket == "" {
		return nil
	}
	return []pair{
		{"-chardev", listening(idConsole, s.ConsoleSocket)},
		{"-device", "isa-serial,chardev=" + idConsole},
	}
}

// serialArgs is the second serial port, at which QEMU listens: the guest's port
// stays as it is while its node restarts.
func serialArgs(s Spec) []pair {
	if s.SerialSocket == "" {
		return nil
	}
	return []pair{
		{"-chardev", listening(idSerial, s.SerialSocket)},
		{"-device", "isa-serial,chardev=" + idSerial + ",index=1"},
	}
}

func listening(id, path string) string {
	return "socket,id=" + id + ",path=" + escape(path) + ",server=on,wait=off"
}

// dialling makes QEMU connect and try again every second. The option for that was renamed in 9.2
// and its old name removed in 10.2 (QEMU qapi/char.json, docs/about/removed-features.rst).
func dialling(id, path string, v qmp.Version) string {
	again := "reconnect=1"
	if v.AtLeast(9, 2) {
		again = "reconnect-ms=1000"
	}
	return "socket,id=" + id + ",path=" + escape(path) + "," + again
}

// escape doubles commas, which end a value in QEMU's option syntax.
func escape(value string) string { return strings.ReplaceAll(value, ",", ",,") }
