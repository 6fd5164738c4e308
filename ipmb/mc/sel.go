package mc

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// SELEntryLen is the length of every SEL record in bytes.
const SELEntryLen = 16

// SELEntry is one SEL record as it stands on the wire, id first (IPMI 2.0 §32).
type SELEntry [SELEntryLen]byte

// ID is the record id.
func (e SELEntry) ID() uint16 { return binary.LittleEndian.Uint16(e[:]) }

// Type is the record type.
func (e SELEntry) Type() byte { return e[2] }

// Record type ranges (IPMI 2.0 §32): below OEMPlain a record has a timestamp.
const (
	SELTypeSystem   byte = 0x02
	SELTypeOEM      byte = 0xC0 // with timestamp, to DFh
	SELTypeOEMPlain byte = 0xE0 // without
)

// Stamp puts id and, where the type has one, the time into the record.
func (e *SELEntry) Stamp(id uint16, at time.Time) {
	binary.LittleEndian.PutUint16(e[:], id)
	if e.Type() < SELTypeOEMPlain {
		binary.LittleEndian.PutUint32(e[3:], uint32(at.Unix()))
	}
}

// SELInfo is the state of a log.
type SELInfo struct {
	Entries, Free uint16 // records
	LastAdd       time.Time
	LastErase     time.Time
	Overflow      bool
	Reservation   uint16 // changes, and is never 0, when records are deleted or the log is cleared
}

// SELStore is what a SEL device keeps its records in. Those that change it get
// the request, because its origin decides how, and makes it happen once.
type SELStore interface {
	SELInfo(ctx context.Context) (SELInfo, error)
	// SELGet gives the record with an id, 0000h for the first and FFFFh for the
	// last, and the id of the next one, FFFFh at the end; CBh when there is none.
	SELGet(ctx context.Context, id uint16) (e SELEntry, next uint16, err error)
	SELAdd(ctx context.Context, req *ipmb.Request, e SELEntry) (id uint16, err error)
	SELDelete(ctx context.Context, req *ipmb.Request, id uint16) (uint16, error)
	SELClear(ctx context.Context, req *ipmb.Request) error
	SELTime(ctx context.Context) time.Time
	SELSetTime(ctx context.Context, req *ipmb.Request, t time.Time) error
}

// Values of the SEL commands (IPMI 2.0 §31).
const (
	selVersion      = 0x51
	selSupports     = 0x08 | 0x02 | 0x01 // delete, reserve, allocation info
	selPartial      = 0x04
	selOverflow     = 0x80
	selEraseStart   = 0xAA
	selEraseStatus  = 0x00
	selEraseDone    = 0x01
	selWhole        = 0xFF
	selTimeUnknown  = 0xFFFFFFFF
	selFreeBytesMax = 0xFFFF
)

// SELCommands gives the rows of a SEL device over a store.
func SELCommands(s SELStore) []ipmb.Command { return selDevice{s, selSupports}.commands() }

func selRow(name string, cmd ipmb.Cmd, p ipmb.Privilege, data ipmb.Span, effect bool, ref string, f func(context.Context, *ipmb.Request) ([]byte, error)) ipmb.Command {
	return ipmb.Command{Name: name, NetFn: ipmb.NetFnStorage, Cmd: cmd, Privilege: p, Data: data, Effect: effect, Ref: ref, Do: f}
}

func (d selDevice) commands() []ipmb.Command {
	const user, operator = ipmb.PrivilegeUser, ipmb.PrivilegeOperator
	return []ipmb.Command{
		selRow("Get SEL Info", 0x40, user, ipmb.Exactly(0), false, "IPMI 2.0 §31.2", d.info),
		selRow("Get SEL Allocation Info", 0x41, user, ipmb.Exactly(0), false, "IPMI 2.0 §31.3", d.allocation),
		selRow("Reserve SEL", 0x42, user, ipmb.Exactly(0), false, "IPMI 2.0 §31.4", d.reserve),
		selRow("Get SEL Entry", 0x43, user, ipmb.Exactly(6), false, "IPMI 2.0 §31.5", d.get),
		selRow("Add SEL Entry", 0x44, operator, ipmb.Exactly(SELEntryLen), true, "IPMI 2.0 §31.6", d.add),
		selRow("Delete SEL Entry", 0x46, operator, ipmb.Exactly(4), true, "IPMI 2.0 §31.8", d.delete),
		selRow("Clear SEL", 0x47, operator, ipmb.Exactly(6), true, "IPMI 2.0 §31.9", d.clear),
		selRow("Get SEL Time", 0x48, user, ipmb.Exactly(0), false, "IPMI 2.0 §31.10", d.time),
		selRow("Set SEL Time", 0x49, operator, ipmb.Exactly(4), true, "IPMI 2.0 §31.11", d.setTime),
	}
}

type selDevice struct {
	store   SELStore
	support byte // operation support, of Get SEL Info
}

func (d selDevice) info(ctx context.Context, _ *ipmb.Request) ([]byte, error) {
	i, err := d.store.SELInfo(ctx)
	if err != nil {
		return nil, err
	}
	free := min(int(i.Free)*SELEntryLen, selFreeBytesMax)
	b := []byte{selVersion}
	b = binary.LittleEndian.AppendUint16(b, i.Entries)
	b = binary.LittleEndian.AppendUint16(b, uint16(free))
	b = binary.LittleEndian.AppendUint32(b, timestamp(i.LastAdd))
	b = binary.LittleEndian.AppendUint32(b, timestamp(i.LastErase))
	support := d.support
	if i.Overflow {
		support |= selOverflow
	}
	return append(b, support), nil
}

func (d selDevice) allocation(ctx context.Context, _ *ipmb.Request) ([]byte, error) {
	i, err := d.store.SELInfo(ctx)
	if err != nil {
		return nil, err
	}
	b := binary.LittleEndian.AppendUint16(nil, i.Entries+i.Free)
	b = binary.LittleEndian.AppendUint16(b, SELEntryLen)
	b = binary.LittleEndian.AppendUint16(b, i.Free)
	b = binary.LittleEndian.AppendUint16(b, i.Free) // largest free block
	return append(b, 1), nil                        // a record is one unit
}

// reserve gives the log's reservation. It is the same for all who ask until
// something is erased, and so needs no storing and survives a change of leader.
func (d selDevice) reserve(ctx context.Context, _ *ipmb.Request) ([]byte, error) {
	i, err := d.store.SELInfo(ctx)
	if err != nil {
		return nil, err
	}
	return binary.LittleEndian.AppendUint16(nil, i.Reservation), nil
}

// reserved checks a reservation, which may be 0 where optional.
func (d selDevice) reserved(ctx context.Context, data []byte, optional bool) error {
	id := binary.LittleEndian.Uint16(data)
	if id == 0 && optional {
		return nil
	}
	i, err := d.store.SELInfo(ctx)
	if err != nil {
		return err
	}
	if id != i.Reservation {
		return ipmb.ErrReservation
	}
	return nil
}

func (d selDevice) get(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	id, offset, count := binary.LittleEndian.Uint16(req.Data[2:]), int(req.Data[4]), int(req.Data[5])
	if err := d.reserved(ctx, req.Data, offset == 0); err != nil {
		return nil, err
	}
	if offset >= SELEntryLen {
		return nil, ipmb.ErrParameterRange
	}
	if count == selWhole {
		count = SELEntryLen - offset
	}
	if offset+count > SELEntryLen {
		return nil, ipmb.ErrCannotReturn
	}
	e, next, err := d.store.SELGet(ctx, id)
	if err != nil {
		return nil, err
	}
	return append(binary.LittleEndian.AppendUint16(nil, next), e[offset:offset+count]...), nil
}

func (d selDevice) add(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	return d.put(ctx, req, SELEntry(req.Data))
}

func (d selDevice) put(ctx context.Context, req *ipmb.Request, e SELEntry) ([]byte, error) {
	if t := e.Type(); t == 0 || t == 0xFF {
		return nil, ipmb.ErrInvalidField
	}
	id, err := d.store.SELAdd(ctx, req, e)
	if err != nil {
		return nil, err
	}
	return binary.LittleEndian.AppendUint16(nil, id), nil
}

func (d selDevice) delete(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	if err := d.reserved(ctx, req.Data, true); err != nil {
		return nil, err
	}
	id, err := d.store.SELDelete(ctx, req, binary.LittleEndian.Uint16(req.Data[2:]))
	if err != nil {
		return nil, err
	}
	return binary.LittleEndian.AppendUint16(nil, id), nil
}

func (d selDevice) clear(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	if string(req.Data[2:5]) != "CLR" {
		return nil, ipmb.ErrInvalidField
	}
	if req.Data[5] == selEraseStatus {
		return []byte{selEraseDone}, nil // an erase is done when it is answered
	}
	if req.Data[5] != selEraseStart {
		return nil, ipmb.ErrInvalidField
	}
	if err := d.reserved(ctx, req.Data, false); err != nil {
		return nil, err
	}
	if err := d.store.SELClear(ctx, req); err != nil {
		return nil, err
	}
	return []byte{selEraseDone}, nil
}

func (d selDevice) time(ctx context.Context, _ *ipmb.Request) ([]byte, error) {
	return binary.LittleEndian.AppendUint32(nil, timestamp(d.store.SELTime(ctx))), nil
}

func (d selDevice) setTime(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	s := binary.LittleEndian.Uint32(req.Data)
	if s == selTimeUnknown {
		return nil, ipmb.ErrInvalidField
	}
	return nil, d.store.SELSetTime(ctx, req, time.Unix(int64(s), 0))
}

// timestamp is a time in seconds since 1970, FFFFFFFFh for none (IPMI 2.0 §37).
func timestamp(t time.Time) uint32 {
	if t.IsZero() {
		return selTimeUnknown
	}
	return uint32(t.Unix())
}
