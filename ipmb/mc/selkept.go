package mc

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/midplane-project/midplane/ipmb"
)

// SELDeviceCommands gives the rows of a SEL device with all that a server's
// has: those of SELCommands, Partial Add SEL Entry, and what software tells
// and asks beside the log, kept in records.
func SELDeviceCommands(s SELStore, r Records) []ipmb.Command {
	d := selDevice{s, selSupports | selPartial}
	p := &selParts{selDevice: d, partial: partialAdd{limit: SELEntryLen}}
	k := selKept{r}
	const user, operator = ipmb.PrivilegeUser, ipmb.PrivilegeOperator
	return append(d.commands(),
		selRow("Partial Add SEL Entry", 0x45, operator, ipmb.AtLeast(partialLen+1), true, "IPMI 2.0 §31.7", p.add),
		selRow("Get Auxiliary Log Status", 0x5A, user, ipmb.Exactly(1), false, "IPMI 2.0 §31.12", k.auxiliary),
		selRow("Set Auxiliary Log Status", 0x5B, operator, ipmb.AtLeast(1), true, "IPMI 2.0 §31.13", k.setAuxiliary),
		selRow("Get SEL Time UTC Offset", 0x5C, user, ipmb.Exactly(0), false, "IPMI 2.0 §31.11a", k.utcOffset),
		selRow("Set SEL Time UTC Offset", 0x5D, operator, ipmb.Exactly(2), true, "IPMI 2.0 §31.11b", k.setUTCOffset),
	)
}

// selParts is a SEL device that takes records in pieces.
type selParts struct {
	selDevice
	partial partialAdd
}

func (d *selParts) add(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	i, err := d.store.SELInfo(ctx)
	if err != nil {
		return nil, err
	}
	id, record, err := d.partial.take(req.Data, i.Reservation)
	switch {
	case err != nil:
		return nil, err
	case record == nil:
		return binary.LittleEndian.AppendUint16(nil, id), nil
	case len(record) != SELEntryLen:
		return nil, errPartialLength
	}
	return d.put(ctx, req, SELEntry(record))
}

// selKept is what the SEL device keeps for software and uses itself for nothing.
type selKept struct{ records Records }

// Lengths of an auxiliary log's status: of the machine check log timestamp 4
// and count 4, of an OEM's timestamp 4, manufacturer 3 and data 8.
const (
	auxMCALen = 8
	auxOEMLen = 15
)

// auxLengths is by log type: machine check, OEM 1, OEM 2.
var auxLengths = []int{auxMCALen, auxOEMLen, auxOEMLen}

func auxName(log byte) string { return fmt.Sprintf("sel/aux/%d", log) }

// auxiliary gives the status of a log beside the SEL as its keeper, the
// system's firmware, told it. A log that nobody has told of is not there.
func (k selKept) auxiliary(_ context.Context, req *ipmb.Request) ([]byte, error) {
	log := req.Data[0]
	if int(log) >= len(auxLengths) {
		return nil, ipmb.ErrInvalidField
	}
	status, err := k.records.Get(auxName(log))
	if err == nil && status == nil {
		err = ipmb.ErrNotPresent
	}
	return status, err
}

func (k selKept) setAuxiliary(_ context.Context, req *ipmb.Request) ([]byte, error) {
	log, status := req.Data[0], req.Data[1:]
	if int(log) >= len(auxLengths) {
		return nil, ipmb.ErrInvalidField
	}
	if len(status) != auxLengths[log] {
		return nil, ipmb.ErrLength
	}
	return nil, k.records.Put(auxName(log), status)
}

// The offset of SEL times from UTC is in minutes, within a day.
const (
	utcName    = "sel/utc"
	utcMinutes = 24 * 60
	utcUnknown = 0x07FF
)

func (k selKept) utcOffset(context.Context, *ipmb.Request) ([]byte, error) {
	v, err := k.records.Get(utcName)
	if err == nil && v == nil {
		v = binary.LittleEndian.AppendUint16(nil, utcUnknown)
	}
	return v, err
}

func (k selKept) setUTCOffset(_ context.Context, req *ipmb.Request) ([]byte, error) {
	m := int16(binary.LittleEndian.Uint16(req.Data))
	if m != utcUnknown && (m < -utcMinutes || m > utcMinutes) {
		return nil, ipmb.ErrParameterRange
	}
	return nil, k.records.Put(utcName, req.Data)
}
