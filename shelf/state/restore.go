package state

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Restore replaces the whole state by a snapshot's. On an error, which says
// what in the snapshot cannot be right, the state is as it was.
func (s *State) Restore(m *v1.Snapshot) error {
	if v := m.GetVersion(); v != Version && v != versionRecords {
		return fmt.Errorf("state: a snapshot of version %d; this program knows version %d", v, versionRecords)
	}
	fresh := New(s.config)
	for _, sh := range m.GetShelves() {
		if err := fresh.restoreShelf(sh); err != nil {
			return fmt.Errorf("state: snapshot of shelf %q: %w", sh.GetName(), err)
		}
	}
	for key, value := range m.GetConfig() { // order does not matter: settings do not see each other
		a := fresh.setConfig(&v1.SetConfig{Key: key, Value: value})
		if a.GetCompletionCode() != uint32(ipmb.OK) {
			return fmt.Errorf("state: snapshot setting %q: %s", key, a.GetRefusal())
		}
	}
	if err := fresh.restoreSessions(m.GetSessions()); err != nil {
		return fmt.Errorf("state: snapshot session table: %w", err)
	}
	*s = *fresh
	return nil
}

func (s *State) restoreShelf(m *v1.ShelfState) error {
	set := &v1.SetShelf{Shelf: m.GetName(), Guid: m.GetGuid(), HardwareAddresses: m.GetHardwareAddresses(), SlotNames: m.GetSlotNames()}
	if s.shelf(m.GetName()) != nil {
		return errors.New("stands twice")
	}
	if a := s.setShelf(set); a.GetCompletionCode() != uint32(ipmb.OK) {
		return errors.New(a.GetRefusal())
	}
	sh := s.shelf(m.GetName())
	return errors.Join(
		sh.restoreSlots(m.GetSlots()),
		sh.restoreOutboxes(m.GetOutboxes()),
		sh.restoreLog(m),
		sh.restoreSEL(m.GetSel()),
		sh.restoreRecords(m.GetRecords()),
	)
}

func (s *shelf) restoreSlots(rows []*v1.SlotState) error {
	for _, m := range rows {
		hw := m.GetHardwareAddress()
		if !claimable(hw) || s.slots[hw] != nil {
			return fmt.Errorf("slot at hardware address %#02x is out of range or stands twice", hw)
		}
		s.slots[hw] = &Slot{
			HW: uint8(hw), Instance: string(m.GetInstance()), Boot: m.GetBoot(), Epoch: m.GetEpoch(),
			Held: m.GetHeld(), ContactLost: m.GetContactLost(), Since: m.GetSince(), Name: m.GetName(),
			Profile: m.GetProfile(), API: m.GetApi(), DeviceID: m.GetDeviceId(), EventReceiverSet: m.GetEventReceiverSet(),
		}
	}
	return nil
}

func (s *shelf) restoreOutboxes(rows []*v1.OutboxRow) error {
	for _, m := range rows {
		hw := m.GetHardwareAddress()
		if !claimable(hw) || len(m.GetOutbox()) != outboxLen || s.outboxes.find(uint8(hw), string(m.GetOutbox())) != nil {
			return fmt.Errorf("outbox row %x of hardware address %#02x is malformed or stands twice", m.GetOutbox(), hw)
		}
		s.outboxes.open(uint8(hw), string(m.GetOutbox())).last = m.GetLast()
	}
	return nil
}

func (s *shelf) restoreLog(m *v1.ShelfState) error {
	s.log.next = max(m.GetNextLogId(), 1)
	last := uint64(0)
	names := make(map[string]string) // entries of one outbox share its id
	for _, row := range m.GetLog() {
		e, err := restoreEntry(row, names)
		switch {
		case err != nil:
			return fmt.Errorf("log entry %d: %w", row.GetId(), err)
		case e.ID <= last || e.ID >= s.log.next:
			return fmt.Errorf("log entry %d is out of order", e.ID)
		}
		last = e.ID
		s.log.keep(e)
	}
	return nil
}

func restoreEntry(m *v1.LogEntry, names map[string]string) (*Entry, error) {
	source := ipmb.Addr(m.GetSource())
	if len(m.GetRecord()) != RecordLen || m.GetSource() > 0xFF || !source.Valid() {
		return nil, fmt.Errorf("record of %d bytes from address %#x", len(m.GetRecord()), m.GetSource())
	}
	outbox, ok := names[string(m.GetOutbox())]
	if !ok {
		outbox = string(m.GetOutbox())
		names[outbox] = outbox
	}
	return &Entry{
		ID: m.GetId(), Committed: m.GetCommitted(), Origin: m.GetOriginTime(), Source: source,
		Speaker: m.GetSpeaker(), Record: Record(m.GetRecord()), Outbox: outbox, N: m.GetN(),
	}, nil
}

func (s *shelf) restoreSEL(m *v1.SELState) error {
	v := &s.sel
	if a := s.setSELTime(&v1.SetSELTime{OffsetSeconds: m.GetTimeOffset()}); a.GetCompletionCode() != uint32(ipmb.OK) {
		return errors.New(a.GetRefusal())
	}
	v.lastAdd, v.lastErase, v.overflow, v.erased = m.GetLastAdd(), m.GetLastErase(), m.GetOverflow(), m.GetErased()
	if next := m.GetNextRecord(); next > 0 && next <= selMaxID {
		v.next = uint16(next)
	}
	entries := s.log.after(0, 0)
	last := uint64(0)
	for _, row := range m.GetRows() {
		i, ok := slices.BinarySearchFunc(entries, row.GetLogId(), func(e *Entry, id uint64) int {
			return cmp.Compare(e.ID, id)
		})
		if !ok {
			continue // dropped: this program's log is shorter than the writer's
		}
		e := entries[i]
		if e.ID <= last || uint32(e.Record.ID()) != row.GetRecord() || row.GetRecord() == 0 || row.GetRecord() > uint32(selMaxID) || v.byID[e.Record.ID()] != nil {
			return fmt.Errorf("SEL record %d is out of order or does not match log entry %d", row.GetRecord(), e.ID)
		}
		last = e.ID
		v.show(e)
	}
	if v.rows.len() > v.limit {
		return fmt.Errorf("%d SEL records where %d fit", v.rows.len(), v.limit)
	}
	return nil
}

func (s *State) restoreSessions(rows []*v1.SessionRow) error {
	for _, m := range rows {
		if n := len(m.GetInstance()); n == 0 || n > maxInstanceLen {
			return fmt.Errorf("an instance id of %d bytes", n)
		}
		if _, twice := s.sessions.get(m.GetInstance(), m.GetId()); twice {
			return fmt.Errorf("request %d of %x stands twice", m.GetId(), m.GetInstance())
		}
		b, err := deterministic.Marshal(m.GetAnswer())
		if err != nil {
			return err
		}
		s.sessions.put(string(m.GetInstance()), m.GetId(), string(b))
	}
	return nil
}

// decodeSnapshot reads an encoded v1.Snapshot into s.
func (s *State) decodeSnapshot(b []byte) error {
	m := &v1.Snapshot{}
	if err := proto.Unmarshal(b, m); err != nil {
		return fmt.Errorf("state: reading a snapshot: %w", err)
	}
	return s.Restore(m)
}
