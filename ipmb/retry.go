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

// RetryFilter recognises a requester's retries at the door, before a request
// gets an id. A request is a retry only if its bytes are equal to those seen
// last under its sequence number, and the requester has not moved on: his 64
// numbers have not gone round, and the number is not simply the next free one.
type RetryFilter struct {
	mu         sync.Mutex
	requesters map[Requestor]*seqWindow
}

// Requestor names who draws sequence numbers: a requester has 64 per target.
type Requestor struct {
	Target  Addr
	Source  Addr
	LUN     LUN
	Session uint32
}

type seqWindow struct {
	slots  [MaxSequence]seqSlot
	newest uint8
	count  uint64 // new requests so far
}

type seqSlot struct {
	bytes   []byte
	count   uint64 // seqWindow.count when it was new
	at      time.Time
	pending bool
}

// Seen notes one request and reports whether it repeats one that is known.
// key must hold every byte that tells one request from another.
func (r *RetryFilter) Seen(who Requestor, seq uint8, key []byte, now time.Time) (retry bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.requesters[who]
	if w == nil {
		if r.requesters == nil {
			r.requesters = make(map[Requestor]*seqWindow)
		}
		w = &seqWindow{newest: seq & seqMask}
		r.requesters[who] = w
	}
	return w.seen(seq&seqMask, key, now)
}

// Done notes that the request under seq got its answer.
func (r *RetryFilter) Done(who Requestor, seq uint8) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.requesters[who]; w != nil {
		w.slots[seq&seqMask].pending = false
	}
}

func (w *seqWindow) seen(seq uint8, key []byte, now time.Time) bool {
	s := &w.slots[seq]
	if bytes.Equal(s.bytes, key) && s.bytes != nil && now.Sub(s.at) < RetryWindow && !w.movedOn(seq, s) {
		return true
	}
	w.count++
	w.newest = seq
	*s = seqSlot{bytes: bytes.Clone(key), count: w.count, at: now, pending: true}
	return false
}

// movedOn reports whether a repeat of seq is a new use of the number. While
// its request is pending it cannot be: nobody reuses a number in flight.
func (w *seqWindow) movedOn(seq uint8, s *seqSlot) bool {
	if s.pending {
		return false
	}
	if w.count-s.count >= MaxSequence {
		return true
	}
	for n := (w.newest + 1) & seqMask; n != seq; n = (n + 1) & seqMask {
		if !w.slots[n].pending {
			return false
		}
	}
	return w.newest != seq
}
