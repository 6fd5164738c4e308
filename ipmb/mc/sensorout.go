package mc

import (
	"log/slog"
	"sync"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/sel"
)

// outletSize is how many events may wait for the sink. One more is lost: who
// feeds a sensor is not held up by a disk that stands still.
const outletSize = 1024

// outlet takes events to the sink one at a time and in order. Whoever finds it
// idle takes them, others leave theirs to him; so the sink may feed sensors
// itself, and no sensor is locked while it writes.
type outlet struct {
	sink func(ipmb.LUN, sel.Event)
	log  *slog.Logger

	mu    sync.Mutex
	queue []outgoing
	busy  bool
	given uint64 // counts the events that were put in
	taken uint64
	moved sync.Cond // taken has changed
}

type outgoing struct {
	lun   ipmb.LUN
	event sel.Event
}

// put queues events and gives the ticket of the last one, 0 when there is none.
func (o *outlet) put(lun ipmb.LUN, events []sel.Event) (ticket uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range events {
		if len(o.queue) == outletSize {
			o.log.Error("sensor event lost: too many wait to be logged", "event", sel.DescribeEvent(e))
			continue
		}
		o.queue = append(o.queue, outgoing{lun, e})
		o.given++
		ticket = o.given
	}
	return ticket
}

// drain takes what waits to the sink, unless that is being done.
func (o *outlet) drain() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.busy {
		return
	}
	o.busy = true
	for len(o.queue) > 0 {
		next := o.queue[0]
		o.queue = o.queue[1:]
		o.mu.Unlock()
		o.sink(next.lun, next.event)
		o.mu.Lock()
		o.taken++
		o.moved.Broadcast()
	}
	o.busy = false
}

// wait waits until the event with a ticket is taken.
func (o *outlet) wait(ticket uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.taken < ticket {
		o.moved.Wait()
	}
}
