package state

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// ErrUnknownShelf answers a reader who asks for a shelf that is not declared.
var ErrUnknownShelf = errors.New("state: no such shelf")

// Shelf is what is declared of a shelf.
type Shelf struct {
	Name      string
	GUID      []byte  // 16 bytes
	HW        []uint8 // slots that may be claimed, empty: all
	SlotNames []string
}

// Event is a log entry as a reader sees it.
type Event struct {
	Entry
	SELRecord uint16 // record id in the SEL, 0 when it is not, or no longer, there
}

// SELInfo is the SEL at a glance. Times are in seconds since 1970 of the SEL's
// clock, 0 for never.
type SELInfo struct {
	Records, Limit     int
	LastAdd, LastErase uint32
	Overflow           bool          // records were dropped since the SEL was cleared
	Erased             uint64        // counts deletes and clears
	Reservation        uint16        // the same at every replica until something is erased
	Offset             time.Duration // the SEL's clock less the leader's
}

// Applied is the index of the last command applied.
func (f *FSM) Applied() uint64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.state.applied
}

// Shelves lists the declared shelves in order of name.
func (f *FSM) Shelves() []Shelf {
	f.mu.RLock()
	defer f.mu.RUnlock()
	out := make([]Shelf, 0, len(f.state.shelves))
	for _, s := range f.state.shelves {
		out = append(out, s.view())
	}
	return out
}

// Shelf gives what is declared of one shelf.
func (f *FSM) Shelf(name string) (Shelf, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	s := f.state.shelf(name)
	if s == nil {
		return Shelf{}, false
	}
	return s.view(), true
}

func (s *shelf) view() Shelf {
	return Shelf{Name: s.name, GUID: bytes.Clone(s.guid), HW: slices.Clone(s.declared), SlotNames: slices.Clone(s.names)}
}

// Slots lists the slots of a shelf that were ever claimed, in order of address.
func (f *FSM) Slots(shelf string) []Slot {
	f.mu.RLock()
	defer f.mu.RUnlock()
	s := f.state.shelf(shelf)
	if s == nil {
		return nil
	}
	var out []Slot
	for _, sl := range s.slots {
		if sl != nil {
			out = append(out, *sl)
		}
	}
	return out
}

// Slot gives one slot; ok is false when it was never claimed.
func (f *FSM) Slot(shelf string, hw uint8) (sl Slot, ok bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	s := f.state.shelf(shelf)
	if s == nil || hw > maxHW || s.slots[hw] == nil {
		return Slot{}, false
	}
	return *s.slots[hw], true
}

// Lease is how long a lost holder keeps its slot.
func (f *FSM) Lease() time.Duration {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.state.lease
}

// LastEvent is the last event of a slot's outbox that the shelf has, 0 for none.
func (f *FSM) LastEvent(shelf string, hw uint8, outbox []byte) uint64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	s := f.state.shelf(shelf)
	if s == nil {
		return 0
	}
	if r := s.outboxes.find(hw, string(outbox)); r != nil {
		return r.last
	}
	return 0
}

// Log gives up to limit events with ids above after, oldest first; a limit of
// 0 gives all. Ids that are missing have fallen out of the log.
func (f *FSM) Log(shelf string, after uint64, limit int) []Event {
	f.mu.RLock()
	defer f.mu.RUnlock()
	s := f.state.shelf(shelf)
	if s == nil {
		return nil
	}
	entries := s.log.after(after, limit)
	out := make([]Event, len(entries))
	for i, e := range entries {
		out[i] = Event{Entry: *e}
		if s.sel.byID[e.Record.ID()] == e {
			out[i].SELRecord = e.Record.ID()
		}
	}
	return out
}

// SEL gives the state of a shelf's SEL.
func (f *FSM) SEL(shelf string) (SELInfo, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	s := f.state.shelf(shelf)
	if s == nil {
		return SELInfo{}, ErrUnknownShelf
	}
	v := &s.sel
	return SELInfo{
		Records: v.rows.len(), Limit: v.limit, LastAdd: uint32(v.lastAdd), LastErase: uint32(v.lastErase),
		Overflow: v.overflow, Erased: v.erased, Reservation: v.reservation(), Offset: time.Duration(v.offset) * time.Second,
	}, nil
}

// SELRecord gives the record that id asks for ([SELFirst], [SELLast] or a
// record id) and the id of the next, [SELLast] after the last. It fails with
// CBh when there is none.
func (f *FSM) SELRecord(shelf string, id uint16) (r Record, next uint16, err error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	s := f.state.shelf(shelf)
	if s == nil {
		return Record{}, 0, ErrUnknownShelf
	}
	r, next, ok := s.sel.get(id)
	if !ok {
		return Record{}, 0, ipmb.ErrNotPresent
	}
	return r, next, nil
}

// Answered gives the answer that the session table has for a request. A reader
// that lags behind may miss one; proposing the command again never does.
func (f *FSM) Answered(instance []byte, id uint64) (*v1.Answer, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.state.sessions.answer(instance, id)
}

// Record gives a record of the controller at 0x20, nil when there is none. It
// must not be changed.
func (f *FSM) Record(shelf, name string) []byte {
	f.mu.RLock()
	defer f.mu.RUnlock()
	s := f.state.shelf(shelf)
	if s == nil {
		return nil
	}
	return s.records.values[name]
}

// NamedRecord is a record with its name.
type NamedRecord struct {
	Name  string
	Value []byte // must not be changed
}

// Records lists, as of one moment, the records whose names begin with prefix,
// in order of their names.
func (f *FSM) Records(shelf, prefix string) (list []NamedRecord) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	s := f.state.shelf(shelf)
	if s == nil {
		return nil
	}
	for name, value := range s.records.values {
		if strings.HasPrefix(name, prefix) {
			list = append(list, NamedRecord{name, value})
		}
	}
	slices.SortFunc(list, func(a, b NamedRecord) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Setting gives the value of a replicated setting, nil when it is not set.
func (f *FSM) Setting(key string) []byte {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return bytes.Clone(f.state.settings[key])
}
