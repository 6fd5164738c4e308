package ipmb

import (
	"bytes"
	"sync"
	"time"
)

// RetryWindow is how long a repeat of a sequence number may be a retry. Linux
// sends a request up to five times, one to two seconds apart
// (ipmi_msghandler.c: default_retry_ms, default_max_retries).
const RetryWindow = 10 * time.Second

// CrossingWindow is how long after the answer a retry may still arrive: it
// left before its sender had read the answer, and waited in the driver's queue.
// On a machine with twenty times the work that it can do, that took more than
// three seconds. It is shorter than Linux's patience, whose last try comes seven
// seconds after the first, so that a new request which looks like such a retry
// is not lost: its sender repeats it, and is heard.
const CrossingWindow = 6 * time.Second

// EarliestRetry is how soon after a request its first retry may come; Linux
// waits one to two seconds. A request whose answer was fetched before that was
// never repeated.
const EarliestRetry = 900 * time.Millisecond

// RetryFilter recognises a requester's retries at the door, before a request
// gets an id. A request is a retry only if its bytes are equal to those seen
// last under its sequence number and target, and the requester has not moved
// on: either the first is still unanswered, or its answer was late enough to be
// crossed, and the ring of 64 has not come round to the number since.
type RetryFilter struct {
	mu         sync.Mutex
	requesters map[Requestor]*seqWindow
}

// Requestor names who draws sequence numbers, and for whom. Linux draws the
// numbers for all targets from one ring; others may have a ring for each.
type Requestor struct {
	Target  Addr
	Source  Addr
	LUN     LUN
	Session uint32
}

// seqWindow is the numbers of one requester for all targets.
type seqWindow struct {
	slots  map[seqKey]*seqSlot
	newest uint8
	count  uint64 // new requests so far
	at     time.Time
}

type seqKey struct {
	target Addr
	seq    uint8
}

type seqSlot struct {
	bytes    []byte
	at       time.Time
	answered time.Time // zero while the request is pending
	rested   uint64    // seqWindow.count when it was answered
}

// Seen notes one request and reports whether it repeats one that is known.
// key must hold every byte that tells one request from another, except those
// in who and seq.
func (r *RetryFilter) Seen(who Requestor, seq uint8, key []byte, now time.Time) (retry bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := seqKey{who.Target, seq & seqMask}
	w := r.window(who, now)
	if s := w.slots[k]; s != nil && bytes.Equal(s.bytes, key) && !w.movedOn(k.seq, s, now) {
		return true
	}
	w.note(k, key, now)
	return false
}

// Done notes that the request under seq got its answer.
func (r *RetryFilter) Done(who Requestor, seq uint8, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := seqKey{who.Target, seq & seqMask}
	who.Target = 0
	if w := r.requesters[who]; w != nil && w.slots[k] != nil {
		w.slots[k].answered, w.slots[k].rested = now, w.count
	}
}

// Forget takes back what Seen noted, because the request will get no answer:
// its next retry is a new request. It does nothing when the number has been
// used for other bytes since.
func (r *RetryFilter) Forget(who Requestor, seq uint8, key []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := seqKey{who.Target, seq & seqMask}
	who.Target = 0
	if w := r.requesters[who]; w != nil && w.slots[k] != nil && bytes.Equal(w.slots[k].bytes, key) {
		delete(w.slots, k)
	}
}

// window finds the numbers of a requester. When one comes new, those that
// have been silent are forgotten.
func (r *RetryFilter) window(who Requestor, now time.Time) *seqWindow {
	who.Target = 0
	if w := r.requesters[who]; w != nil {
		return w
	}
	if r.requesters == nil {
		r.requesters = make(map[Requestor]*seqWindow)
	}
	for k, w := range r.requesters {
		if now.Sub(w.at) >= RetryWindow {
			delete(r.requesters, k)
		}
	}
	w := &seqWindow{slots: make(map[seqKey]*seqSlot)}
	r.requesters[who] = w
	return w
}

// note enters a new request, and once a round drops those too old to be retried.
func (w *seqWindow) note(k seqKey, key []byte, now time.Time) {
	w.count++
	if w.count == 1 || now.Sub(w.at) >= RetryWindow || w.ahead(k.seq) < maxAhead {
		w.newest = k.seq // else it was drawn before the newest and sent after it
	}
	w.at = now
	if w.count%MaxSequence == 0 {
		for old, s := range w.slots {
			if now.Sub(s.at) >= RetryWindow {
				delete(w.slots, old)
			}
		}
	}
	s := w.slots[k]
	if s == nil {
		s = &seqSlot{}
		w.slots[k] = s
	}
	*s = seqSlot{bytes: append(s.bytes[:0], key...), at: now}
}

// movedOn reports whether a repeat of seq is a new use of the number. While
// its request is pending it cannot be: nobody reuses a number in flight.
func (w *seqWindow) movedOn(seq uint8, s *seqSlot, now time.Time) bool {
	if s.answered.IsZero() {
		return now.Sub(s.at) >= RetryWindow
	}
	const others = MaxSequence - 1
	ahead, since := w.ahead(seq), w.count-s.rested
	return s.answered.Sub(s.at) < EarliestRetry ||
		now.Sub(s.answered) >= CrossingWindow ||
		since >= others || // all other numbers have been used since
		since > maxAhead && ahead > 0 && ahead <= maxAhead // a step forward; numbers in flight are skipped
}

// maxAhead is how far ahead of the newest number one may be; beyond that it is
// behind.
const maxAhead = MaxSequence / 2

// ahead is how far seq lies before the newest number on the ring.
func (w *seqWindow) ahead(seq uint8) uint8 { return (seq - w.newest) & seqMask }
