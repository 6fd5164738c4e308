package state

import "encoding/binary"

// Record ids of the SEL (IPMI 2.0 §31.5): 0000h asks for the first, FFFFh for
// the last; what lies between names a record.
const (
	SELFirst uint16 = 0x0000
	SELLast  uint16 = 0xFFFF

	selMaxID      = 0xFFFE
	guestSELShare = 8 // part of the SEL that one slot's guest may fill
)

// selView is the SEL: the newest entries of the log under 16-bit record ids.
// IPMI lets a full SEL stop; here the log is the truth and the SEL drops its
// oldest record, or the guest's own oldest when a guest has filled its share.
type selView struct {
	limit     int
	next      uint16 // where the search for a free record id begins
	rows      deque[*Entry]
	byID      map[uint16]*Entry // looked up, never walked
	guests    [128]*deque[*Entry]
	lastAdd   int64 // SEL clock, seconds since 1970; 0: never
	lastErase int64
	overflow  bool
	erased    uint64 // counts deletes and clears
	offset    int64  // SEL clock less leader's clock, seconds
}

func newSELView(limit int) selView {
	return selView{limit: limit, next: 1, byID: make(map[uint16]*Entry)}
}

// reserve makes room for an entry of e's kind and gives it a record id that no
// present record has.
func (v *selView) reserve(e *Entry) uint16 {
	if e.guest() {
		if q := v.guests[e.Source.HW()]; q != nil && q.len() >= max(1, v.limit/guestSELShare) {
			v.overflow = true
			v.forget(q.at(0))
		}
	}
	if v.rows.len() >= v.limit {
		v.overflow = true
		v.forget(v.rows.at(0))
	}
	for v.byID[v.next] != nil {
		v.next = selIDAfter(v.next)
	}
	id := v.next
	v.next = selIDAfter(id)
	return id
}

func selIDAfter(id uint16) uint16 {
	if id >= selMaxID {
		return 1
	}
	return id + 1
}

// show puts an entry that has its record id at the end of the SEL.
func (v *selView) show(e *Entry) {
	v.rows.push(e)
	v.byID[e.Record.ID()] = e
	if !e.guest() {
		return
	}
	q := &v.guests[e.Source.HW()]
	if *q == nil {
		*q = &deque[*Entry]{}
	}
	(*q).push(e)
}

// forget takes e out of the SEL if it is there.
func (v *selView) forget(e *Entry) {
	if v.byID[e.Record.ID()] != e {
		return
	}
	delete(v.byID, e.Record.ID())
	v.rows.remove(searchEntry(&v.rows, e.ID))
	if e.guest() {
		q := v.guests[e.Source.HW()]
		q.remove(searchEntry(q, e.ID))
	}
}

// clear empties the SEL. Record ids go on where they were.
func (v *selView) clear(now int64) {
	v.rows.clear()
	clear(v.byID)
	v.guests = [128]*deque[*Entry]{}
	v.overflow = false
	v.erase(now)
}

// reservations is how many reservation ids there are: 1 to FFFFh.
const reservations = 0xFFFF

// reservation is the SEL's for all who ask, until something is erased: it is
// made of the number of erasures.
func (v *selView) reservation() uint16 { return uint16(v.erased%reservations) + 1 }

// reserved reports whether a reservation, if one is asked for, still holds. It
// is decided here, in the order of the log: of two who clear under the same
// one, the second would erase what neither has read.
func (v *selView) reserved(id uint32) bool { return id == 0 || id == uint32(v.reservation()) }

// erase notes that records were taken out on demand.
func (v *selView) erase(now int64) {
	v.erased++
	v.lastErase = int64(selTime(now, v.offset))
}

// find gives the record that id asks for and its position; nil when absent.
func (v *selView) find(id uint16) (*Entry, int) {
	last := v.rows.len() - 1
	switch {
	case last < 0:
		return nil, 0
	case id == SELFirst:
		return v.rows.at(0), 0
	case id == SELLast:
		return v.rows.at(last), last
	}
	e := v.byID[id]
	if e == nil {
		return nil, 0
	}
	return e, searchEntry(&v.rows, e.ID)
}

// get gives the record that id asks for and the id of the next one, SELLast
// after the last.
func (v *selView) get(id uint16) (r Record, next uint16, ok bool) {
	e, i := v.find(id)
	if e == nil {
		return Record{}, 0, false
	}
	if i+1 == v.rows.len() {
		return e.Record, SELLast, true
	}
	return e.Record, v.rows.at(i + 1).Record.ID(), true
}

// setRecordID writes id into the record's first two bytes.
func (r *Record) setRecordID(id uint16) { binary.LittleEndian.PutUint16(r[:], id) }
