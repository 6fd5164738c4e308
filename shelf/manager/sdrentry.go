package manager

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sdr"
)

// sdrEntry is what the repository of 0x20 has of one controller. The first
// record is its locator.
type sdrEntry struct {
	instance string // 16 bytes, of the slot's holder; zeros at 0x20
	records  []sdrEntryRecord
}

// sdrEntryRecord is a record under its id here, and the id that it has at the
// controller, 0 for one that is not the controller's.
type sdrEntryRecord struct {
	device uint16
	record mc.SDRRecord
}

const entryInstanceLen = 16

// append appends the entry as it is kept:
//
//	instance 16, then for each record: id at the controller 2, record
func (e *sdrEntry) append(b []byte) []byte {
	b = append(b, e.instance...)
	for _, r := range e.records {
		b = append(binary.LittleEndian.AppendUint16(b, r.device), r.record...)
	}
	return b
}

func parseSDREntry(b []byte) (*sdrEntry, error) {
	if len(b) < entryInstanceLen {
		return nil, fmt.Errorf("an entry of %d bytes", len(b))
	}
	e := &sdrEntry{instance: string(b[:entryInstanceLen])}
	for b = b[entryInstanceLen:]; len(b) > 0; {
		if len(b) < 2+sdr.HeaderLen || len(b) < 2+sdr.HeaderLen+int(b[2+sdr.HeaderLen-1]) {
			return nil, fmt.Errorf("record %d is cut off", len(e.records))
		}
		end := 2 + sdr.HeaderLen + int(b[2+sdr.HeaderLen-1])
		e.records = append(e.records, sdrEntryRecord{binary.LittleEndian.Uint16(b), b[2:end:end]})
		b = b[end:]
	}
	if len(e.records) == 0 {
		return nil, fmt.Errorf("an entry without a locator")
	}
	return e, nil
}

// locatorID is the id of a controller's locator: its hardware address, so that
// it is the same for ever. Its other records have that as high byte.
func locatorID(hw uint8) uint16 { return uint16(hw) }

// newSDREntry puts a controller's records under ids of the shelf. One that it
// had before under the same id of its own keeps its id here. A locator of the
// controller itself takes the place of the one that was made for it.
func newSDREntry(hw uint8, instance string, locator mc.SDRRecord, device []mc.SDRRecord, old *sdrEntry) *sdrEntry {
	e := &sdrEntry{instance: instance, records: []sdrEntryRecord{{0, numbered(locator, locatorID(hw))}}}
	ids := idsFor(hw, device, old.idsOf(instance))
	for i, r := range device {
		switch {
		case isLocatorOf(r, ipmb.AddrFromHW(hw)):
			e.records[0] = sdrEntryRecord{r.ID(), numbered(r, locatorID(hw))}
		case speaksFor(r, ipmb.AddrFromHW(hw)):
			e.records = append(e.records, sdrEntryRecord{r.ID(), numbered(r, ids[i])})
		}
	}
	slices.SortFunc(e.records[1:], func(a, b sdrEntryRecord) int { return cmp.Compare(a.record.ID(), b.record.ID()) })
	return e
}

// idsOf gives the ids here by the ids there, if the entry is that instance's.
func (e *sdrEntry) idsOf(instance string) map[uint16]uint16 {
	ids := make(map[uint16]uint16)
	if e == nil || e.instance != instance {
		return ids
	}
	for _, r := range e.records[1:] {
		ids[r.device] = r.record.ID()
	}
	return ids
}

// idsFor gives each record an id: the one it had, else one that ends as its id
// there does, else one that is free. There are 256, more than records.
func idsFor(hw uint8, device []mc.SDRRecord, had map[uint16]uint16) []uint16 {
	ids, used := make([]uint16, len(device)), make(map[uint16]bool)
	for i, r := range device {
		if id, ok := had[r.ID()]; ok {
			ids[i], used[id] = id, true
		}
	}
	for i, r := range device {
		if ids[i] != 0 {
			continue
		}
		id := uint16(hw)<<8 | r.ID()&0xFF
		for used[id] {
			id = uint16(hw)<<8 | (id+1)&0xFF
		}
		ids[i], used[id] = id, true
	}
	return ids
}

// numbered is a copy of a record under another id.
func numbered(r mc.SDRRecord, id uint16) mc.SDRRecord {
	r = bytes.Clone(r)
	binary.LittleEndian.PutUint16(r, id)
	return r
}

// owner is the address in a record whose type has one, behind its header.
func owner(r mc.SDRRecord) (a ipmb.Addr, ok bool) {
	if len(r) <= sdr.HeaderLen {
		return 0, false
	}
	switch sdr.Type(r[3]) {
	case sdr.TypeFull, sdr.TypeCompact, sdr.TypeEventOnly, sdr.TypeFRULocator, sdr.TypeMCLocator:
		return ipmb.Addr(r[sdr.HeaderLen]), true
	}
	return 0, false
}

func isLocatorOf(r mc.SDRRecord, a ipmb.Addr) bool {
	at, ok := owner(r)
	return ok && at == a && sdr.Type(r[3]) == sdr.TypeMCLocator
}

// speaksFor reports whether a record is about the controller at a, or about
// none: nobody puts sensors of others into the shelf's repository.
func speaksFor(r mc.SDRRecord, a ipmb.Addr) bool {
	at, ok := owner(r)
	return !ok || at == a
}
