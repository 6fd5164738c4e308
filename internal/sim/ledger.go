package sim

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/sel"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/state"
)

// Ledger is what guests know of the events that they sent: for each, whether it
// was acknowledged, and how often it may stand in the shelf's log.
type Ledger struct {
	mu     sync.Mutex
	next   uint32
	sent   map[token]*sending
	failed []string
	done   int // requests that succeeded
	lost   int // requests that failed, all with an excuse unless in failed
}

// token marks an event for ever: it is the last bytes of its record.
type token uint32

type sending struct {
	what  string
	acked bool
	id    uint16 // record id that was answered, 0 when none is
	most  int    // how often it may be logged: once, and once for each restart of its node meanwhile
}

func newLedger() *Ledger { return &Ledger{sent: make(map[token]*sending)} }

// begin draws a token for an event that is about to be sent.
func (l *Ledger) begin(what string) token {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	k := token(l.next)
	l.sent[k] = &sending{what: what, most: 1}
	return k
}

// end says what became of it.
func (l *Ledger) end(k token, acked bool, id uint16, restarts int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sent[k]
	s.acked, s.id, s.most = acked, id, 1+restarts
}

// count counts a request.
func (l *Ledger) count(ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ok {
		l.done++
	} else {
		l.lost++
	}
}

// Requests tells how many of the guests' requests succeeded, and how many
// failed while the shelf could not serve them.
func (l *Ledger) Requests() (done, lost int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done, l.lost
}

// Failf notes something that must not be.
func (l *Ledger) Failf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.failed) < maxFailures {
		l.failed = append(l.failed, fmt.Sprintf(format, args...))
	}
}

const maxFailures = 20

// Failed lists what was noted so far.
func (l *Ledger) Failed() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.failed)
}

// tokenOf finds the token in a logged record: its last three bytes, which all
// kinds of events leave to their sender.
func tokenOf(r state.Record) token {
	return token(binary.BigEndian.Uint32(r[12:]) & tokenMask)
}

// bytes are the event data that carry a token.
func (k token) bytes() []byte { return binary.BigEndian.AppendUint32(nil, uint32(k))[1:] }

const tokenMask = 0xFFFFFF

// recordSensorType is where a record has its sensor's type (IPMI 2.0 table 32-1, byte 11).
const recordSensorType = 10

// controllers reports whether no guest sent an event: replicas come and go
// here, of which 0x20 tells, and with them the nodes' halves of IPMB-0.
func controllers(e state.Event) bool {
	return e.Speaker == v1.Speaker_SPEAKER_CONTROLLER &&
		(e.Source == ipmb.AddrShelfManager || e.Record[recordSensorType] == byte(sel.SensorIPMBLink))
}

// Check compares the log with what guests were told.
func (l *Ledger) Check(log []state.Event) (wrong []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wrong = append(wrong, l.failed...)
	found := make(map[token][]state.Event)
	for _, e := range log {
		if controllers(e) {
			continue
		}
		found[tokenOf(e.Record)] = append(found[tokenOf(e.Record)], e)
	}
	for k, s := range l.sent {
		wrong = append(wrong, s.check(k, found[k])...)
		delete(found, k)
	}
	for k, e := range found {
		wrong = append(wrong, fmt.Sprintf("token %d, that nobody sent, is logged: % x", k, e[0].Record))
	}
	return append(wrong, checkOutboxes(log)...)
}

func (s *sending) check(k token, found []state.Event) (wrong []string) {
	n := len(found)
	switch {
	case s.acked && n == 0:
		wrong = append(wrong, fmt.Sprintf("%s %d was acknowledged and is lost", s.what, k))
	case n > s.most:
		wrong = append(wrong, fmt.Sprintf("%s %d is logged %d times, at most %d are right", s.what, k, n, s.most))
	}
	if s.id == 0 || n == 0 {
		return wrong
	}
	for _, e := range found {
		if e.Record.ID() == s.id {
			return wrong
		}
	}
	return append(wrong, fmt.Sprintf("%s %d was answered with record id %#04x, and is logged as %#04x", s.what, k, s.id, found[0].Record.ID()))
}

// checkOutboxes sees to it that each outbox is in the log in its order, from
// its first event on, without a gap.
func checkOutboxes(log []state.Event) (wrong []string) {
	last := make(map[string]uint64)
	tokens := make(map[string]token)
	for _, e := range log {
		if e.Outbox == "" {
			continue
		}
		if e.N != last[e.Outbox]+1 {
			wrong = append(wrong, fmt.Sprintf("outbox %x: event %d after event %d", e.Outbox, e.N, last[e.Outbox]))
		}
		last[e.Outbox] = e.N
		if controllers(e) {
			continue // no token, but a place among the others
		}
		if k := tokenOf(e.Record); k <= tokens[e.Outbox] {
			wrong = append(wrong, fmt.Sprintf("outbox %x: token %d after token %d", e.Outbox, k, tokens[e.Outbox]))
		} else {
			tokens[e.Outbox] = k
		}
	}
	return wrong
}
