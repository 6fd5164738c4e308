package state

import (
	"math"
	"sort"
)

// guestLogShare is the part of the log limit that one slot's guest may fill.
const guestLogShare = 4

// eventLog keeps the newest events. Guests have a queue of their own for each
// slot, so that a guest that floods the log displaces only its own entries.
type eventLog struct {
	limit  int
	next   uint64 // id of the next entry, from 1
	shelf  deque[*Entry]
	guests [128]*deque[*Entry] // by the source's hardware address
}

func newEventLog(limit int) eventLog { return eventLog{limit: limit, next: 1} }

// append logs e under the next id and gives the entry that fell out, if any.
func (l *eventLog) append(e *Entry) (dropped *Entry) {
	e.ID = l.next
	l.next++
	return l.keep(e)
}

// keep puts an entry that has its id at the end of its queue.
func (l *eventLog) keep(e *Entry) (dropped *Entry) {
	q, limit := &l.shelf, l.limit
	if e.guest() {
		q, limit = l.guestQueue(e.Source.HW()), max(1, l.limit/guestLogShare)
	}
	if q.len() >= limit {
		dropped = q.pop()
	}
	q.push(e)
	return dropped
}

func (l *eventLog) guestQueue(hw uint8) *deque[*Entry] {
	if l.guests[hw] == nil {
		l.guests[hw] = &deque[*Entry]{}
	}
	return l.guests[hw]
}

// clone copies the queues; the entries are shared.
func (l *eventLog) clone() eventLog {
	c := *l
	c.shelf = l.shelf.clone()
	for i, q := range l.guests {
		if q != nil {
			copied := q.clone()
			c.guests[i] = &copied
		}
	}
	return c
}

// after gives up to limit entries with ids above id, in order of id. A limit
// of 0 gives all.
func (l *eventLog) after(id uint64, limit int) []*Entry {
	cursors, n := l.cursors(id)
	if limit > 0 {
		n = min(n, limit)
	}
	out := make([]*Entry, 0, n)
	for len(out) < n {
		out = append(out, earliest(cursors).take())
	}
	return out
}

// logCursor walks one queue of the log.
type logCursor struct {
	q *deque[*Entry]
	i int
}

func (c *logCursor) done() bool { return c.i >= c.q.len() }

func (c *logCursor) take() *Entry {
	e := c.q.at(c.i)
	c.i++
	return e
}

// cursors stands at the first entry above id in every queue that has one, and
// counts what is there.
func (l *eventLog) cursors(id uint64) (out []*logCursor, n int) {
	add := func(q *deque[*Entry]) {
		if c := (&logCursor{q, searchEntry(q, id+1)}); !c.done() {
			out = append(out, c)
			n += q.len() - c.i
		}
	}
	if id == math.MaxUint64 {
		return nil, 0
	}
	add(&l.shelf)
	for _, q := range l.guests {
		if q != nil {
			add(q)
		}
	}
	return out, n
}

// earliest picks the cursor whose entry has the lowest id, nil when all are done.
func earliest(cursors []*logCursor) *logCursor {
	var best *logCursor
	for _, c := range cursors {
		if !c.done() && (best == nil || c.q.at(c.i).ID < best.q.at(best.i).ID) {
			best = c
		}
	}
	return best
}

// searchEntry gives the position of the first entry whose id is at least id.
func searchEntry(q *deque[*Entry], id uint64) int {
	return sort.Search(q.len(), func(i int) bool { return q.at(i).ID >= id })
}
