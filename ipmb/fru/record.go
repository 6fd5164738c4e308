package fru

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/midplane-project/midplane/ipmb"
)

// RecordType is the type of a record in the multirecord area.
type RecordType uint8

// Record types.
const (
	TypePowerSupply RecordType = 0x00
	TypeDCOutput    RecordType = 0x01
	TypeDCLoad      RecordType = 0x02
	TypeManagement  RecordType = 0x03
	TypeOEM         RecordType = 0xC0 // and all above it
)

// Record is a record of the multirecord area: *DC, *Management, *OEM or *Raw.
type Record interface {
	Type() RecordType
	append(b []byte) []byte
}

// A record stands behind a header:
//
//	type  [7] last [3:0] format  length  checksum of the data  checksum of the header
const (
	recordHeaderLen = 5
	recordFormat    = 0x02
	formatMask      = 0x0F
	lastBit         = 0x80
	maxRecord       = 255
)

func appendRecords(b []byte, records []Record) ([]byte, error) {
	for i, r := range records {
		at := len(b)
		b = r.append(append(b, byte(r.Type()), recordFormat, 0, 0, 0))
		head, data := b[at:at+recordHeaderLen], b[at+recordHeaderLen:]
		if len(data) > maxRecord {
			return b, ErrLong
		}
		if i == len(records)-1 {
			head[1] |= lastBit
		}
		head[2], head[3] = byte(len(data)), ipmb.Checksum(data)
		head[4] = ipmb.Checksum(head[:recordHeaderLen-1])
	}
	return b, nil
}

// parseRecords reads the area at the start of b. A damaged record is left out;
// one whose header is damaged hides those behind it.
func parseRecords(b []byte) (out []Record, err error) {
	var all []error
	for n := 1; ; n++ {
		if len(b) < recordHeaderLen {
			return out, errors.Join(append(all, recordError(n, ErrShort))...)
		}
		head, rest := b[:recordHeaderLen], b[recordHeaderLen:]
		size := int(head[2])
		switch {
		case ipmb.Checksum(head) != 0:
			return out, errors.Join(append(all, recordError(n, ErrChecksum))...)
		case size > len(rest):
			return out, errors.Join(append(all, recordError(n, ErrShort))...)
		case head[1]&formatMask != recordFormat:
			all = append(all, recordError(n, ErrVersion))
		case ipmb.Checksum(rest[:size]) != head[3]:
			all = append(all, recordError(n, ErrChecksum))
		default:
			out = append(out, parseRecord(RecordType(head[0]), rest[:size]))
		}
		if head[1]&lastBit != 0 {
			return out, errors.Join(all...)
		}
		b = rest[size:]
	}
}

func recordError(n int, err error) error { return fmt.Errorf("record %d: %w", n, err) }

// parseRecord reads the data of a record. What does not have the shape of its
// type stays raw.
func parseRecord(t RecordType, b []byte) Record {
	switch {
	case (t == TypeDCOutput || t == TypeDCLoad) && len(b) == dcLen:
		return parseDC(t, b)
	case t == TypeManagement && len(b) > 0:
		return &Management{Kind: b[0], Data: bytes.Clone(b[1:])}
	case t >= TypeOEM && len(b) >= manufacturerLen:
		return &OEM{
			Kind: t, Manufacturer: uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16,
			Data: bytes.Clone(b[manufacturerLen:]),
		}
	}
	return &Raw{t, bytes.Clone(b)}
}

// Raw is a record of a type that is not read further, such as the power
// supply's.
type Raw struct {
	Kind RecordType
	Data []byte
}

// Type is the record's type.
func (r *Raw) Type() RecordType { return r.Kind }

func (r *Raw) append(b []byte) []byte { return append(b, r.Data...) }

// OEM is a record of types C0h to FFh, whose layout is the manufacturer's;
// PICMG's are C0h.
type OEM struct {
	Kind         RecordType
	Manufacturer uint32 // IANA enterprise number, 3 bytes
	Data         []byte
}

const manufacturerLen = 3

// Type is the record's type.
func (o *OEM) Type() RecordType { return o.Kind }

func (o *OEM) append(b []byte) []byte {
	b = append(b, byte(o.Manufacturer), byte(o.Manufacturer>>8), byte(o.Manufacturer>>16))
	return append(b, o.Data...)
}

// Management says where the unit's management is, type 03h: a kind and a text.
type Management struct {
	Kind uint8
	Data []byte
}

// Kinds of management access records.
const (
	ManagementURL           uint8 = 1 + iota // of the system
	ManagementName                           // of the system
	ManagementPing                           // address of the system
	ManagementComponentURL                   // of the component
	ManagementComponentName                  // of the component
	ManagementComponentPing                  // address of the component
	ManagementUniqueID                       // of the system
)

// Type is TypeManagement.
func (*Management) Type() RecordType { return TypeManagement }

func (m *Management) append(b []byte) []byte { return append(append(b, m.Kind), m.Data...) }

// DC is a supply's output, type 01h, or what a unit draws, type 02h. For an
// output, Low and High are how far the voltage may be off:
//
//	[7] standby [3:0] output  nominal 2  low 2  high 2  ripple 2  least current 2  most current 2
type DC struct {
	Load       bool
	Standby    bool // of an output: it is there while the main supply is off
	Output     uint8
	Nominal    int16 // in 10 mV, as Low and High
	Low        int16
	High       int16
	Ripple     uint16 // peak to peak, in mV
	MinCurrent uint16 // in mA
	MaxCurrent uint16
}

const (
	dcLen      = 13
	standbyBit = 0x80
	outputMask = 0x0F
)

// Type is TypeDCLoad or TypeDCOutput.
func (d *DC) Type() RecordType {
	if d.Load {
		return TypeDCLoad
	}
	return TypeDCOutput
}

func (d *DC) append(b []byte) []byte {
	first := d.Output & outputMask
	if d.Standby {
		first |= standbyBit
	}
	b = append(b, first)
	for _, v := range []uint16{uint16(d.Nominal), uint16(d.Low), uint16(d.High), d.Ripple, d.MinCurrent, d.MaxCurrent} {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	return b
}

func parseDC(t RecordType, b []byte) *DC {
	word := func(i int) uint16 { return binary.LittleEndian.Uint16(b[1+2*i:]) }
	return &DC{
		Load: t == TypeDCLoad, Standby: b[0]&standbyBit != 0, Output: b[0] & outputMask,
		Nominal: int16(word(0)), Low: int16(word(1)), High: int16(word(2)),
		Ripple: word(3), MinCurrent: word(4), MaxCurrent: word(5),
	}
}
