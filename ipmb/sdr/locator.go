package sdr

import "github.com/midplane-project/midplane/ipmb"

// LogicalFRU is the device type of a FRU inventory behind a controller.
const LogicalFRU = 0x10

// FRULocator says where a FRU inventory is, type 11h:
//
//	owner  FRU id or slave address  [7] logical [4:3] LUN [2:0] bus  [7:4] channel  0
//	device type  modifier  entity  instance  OEM  name
type FRULocator struct {
	Owner      ipmb.Addr
	FRU        uint8 // FRU id when Logical, else slave address on the private bus
	Logical    bool
	LUN        ipmb.LUN
	Bus        uint8
	Channel    uint8
	DeviceType uint8 // LogicalFRU
	Modifier   uint8
	Entity     Entity
	OEM        uint8
	Name       string
}

const (
	fruLocatorLen = 11 // from the owner to the type/length byte
	mcLocatorLen  = 11
	busLUNShift   = 3
	busMask       = 0x07
)

// Type is TypeFRULocator.
func (*FRULocator) Type() Type { return TypeFRULocator }

func (f *FRULocator) append(b []byte) ([]byte, error) {
	access := byte(f.LUN&lunMask)<<busLUNShift | f.Bus&busMask
	if f.Logical {
		access |= logicalBit
	}
	b = append(b, byte(f.Owner), f.FRU, access, f.Channel<<highShift, 0, f.DeviceType, f.Modifier)
	return appendID(append(f.Entity.append(b), f.OEM), f.Name)
}

func parseFRULocator(b []byte) (Body, error) {
	if len(b) < fruLocatorLen {
		return nil, ErrShort
	}
	name, err := parseID(b[fruLocatorLen-1:])
	if err != nil {
		return nil, err
	}
	return &FRULocator{
		Owner: ipmb.Addr(b[0]), FRU: b[1], Logical: b[2]&logicalBit != 0,
		LUN: ipmb.LUN(b[2] >> busLUNShift & lunMask), Bus: b[2] & busMask, Channel: b[3] >> highShift,
		DeviceType: b[5], Modifier: b[6], Entity: parseEntity(b[7:]), OEM: b[9], Name: name,
	}, nil
}

// MCLocator says that a management controller is there, type 12h:
//
//	address  [3:0] channel  power and initialisation  capabilities  0 0 0  entity  instance  OEM  name
type MCLocator struct {
	Addr         ipmb.Addr
	Channel      uint8
	Power        uint8 // [7] ACPI system [6] ACPI device notification, [3:0] initialisation
	Capabilities uint8 // as the support byte of Get Device ID
	Entity       Entity
	OEM          uint8
	Name         string
}

// Type is TypeMCLocator.
func (*MCLocator) Type() Type { return TypeMCLocator }

func (m *MCLocator) append(b []byte) ([]byte, error) {
	b = append(b, byte(m.Addr), m.Channel&nibble, m.Power, m.Capabilities, 0, 0, 0)
	return appendID(append(m.Entity.append(b), m.OEM), m.Name)
}

func parseMCLocator(b []byte) (Body, error) {
	if len(b) < mcLocatorLen {
		return nil, ErrShort
	}
	name, err := parseID(b[mcLocatorLen-1:])
	if err != nil {
		return nil, err
	}
	return &MCLocator{
		Addr: ipmb.Addr(b[0]), Channel: b[1] & nibble, Power: b[2], Capabilities: b[3],
		Entity: parseEntity(b[7:]), OEM: b[9], Name: name,
	}, nil
}
