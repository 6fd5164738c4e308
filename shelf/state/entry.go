package state

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// RecordLen is the length of a SEL record in bytes.
const RecordLen = 16

// Record is one SEL record as it goes over the wire (IPMI 2.0 §32):
//
//	id 2 | type | time 4, generator 2, EvM revision, sensor type, number, dir/type, data 3
type Record [RecordLen]byte

// Offsets in a record, and the types whose bytes 3 to 6 are a time.
const (
	recordType      = 2
	recordTime      = 3
	recordGenerator = 7
	recordBody      = 9 // EvM revision to event data 3
	eventBodyLen    = RecordLen - recordBody

	typeSystemEvent = 0x02
	typeOEMTimed    = 0xC0
	typeOEMUntimed  = 0xE0
)

// ID is the record id that the record had or has in the SEL.
func (r Record) ID() uint16 { return binary.LittleEndian.Uint16(r[:]) }

// timed reports whether records of this type carry a time.
func (r Record) timed() bool { return r[recordType] < typeOEMUntimed }

// known reports whether the SEL takes records of this type.
func (r Record) known() bool {
	return r[recordType] == typeSystemEvent || r[recordType] >= typeOEMTimed
}

// eventRecord makes a system event record. A body of another length than seven
// bytes is cut, or filled with FFh ("unspecified"): it must not stop an outbox.
func eventRecord(generator [2]byte, body []byte) Record {
	r := Record{recordType: typeSystemEvent}
	copy(r[recordGenerator:], generator[:])
	for i := range eventBodyLen {
		r[recordBody+i] = 0xFF
	}
	copy(r[recordBody:], body)
	return r
}

// Entry is one event of a shelf's log. Entries never change once logged.
type Entry struct {
	ID        uint64
	Committed int64 // proposing leader's clock, nanoseconds since 1970
	Origin    int64 // clock of the controller that saw the event; Committed when it told none
	Source    ipmb.Addr
	Speaker   v1.Speaker // guest: software-generated, never acted on
	Record    Record
	Outbox    string // 16 bytes, empty when the event came as a request
	N         uint64 // position in the outbox
}

func (e *Entry) guest() bool { return e.Speaker == v1.Speaker_SPEAKER_GUEST }

// selTime gives the SEL clock's reading in seconds since 1970.
func selTime(now, offset int64) uint32 {
	s := now/int64(time.Second) + offset
	return uint32(min(max(s, 0), math.MaxUint32-1)) // FFFFFFFFh means "unspecified"
}
