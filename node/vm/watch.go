package vm

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// look runs every lookEvery while something goes on, never while the guest is
// idle: requests need no timer of their own, which would cost more than they do.
const (
	lookEvery = 5 * time.Millisecond
	looksFast = 2 // a handler that the watch has seen this often is slow
)

var errPeerStuck = errors.New("vm: peer does not read")

// arm starts the watch. The caller holds d.mu.
func (d *Door) arm() {
	if !d.watching {
		d.watching = true
		d.watch.Reset(lookEvery)
	}
}

// look finds slow handlers, requests that nobody waits for and stuck writes.
func (d *Door) look() {
	d.mu.Lock()
	defer d.mu.Unlock()
	busy := d.served != d.noticed || len(d.slow) > 0
	d.noticed = d.served
	for _, l := range slices.Clone(d.links) {
		busy = busy || l.turn != nil || l.writing
		l.lookAtTurn()
		l.lookAtWrite()
	}
	d.expire()
	if busy {
		d.watch.Reset(lookEvery)
	} else {
		d.watching = false
	}
}

// lookAtTurn hands the reading on when the handler is slow.
func (l *link) lookAtTurn() {
	if l.turn == nil {
		return
	}
	if l.turn.looks++; l.turn.looks >= looksFast {
		l.handOff()
	}
}

// handOff gives the reading to another goroutine; the turn goes on in its own.
func (l *link) handOff() {
	t, d := l.turn, l.door
	t.slow, l.turn = true, nil
	d.slow = append(d.slow, t)
	d.wg.Go(l.readOn)
}

// readOn takes over the reading, and first sends what waited for the answer.
func (l *link) readOn() {
	l.door.mu.Lock()
	l.flush()
	l.door.mu.Unlock()
	l.read()
}

func (l *link) lookAtWrite() {
	if l.writing && !l.limited {
		l.limited = true
		_ = l.conn.SetWriteDeadline(time.Now().Add(stuckLate))
	}
}

// expire ends the contexts of requests that the device has given up, and answers
// those that it would not end rightly.
func (d *Door) expire() {
	now := d.clock.now()
	for _, t := range d.slow {
		age := now - t.began
		told := age >= tellWithin && t.msg.mistold() && d.settle(t, ipmb.Response{Code: ipmb.ErrTimeout}, 0)
		if told || age >= answerWithin {
			t.ctx.end(context.DeadlineExceeded)
		}
	}
}
