package sel

import (
	"encoding/binary"
	"errors"
)

// RecordLen is the length of every record in bytes.
const RecordLen = 16

// Record ids with a meaning of their own in Get SEL Entry (IPMI 2.0 §31.5).
const (
	FirstID uint16 = 0x0000 // as request: the oldest record
	LastID  uint16 = 0xFFFF // as request: the newest; as next id: there is none
)

// ErrRecordLen is returned for records that are not 16 bytes long.
var ErrRecordLen = errors.New("sel: record is not 16 bytes long")

// Type is a record type.
type Type uint8

// Record types. C0h–DFh are OEM records with a timestamp, E0h–FFh without.
const (
	TypeSystem   Type = 0x02
	TypeOEMTimed Type = 0xC0
	TypeOEM      Type = 0xE0
)

// Timed reports whether the log stamps records of this type with its time.
func (t Type) Timed() bool { return t == TypeSystem || t >= TypeOEMTimed && t < TypeOEM }

// Record is one entry of a log. Which fields count depends on Type: Generator
// and Event for 02h, Manufacturer and the first six bytes of OEM for C0h–DFh,
// the whole of OEM for every other type.
type Record struct {
	ID           uint16
	Type         Type
	Time         Timestamp
	Generator    Generator
	Event        Event
	Manufacturer uint32 // IANA enterprise number, 24 bits
	OEM          [13]byte
}

// SystemRecord makes the record of an event. The log sets ID and Time.
func SystemRecord(g Generator, e Event) Record {
	return Record{Type: TypeSystem, Generator: g, Event: e}
}

const oemTimedData = 6

// Marshal gives the 16 bytes of the record, as in the log, in Get SEL Entry
// and in the event message buffer.
func (r Record) Marshal() [RecordLen]byte {
	var b [RecordLen]byte
	binary.LittleEndian.PutUint16(b[0:], r.ID)
	b[2] = byte(r.Type)
	if !r.Type.Timed() {
		copy(b[3:], r.OEM[:])
		return b
	}
	binary.LittleEndian.PutUint32(b[3:], uint32(r.Time))
	if r.Type == TypeSystem {
		binary.LittleEndian.PutUint16(b[7:], uint16(r.Generator))
		copy(b[9:], r.Event.bytes())
		return b
	}
	b[7], b[8], b[9] = byte(r.Manufacturer), byte(r.Manufacturer>>8), byte(r.Manufacturer>>16)
	copy(b[10:], r.OEM[:oemTimedData])
	return b
}

// AppendBinary appends the 16 bytes of the record to b. It never fails.
func (r Record) AppendBinary(b []byte) ([]byte, error) {
	m := r.Marshal()
	return append(b, m[:]...), nil
}

// Parse reads a record. Every 16 bytes are a record, and Marshal gives them back.
func Parse(b []byte) (Record, error) {
	if len(b) != RecordLen {
		return Record{}, ErrRecordLen
	}
	r := Record{ID: binary.LittleEndian.Uint16(b), Type: Type(b[2])}
	if !r.Type.Timed() {
		copy(r.OEM[:], b[3:])
		return r, nil
	}
	r.Time = Timestamp(binary.LittleEndian.Uint32(b[3:]))
	if r.Type == TypeSystem {
		r.Generator = Generator(binary.LittleEndian.Uint16(b[7:]))
		r.Event = eventFrom(b[9:])
		return r, nil
	}
	r.Manufacturer = uint32(b[7]) | uint32(b[8])<<8 | uint32(b[9])<<16
	copy(r.OEM[:oemTimedData], b[10:])
	return r, nil
}
