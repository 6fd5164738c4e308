package state

import (
	"maps"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// capture is the state at one moment. It shares what never changes (log
// entries, answers) and copies the rest, so that taking it is cheap and
// encoding it needs no lock.
type capture struct {
	version  uint32
	settings map[string][]byte
	shelves  []capturedShelf
	sessions []capturedSession
}

// capturedShelf is a shelf without its log as a message, and the log.
type capturedShelf struct {
	message *v1.ShelfState
	log     eventLog
}

type capturedSession struct {
	instance string
	id       uint64
	answer   string
}

func (s *State) capture() capture {
	c := capture{version: Version, settings: maps.Clone(s.settings), sessions: make([]capturedSession, 0, s.sessions.n)}
	for _, sh := range s.shelves {
		if len(sh.records.values) > 0 {
			c.version = versionRecords
		}
		c.shelves = append(c.shelves, capturedShelf{message: sh.message(), log: sh.log.clone()})
	}
	for row := s.sessions.oldest; row != nil; row = row.next {
		c.sessions = append(c.sessions, capturedSession{row.owner.instance, row.id, row.answer})
	}
	return c
}

// message gives the shelf without its log.
func (s *shelf) message() *v1.ShelfState {
	m := &v1.ShelfState{
		Name: s.name, Guid: s.guid, NextLogId: s.log.next, Sel: s.sel.message(), SlotNames: s.names,
		Records: s.records.message(),
	}
	for _, hw := range s.declared {
		m.HardwareAddresses = append(m.HardwareAddresses, uint32(hw))
	}
	for _, sl := range s.slots {
		if sl != nil {
			m.Slots = append(m.Slots, sl.message())
		}
	}
	for _, r := range s.outboxes {
		m.Outboxes = append(m.Outboxes, &v1.OutboxRow{Outbox: []byte(r.outbox), HardwareAddress: uint32(r.hw), Last: r.last})
	}
	return m
}

func (s *Slot) message() *v1.SlotState {
	return &v1.SlotState{
		HardwareAddress: uint32(s.HW), Instance: []byte(s.Instance), Boot: s.Boot, Epoch: s.Epoch,
		Held: s.Held, ContactLost: s.ContactLost, Since: s.Since, Name: s.Name, Profile: s.Profile,
		Api: s.API, DeviceId: s.DeviceID, EventReceiverSet: s.EventReceiverSet,
	}
}

func (v *selView) message() *v1.SELState {
	m := &v1.SELState{
		NextRecord: uint32(v.next), LastAdd: v.lastAdd, LastErase: v.lastErase,
		Overflow: v.overflow, TimeOffset: v.offset, Erased: v.erased,
	}
	for i := range v.rows.len() {
		e := v.rows.at(i)
		m.Rows = append(m.Rows, &v1.SELRow{Record: uint32(e.Record.ID()), LogId: e.ID})
	}
	return m
}

func (e *Entry) fill(m *v1.LogEntry) {
	m.Id, m.Committed, m.OriginTime = e.ID, e.Committed, e.Origin
	m.Source, m.Speaker, m.N = uint32(e.Source), e.Speaker, e.N
	m.Record = append(m.Record[:0], e.Record[:]...)
	m.Outbox = append(m.Outbox[:0], e.Outbox...)
}
