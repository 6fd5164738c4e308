package state

import (
	"bytes"
	"slices"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

const (
	maxHW       = 0x7F
	guidLen     = 16
	maxNameLen  = 63
	maxShelves  = 64
	hwShelfMngr = uint8(ipmb.AddrShelfManager >> 1)
)

// shelf is all that is replicated of one shelf.
type shelf struct {
	name     string
	guid     []byte
	declared []uint8  // slots that may be claimed, empty: all
	names    []string // of declared, in its order
	slots    [maxHW + 1]*Slot
	log      eventLog
	sel      selView
	outboxes outboxes
	records  records
}

func newShelf(name string, c Config) *shelf {
	return &shelf{name: name, log: newEventLog(c.LogLimit), sel: newSELView(c.SELLimit)}
}

// declare takes over what a SetShelf says; holders of slots that are no longer
// listed stay until they leave.
func (s *shelf) declare(c *v1.SetShelf) {
	s.guid = bytes.Clone(c.GetGuid())
	s.names = slices.Clone(c.GetSlotNames())
	s.declared = make([]uint8, 0, len(c.GetHardwareAddresses()))
	for _, hw := range c.GetHardwareAddresses() {
		s.declared = append(s.declared, uint8(hw))
	}
}

// checkShelf gives the answer to a SetShelf that cannot be taken, nil if it can.
func checkShelf(c *v1.SetShelf) *v1.Answer {
	switch {
	case c.GetShelf() == "" || len(c.GetShelf()) > maxNameLen:
		return invalid("a shelf's name has 1 to %d bytes, not %d", maxNameLen, len(c.GetShelf()))
	case len(c.GetGuid()) != guidLen:
		return invalid("a shelf's GUID has %d bytes, not %d", guidLen, len(c.GetGuid()))
	case len(c.GetSlotNames()) > len(c.GetHardwareAddresses()):
		return invalid("%d names for %d slots", len(c.GetSlotNames()), len(c.GetHardwareAddresses()))
	}
	seen := make(map[uint32]bool)
	for _, hw := range c.GetHardwareAddresses() {
		if !claimable(hw) || seen[hw] {
			return invalid("hardware address %#02x is out of range, the shelf manager's or listed twice", hw)
		}
		seen[hw] = true
	}
	return nil
}

// claimable reports whether a hardware address can be a slot's.
func claimable(hw uint32) bool { return hw > 0 && hw <= maxHW && uint8(hw) != hwShelfMngr }

// openSlot finds a slot that may be claimed, and makes it on its first claim.
func (s *shelf) openSlot(hw uint32) (*Slot, *v1.Answer) {
	if !claimable(hw) || (len(s.declared) > 0 && !slices.Contains(s.declared, uint8(hw))) {
		return nil, unknownSlot(hw)
	}
	if s.slots[hw] == nil {
		s.slots[hw] = &Slot{HW: uint8(hw)}
	}
	return s.slots[hw], nil
}

// slotOf finds a slot whose latest epoch is epoch.
func (s *shelf) slotOf(hw uint32, epoch uint64) (*Slot, *v1.Answer) {
	if hw > maxHW || s.slots[hw] == nil {
		return nil, unknownSlot(hw)
	}
	sl := s.slots[hw]
	if sl.Epoch != epoch {
		return nil, refuse(v1.RefusalReason_REFUSAL_REASON_OLD_EPOCH, "epoch %d of %s is not its present one, %d", epoch, sl.Addr(), sl.Epoch)
	}
	return sl, nil
}

// holder finds a slot that is held under epoch.
func (s *shelf) holder(hw uint32, epoch uint64) (*Slot, *v1.Answer) {
	sl, refusal := s.slotOf(hw, epoch)
	if refusal == nil && !sl.Held {
		return nil, refuse(v1.RefusalReason_REFUSAL_REASON_OLD_EPOCH, "the claim of %s has ended", sl.Addr())
	}
	return sl, refusal
}

func unknownSlot(hw uint32) *v1.Answer {
	return refuse(v1.RefusalReason_REFUSAL_REASON_UNKNOWN_SLOT, "no slot has hardware address %#02x", hw)
}
