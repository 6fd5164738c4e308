package vm

import "fmt"

// Interface is the kind of system interface that the guest sees.
type Interface uint8

// System interfaces of QEMU. The PCI forms behave as the ISA ones.
const (
	KCS  Interface = iota // isa-ipmi-kcs, pci-ipmi-kcs
	BT                    // isa-ipmi-bt, pci-ipmi-bt
	SSIF                  // smbus-ipmi
)

var interfaceNames = [...]string{"kcs", "bt", "ssif"}

func (i Interface) String() string {
	if int(i) < len(interfaceNames) {
		return interfaceNames[i]
	}
	return fmt.Sprintf("interface(%d)", uint8(i))
}

// ParseInterface reads "kcs", "bt" or "ssif", also with "isa-" or "pci-" before it.
func ParseInterface(s string) (Interface, error) {
	switch s {
	case "kcs", "isa-kcs", "pci-kcs":
		return KCS, nil
	case "bt", "isa-bt", "pci-bt":
		return BT, nil
	case "ssif":
		return SSIF, nil
	}
	return 0, fmt.Errorf("system interface %q: want kcs, bt, pci-kcs, pci-bt or ssif", s)
}

// MaxData is how many bytes may follow the completion code of an answer.
// KCS is bound by Linux (272 bytes with netFn, command and code), BT by its
// length byte (255 with netFn, seq, command and code), SSIF by QEMU (255 with
// netFn, command and code).
func (i Interface) MaxData() int {
	switch i {
	case BT:
		return 255 - 4
	case SSIF:
		return 255 - 3
	}
	return 272 - 3
}
