package ipmb

import (
	"fmt"
	"strconv"
	"strings"
)

// Addr is an 8-bit IPMB slave address; bit 0 is always clear on the bus.
type Addr uint8

// Well-known addresses (PICMG 3.0 as told by the Pigeon Point based manuals).
const (
	AddrBroadcast    Addr = 0x00
	AddrShelfManager Addr = 0x20 // the active shelf manager; also "the BMC" seen from its own host
	AddrShMC1        Addr = 0x10 // dedicated shelf management controller 1
	AddrShMC2        Addr = 0x12 // dedicated shelf management controller 2
)

// hwSlotBase is the hardware address of logical slot 1, less one.
const hwSlotBase = 0x40

// MaxSlot is the highest slot number that has an IPMB address (0x41+… << 1 fits in 8 bits).
const MaxSlot = 0x7F - hwSlotBase

// SlotAddr gives the IPMB address of a logical slot: slot 1 has hardware
// address 41h and IPMB address 82h.
func SlotAddr(slot int) Addr { return AddrFromHW(uint8(hwSlotBase + slot)) }

// AddrFromHW gives the IPMB address of a hardware address: IPMB = HW << 1.
func AddrFromHW(hw uint8) Addr { return Addr(hw << 1) }

// HW is the hardware address: IPMB >> 1.
func (a Addr) HW() uint8 { return uint8(a) >> 1 }

// Slot is the logical slot number of a board address, 0 when a is none.
func (a Addr) Slot() int {
	if hw := int(a.HW()); hw > hwSlotBase {
		return hw - hwSlotBase
	}
	return 0
}

// Valid reports whether a can stand for a single controller on the bus.
func (a Addr) Valid() bool { return a != AddrBroadcast && a&1 == 0 }

func (a Addr) String() string { return fmt.Sprintf("0x%02x", uint8(a)) }

// ParseAddr reads an IPMB address: "0x84", "84h" or "132".
func ParseAddr(s string) (Addr, error) {
	t, base := s, 0
	if h, ok := strings.CutSuffix(strings.ToLower(s), "h"); ok {
		t, base = h, 16
	}
	n, err := strconv.ParseUint(t, base, 8)
	if err != nil {
		return 0, fmt.Errorf("IPMB address %q: want a number such as 0x84", s)
	}
	if a := Addr(n); a.Valid() {
		return a, nil
	}
	return 0, fmt.Errorf("IPMB address %q: must be even and not 0", s)
}
