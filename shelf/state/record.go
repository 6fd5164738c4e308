package state

import (
	"encoding/binary"
	"math"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// clearedBody is the event "log cleared": sensor type 10h, sensor specific,
// offset 2 (IPMI 2.0 table 42-3).
var clearedBody = []byte{0x04, 0x10, 0x00, 0x6F, 0x02, 0xFF, 0xFF}

// eraseDone is Clear SEL's "erasure completed" (IPMI 2.0 §31.9).
const eraseDone = 0x01

// record logs e and shows it in the SEL: it sets the ids and, where the type
// has one, the time.
func (s *shelf) record(e *Entry) (recordID uint16) {
	now := selTime(e.Committed, s.sel.offset)
	if e.Record.timed() {
		binary.LittleEndian.PutUint32(e.Record[recordTime:], now)
	}
	if e.Origin == 0 {
		e.Origin = e.Committed
	}
	recordID = s.sel.reserve(e)
	e.Record.setRecordID(recordID)
	if dropped := s.log.append(e); dropped != nil {
		s.sel.forget(dropped) // the log is the truth: what it no longer has, the SEL has not
	}
	s.sel.show(e)
	s.sel.lastAdd = int64(now)
	return recordID
}

// addSEL logs a record that came as a request. A guest's system event names
// its own controller as generator, whatever it wrote there.
func (s *shelf) addSEL(now int64, c *v1.AddSEL) *v1.Answer {
	source := ipmb.Addr(c.GetSource())
	if len(c.GetRecord()) != RecordLen || c.GetSource() > 0xFF || !source.Valid() {
		return invalid("a record of %d bytes from address %#x", len(c.GetRecord()), c.GetSource())
	}
	r := Record(c.GetRecord())
	if !r.known() {
		return &v1.Answer{CompletionCode: uint32(ipmb.ErrSELUnsupported)}
	}
	speaker := c.GetSpeaker()
	if speaker <= v1.Speaker_SPEAKER_UNSPECIFIED || speaker > v1.Speaker_SPEAKER_API {
		speaker = v1.Speaker_SPEAKER_GUEST // the least that anybody can be
	}
	e := &Entry{Committed: now, Source: source, Speaker: speaker, Record: r}
	if e.guest() && r[recordType] == typeSystemEvent {
		e.Record[recordGenerator], e.Record[recordGenerator+1] = byte(source), lunSMS
	}
	id := s.record(e)
	return &v1.Answer{Data: binary.LittleEndian.AppendUint16(nil, id), Value: e.ID}
}

// clearSEL empties the SEL, not the log, and logs that it did.
func (s *shelf) clearSEL(now int64, c *v1.ClearSEL) *v1.Answer {
	if !s.sel.reserved(c.GetReservation()) {
		return &v1.Answer{CompletionCode: uint32(ipmb.ErrReservation)}
	}
	s.sel.clear(now)
	e := &Entry{
		Committed: now, Source: ipmb.AddrShelfManager, Speaker: v1.Speaker_SPEAKER_CONTROLLER,
		Record: eventRecord([2]byte{byte(ipmb.AddrShelfManager), 0}, clearedBody),
	}
	s.record(e)
	return &v1.Answer{Data: []byte{eraseDone}, Value: e.ID}
}

// setSELTime shifts the SEL's clock. The offset must keep it within the 32
// bits of a timestamp, give or take the leader's own time.
func (s *shelf) setSELTime(c *v1.SetSELTime) *v1.Answer {
	if o := c.GetOffsetSeconds(); o > math.MaxUint32 || o < -math.MaxUint32 {
		return invalid("an offset of %d seconds", o)
	}
	s.sel.offset = c.GetOffsetSeconds()
	return &v1.Answer{}
}

// deleteSEL takes one record out of the SEL; the log keeps it.
func (s *shelf) deleteSEL(now int64, c *v1.DeleteSEL) *v1.Answer {
	if !s.sel.reserved(c.GetReservation()) {
		return &v1.Answer{CompletionCode: uint32(ipmb.ErrReservation)}
	}
	e, _ := s.sel.find(uint16(c.GetRecord()))
	if c.GetRecord() > uint32(SELLast) || e == nil {
		return &v1.Answer{CompletionCode: uint32(ipmb.ErrNotPresent)}
	}
	s.sel.forget(e)
	s.sel.erase(now)
	return &v1.Answer{Data: binary.LittleEndian.AppendUint16(nil, e.Record.ID()), Value: e.ID}
}
