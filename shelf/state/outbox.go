package state

import (
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

const (
	maxOutboxesPerSlot = 16
	outboxLen          = 16
	lunSMS             = 2
	generatorLUNMask   = 0x03
)

// outboxRow is how far the shelf has read one outbox of a slot.
type outboxRow struct {
	outbox string
	hw     uint8
	last   uint64
}

// outboxes are a shelf's rows in the order in which they were opened.
type outboxes []*outboxRow

func (o outboxes) find(hw uint8, outbox string) *outboxRow {
	for _, r := range o {
		if r.hw == hw && r.outbox == outbox {
			return r
		}
	}
	return nil
}

// open gives the row of an outbox, a new one when the slot never had it.
func (o *outboxes) open(hw uint8, outbox string) *outboxRow {
	if r := o.find(hw, outbox); r != nil {
		return r
	}
	o.makeRoom(hw)
	r := &outboxRow{outbox: outbox, hw: hw}
	*o = append(*o, r)
	return r
}

// makeRoom drops the slot's first row when it has as many as it may.
func (o *outboxes) makeRoom(hw uint8) {
	n, first := 0, -1
	for i, r := range *o {
		if r.hw != hw {
			continue
		}
		if n++; first < 0 {
			first = i
		}
	}
	if n >= maxOutboxesPerSlot {
		*o = append((*o)[:first:first], (*o)[first+1:]...)
	}
}

// appendEvents logs a run of an outbox: what follows the last known event is
// logged, what is known is acknowledged again, a gap stops the run.
func (s *shelf) appendEvents(now int64, c *v1.AppendEvents) *v1.Answer {
	sl, refusal := s.holder(c.GetHardwareAddress(), c.GetEpoch())
	if refusal != nil {
		return refusal
	}
	if len(c.GetOutbox()) != outboxLen {
		return invalid("an outbox id has %d bytes, not %d", outboxLen, len(c.GetOutbox()))
	}
	row := s.outboxes.open(sl.HW, string(c.GetOutbox()))
	for _, e := range c.GetEvents() {
		switch {
		case e.GetN() <= row.last:
		case e.GetN() == row.last+1:
			s.logEvent(now, sl, row, e)
			row.last++
		default:
			a := refuse(v1.RefusalReason_REFUSAL_REASON_GAP, "event %d came after event %d", e.GetN(), row.last)
			a.Value = row.last
			return a
		}
	}
	return &v1.Answer{Value: row.last}
}

// logEvent logs one event of a controller. The generator is the slot's own
// address whatever the node wrote; only the LUN is the node's to say, and a
// guest's event always has that of system management software.
func (s *shelf) logEvent(now int64, sl *Slot, row *outboxRow, ev *v1.Event) {
	speaker, lun := v1.Speaker_SPEAKER_CONTROLLER, byte(ev.GetGenerator()>>8)&generatorLUNMask
	if ev.GetSpeaker() == v1.Speaker_SPEAKER_GUEST {
		speaker, lun = v1.Speaker_SPEAKER_GUEST, lunSMS
	}
	e := &Entry{
		Committed: now, Origin: ev.GetTime(), Source: sl.Addr(), Speaker: speaker,
		Record: eventRecord([2]byte{byte(sl.Addr()), lun}, ev.GetBody()),
		Outbox: row.outbox, N: ev.GetN(),
	}
	s.record(e)
}
