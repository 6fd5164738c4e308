package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// Work that a load does.
type work int

const (
	reads  work = iota // Get Device ID
	writes             // Add SEL Entry
	mixed              // in turn
)

// unanswered is when a request counts as failed: Linux gives up after five
// tries of two seconds.
const unanswered = 10 * time.Second

// load keeps a fixed number of requests outstanding at one controller, by one
// fake guest: it sends while there is room, then waits for attention, as a
// driver does.
type load struct {
	g      *guest
	to     ipmb.Addr
	work   work
	window int

	waiting [ipmb.MaxSequence]time.Time // when sent; zero: no such request
	open    int
	next    uint8
	serial  uint32

	mu    sync.Mutex
	tally tally
	watch *watch // told of the first answer after a moment, when set
}

// tally is what became of the requests.
type tally struct {
	sent, answered, failed int
	open                   int // in flight at this moment
	took                   sample
	reasons                map[string]int
}

// watch waits for the first answer to a request that was sent after a moment.
type watch struct {
	after time.Time
	first chan time.Time // one slot
}

func newLoad(g *guest, to ipmb.Addr, w work, window int) *load {
	return &load{g: g, to: to, work: w, window: window, tally: tally{reasons: make(map[string]int)}}
}

// run works until ctx ends or so many requests were answered, then waits for
// what is open. It owns the guest.
func (l *load) run(ctx context.Context, count int) error {
	for {
		t := l.now()
		sending := ctx.Err() == nil && (count == 0 || t.sent < count)
		if !sending && l.open == 0 {
			return nil
		}
		if sending && l.open < l.window {
			if err := l.send(); err != nil {
				return err
			}
			if l.g.drain(); l.open < l.window && !l.g.waiting {
				continue
			}
		}
		if err := l.collect(); err != nil {
			return err
		}
	}
}

// now is the tally at this moment.
func (l *load) now() tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tally
	t.took = nil
	return t
}

// taken gives how long answers took, and starts over.
func (l *load) taken() sample {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.tally.took
	l.tally.took = nil
	return out
}

func (l *load) send() error {
	for !l.waiting[l.next].IsZero() {
		l.next = (l.next + 1) % ipmb.MaxSequence
	}
	seq := l.next
	l.next = (l.next + 1) % ipmb.MaxSequence
	netFn, cmd, data := l.request()
	at := time.Now()
	l.waiting[seq] = at
	l.count(func(t *tally) { t.sent++; t.open++ })
	l.open++
	err := l.g.send(l.to, seq, netFn, cmd, data)
	var refused ipmb.CompletionCode
	if errors.As(err, &refused) {
		l.done(seq, "not sent: "+refused.Error())
		return nil
	}
	return err
}

func (l *load) request() (ipmb.NetFn, ipmb.Cmd, []byte) {
	l.serial++
	if l.work == writes || l.work == mixed && l.serial%2 == 0 {
		return ipmb.NetFnStorage, cmdAddSEL, selRecord(l.serial)
	}
	return ipmb.NetFnApp, ipmb.CmdGetDeviceID, nil
}

const cmdAddSEL ipmb.Cmd = 0x44

// selRecord is an OEM record without timestamp, numbered.
func selRecord(n uint32) []byte {
	r := []byte{0, 0, 0xE0, 'b', 'e', 'n', 'c', 'h', 0, 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(r[8:], n)
	return r
}

// collect waits a little for attention and empties the receive queue.
func (l *load) collect() error {
	const patience = 50 // ms
	l.g.drain()
	if !l.g.waiting && !l.g.s.readable(patience) {
		l.expire()
		return nil
	}
	if !l.g.waiting {
		if err := l.g.attend(); err != nil {
			return err
		}
	}
	if _, err := l.g.do(ipmb.NetFnApp, ipmb.CmdGetMessageFlags, nil); err != nil {
		return fmt.Errorf("get message flags: %w", err)
	}
	for l.g.waiting {
		m, err := l.g.fetch()
		if errors.Is(err, ipmb.ErrEmpty) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("get message: %w", err)
		}
		l.answered(m)
	}
	return nil
}

func (l *load) answered(m fetched) {
	at := l.waiting[m.seq]
	if at.IsZero() {
		return // late: counted as failed already
	}
	if m.code != 0 {
		l.done(m.seq, m.code.Error())
		return
	}
	now := time.Now()
	l.mu.Lock()
	l.tally.answered++
	l.tally.took = append(l.tally.took, now.Sub(at))
	if w := l.watch; w != nil && at.After(w.after) {
		w.first <- now
		l.watch = nil
	}
	l.mu.Unlock()
	l.done(m.seq, "")
}

// done ends a request; why says why it failed, if it did.
func (l *load) done(seq uint8, why string) {
	l.waiting[seq] = time.Time{}
	l.open--
	l.count(func(t *tally) {
		t.open--
		if why != "" {
			t.failed++
			t.reasons[why]++
		}
	})
}

// expire gives up what was not answered in time.
func (l *load) expire() {
	for seq, at := range l.waiting {
		if !at.IsZero() && time.Since(at) > unanswered {
			l.done(uint8(seq), "no answer")
		}
	}
}

func (l *load) count(change func(*tally)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.tally)
}

// expect makes the load tell of the first answer to what it sends after now.
func (l *load) expect(after time.Time) <-chan time.Time {
	w := &watch{after, make(chan time.Time, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watch = w
	return w.first
}
