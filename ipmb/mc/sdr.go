package mc

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// SDRRecord is one sensor data record with its header; the record id is in
// the first two bytes, low byte first.
type SDRRecord []byte

// ID is the record id.
func (r SDRRecord) ID() uint16 { return binary.LittleEndian.Uint16(r) }

// SDRSource gives the records of a read-only repository, or those that a
// controller itself provides for one that can be written, in order of their
// ids, and when they last changed. The time must hold still while the records
// do: FreeIPMI keeps a cache by it.
type SDRSource interface {
	SDRs(ctx context.Context) (records []SDRRecord, changed time.Time, err error)
}

// Values of the SDR repository commands (IPMI 2.0 §33).
const (
	sdrVersion  = 0x51
	sdrSupports = 0x20 | 0x02 | 0x01 // non-modal update, reserve, allocation info
	sdrUnit     = 16                 // bytes of an allocation unit
	sdrMaxUnits = 0xFF / sdrUnit     // of a record
	sdrFreeMax  = 0xFFFE             // that many free bytes, or more
	sdrFirst    = 0x0000
	sdrLast     = 0xFFFF
	sdrWhole    = 0xFF
)

// sdrView is a repository at one moment.
type sdrView struct {
	records       []SDRRecord
	added, erased time.Time
	reservation   uint16
	free          int  // allocation units
	support       byte // operation support, of Get SDR Repository Info
}

// SDRCommands gives the rows of a read-only SDR repository.
func SDRCommands(s SDRSource) []ipmb.Command {
	return sdrDevice{func(ctx context.Context) (sdrView, error) {
		records, changed, err := s.SDRs(ctx)
		return sdrView{records, changed, changed, reservation(changed), 0, sdrSupports}, err
	}}.commands()
}

// sdrDevice answers what is asked of any repository.
type sdrDevice struct {
	look func(context.Context) (sdrView, error)
}

func (d sdrDevice) commands() []ipmb.Command {
	const user = ipmb.PrivilegeUser
	return []ipmb.Command{
		{Name: "Get SDR Repository Info", NetFn: ipmb.NetFnStorage, Cmd: 0x20, Privilege: user, Ref: "IPMI 2.0 §33.9", Do: d.info},
		{Name: "Get SDR Repository Allocation Info", NetFn: ipmb.NetFnStorage, Cmd: 0x21, Privilege: user, Ref: "IPMI 2.0 §33.10", Do: d.allocation},
		{Name: "Reserve SDR Repository", NetFn: ipmb.NetFnStorage, Cmd: 0x22, Privilege: user, Ref: "IPMI 2.0 §33.11", Do: d.reserve},
		{Name: "Get SDR", NetFn: ipmb.NetFnStorage, Cmd: 0x23, Privilege: user, Data: ipmb.Exactly(6), Ref: "IPMI 2.0 §33.12", Do: d.get},
	}
}

func (d sdrDevice) info(ctx context.Context, _ *ipmb.Request) ([]byte, error) {
	v, err := d.look(ctx)
	if err != nil {
		return nil, err
	}
	b := binary.LittleEndian.AppendUint16([]byte{sdrVersion}, uint16(len(v.records)))
	b = binary.LittleEndian.AppendUint16(b, uint16(min(v.free*sdrUnit, sdrFreeMax)))
	b = binary.LittleEndian.AppendUint32(b, timestamp(v.added))
	b = binary.LittleEndian.AppendUint32(b, timestamp(v.erased))
	return append(b, v.support), nil
}

func (d sdrDevice) allocation(ctx context.Context, _ *ipmb.Request) ([]byte, error) {
	v, err := d.look(ctx)
	if err != nil {
		return nil, err
	}
	b := binary.LittleEndian.AppendUint16(nil, uint16(sdrUnits(v.records...)+v.free))
	b = binary.LittleEndian.AppendUint16(b, sdrUnit)
	b = binary.LittleEndian.AppendUint16(b, uint16(v.free))
	b = binary.LittleEndian.AppendUint16(b, uint16(v.free)) // largest free block
	return append(b, sdrMaxUnits), nil
}

// sdrUnits is how many allocation units records take.
func sdrUnits(records ...SDRRecord) (units int) {
	for _, r := range records {
		units += (len(r) + sdrUnit - 1) / sdrUnit
	}
	return units
}

func (d sdrDevice) reserve(ctx context.Context, _ *ipmb.Request) ([]byte, error) {
	v, err := d.look(ctx)
	if err != nil {
		return nil, err
	}
	return binary.LittleEndian.AppendUint16(nil, v.reservation), nil
}

// reservation makes an id of the time of the last change: the same on every
// replica, gone when the records change, never 0.
func reservation(changed time.Time) uint16 {
	n := changed.UnixNano()
	id := uint16(n) ^ uint16(n>>16) ^ uint16(n>>32) ^ uint16(n>>48)
	return max(id, 1)
}

func (d sdrDevice) get(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	v, err := d.look(ctx)
	if err != nil {
		return nil, err
	}
	records := v.records
	offset, count := int(req.Data[4]), int(req.Data[5])
	reserved := binary.LittleEndian.Uint16(req.Data)
	if (offset != 0 || reserved != 0) && reserved != v.reservation {
		return nil, ipmb.ErrReservation
	}
	i := findSDR(records, binary.LittleEndian.Uint16(req.Data[2:]))
	if i < 0 {
		return nil, ipmb.ErrNotPresent
	}
	r := records[i]
	if offset > len(r) {
		return nil, ipmb.ErrParameterRange
	}
	if count == sdrWhole {
		count = len(r) - offset
	}
	if offset+count > len(r) {
		return nil, ipmb.ErrCannotReturn
	}
	next := uint16(sdrLast)
	if i+1 < len(records) {
		next = records[i+1].ID()
	}
	return append(binary.LittleEndian.AppendUint16(nil, next), r[offset:offset+count]...), nil
}

func findSDR(records []SDRRecord, id uint16) int {
	switch {
	case len(records) == 0:
		return -1
	case id == sdrFirst:
		return 0
	case id == sdrLast:
		return len(records) - 1
	}
	for i, r := range records {
		if r.ID() == id {
			return i
		}
	}
	return -1
}
