package link

import (
	"sync"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Bounds of a queue. Frames beyond the first are refused, for only their
// senders resend; what is beyond the second ends the link, for a peer that
// misses a notice must start anew.
const (
	maxFrames = 1024
	maxItems  = 4 * maxFrames
	maxBatch  = 256
)

// item is a frame, which may share a batch, or a message of its own.
type item[Out any] struct {
	frame *v1.Envelope
	msg   *Out
	last  bool // nothing is written after it
}

// queue holds in order what the writer has not taken yet.
type queue[Out any] struct {
	wake chan struct{} // one slot
	pass func(item[Out]) bool

	mu     sync.Mutex
	items  []item[Out]
	spare  []item[Out] // the slice that the writer gave back
	idle   bool        // the writer waits
	closed bool
}

// newQueue makes a queue. What pass takes while the writer has nothing to do goes
// past it.
func newQueue[Out any](pass func(item[Out]) bool) *queue[Out] {
	return &queue[Out]{wake: make(chan struct{}, 1), pass: pass}
}

// put appends an item unless the queue has limit items already.
func (q *queue[Out]) put(it item[Out], limit int) error {
	q.mu.Lock()
	switch {
	case q.closed:
		q.mu.Unlock()
		return ErrClosed
	case len(q.items) >= limit:
		q.mu.Unlock()
		return ErrFull
	case q.idle && len(q.items) == 0 && q.pass(it):
		q.mu.Unlock()
		return nil
	}
	q.items = append(q.items, it)
	q.closed = it.last
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return nil
}

// take gives all items there are; done is the slice that the call before gave.
func (q *queue[Out]) take(done []item[Out]) []item[Out] {
	clear(done)
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items, q.spare = q.spare[:0], done
	q.idle = len(items) == 0
	return items
}

// close refuses everything from now on.
func (q *queue[Out]) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.items = true, nil
}
