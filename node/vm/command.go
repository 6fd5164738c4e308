package vm

import (
	"fmt"
	"strings"
)

// Command is the code of a hardware command, the protocol's messages that are
// not IPMI (QEMU hw/ipmi/ipmi_bmc_extern.c, VM_CMD_…). The device ignores
// codes that it does not know.
type Command uint8

// Hardware commands.
const (
	CommandNoAttention   Command = 0x00 // node → VM: nothing waits for the guest
	CommandAttention     Command = 0x01 // node → VM: something waits; no interrupt
	CommandAttentionIRQ  Command = 0x02 // node → VM: something waits; interrupt the guest
	CommandPowerOff      Command = 0x03 // node → VM: off at once
	CommandReset         Command = 0x04 // node → VM: reset at once
	CommandEnableIRQ     Command = 0x05 // node → VM: the interface may interrupt for answers
	CommandDisableIRQ    Command = 0x06 // node → VM: it may not
	CommandNMI           Command = 0x07 // node → VM: non-maskable interrupt
	CommandCapabilities  Command = 0x08 // VM → node: what the VM can do, one byte of Capabilities
	CommandGracefulPower Command = 0x09 // node → VM: press the ACPI power button
	CommandVersion       Command = 0xFF // both ways: protocol version, one byte
)

// ProtocolVersion is the only version there is.
const ProtocolVersion = 1

var commandNames = map[Command]string{
	CommandNoAttention: "no attention", CommandAttention: "attention", CommandAttentionIRQ: "attention+irq",
	CommandPowerOff: "power off", CommandReset: "reset", CommandEnableIRQ: "enable irq",
	CommandDisableIRQ: "disable irq", CommandNMI: "nmi", CommandCapabilities: "capabilities",
	CommandGracefulPower: "graceful shutdown", CommandVersion: "version",
}

func (c Command) String() string {
	if s, ok := commandNames[c]; ok {
		return s
	}
	return fmt.Sprintf("command 0x%02x", uint8(c))
}

// needs is the capability without which a VM ignores c, 0 for none.
func (c Command) needs() Capabilities {
	switch c {
	case CommandPowerOff:
		return CapPower
	case CommandReset:
		return CapReset
	case CommandNMI:
		return CapNMI
	case CommandGracefulPower:
		return CapGraceful
	}
	return 0
}

// Capabilities is what a VM said it can do.
type Capabilities uint8

// Capabilities, in the order of their bits. Every QEMU so far announces all, 3Fh.
const (
	CapPower Capabilities = 1 << iota
	CapReset
	CapIRQ
	CapNMI
	CapAttention
	CapGraceful
	CapAll Capabilities = 0x3F
)

var capabilityNames = [...]string{"power", "reset", "irq", "nmi", "attention", "graceful"}

// Has reports whether c holds all of want.
func (c Capabilities) Has(want Capabilities) bool { return c&want == want }

func (c Capabilities) String() string {
	var names []string
	for i, n := range capabilityNames {
		if c.Has(1 << i) {
			names = append(names, n)
		}
	}
	if rest := c &^ CapAll; rest != 0 {
		names = append(names, fmt.Sprintf("0x%02x", uint8(rest)))
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, "|")
}
