package power

import (
	"context"
	"fmt"
	"sync"
)

// Bounds of what waits for one console reader.
const (
	outletBytes = 256 << 10
	// outletHold is what may wait before a reader that holds the VM up does so.
	outletHold = 16 << 10
)

// A ring keeps the last max bytes of a stream.
type ring struct {
	max int
	buf []byte
}

func (r *ring) add(p []byte) {
	r.buf = append(r.buf, p...)
	// Cut rarely, so that a long stream is not moved with each piece.
	if len(r.buf) > 2*r.max {
		r.buf = append([]byte(nil), r.buf[len(r.buf)-r.max:]...)
	}
}

// last returns a copy of the last n bytes, or fewer.
func (r *ring) last(n int) []byte {
	n = min(max(n, 0), r.max, len(r.buf))
	return append([]byte(nil), r.buf[len(r.buf)-n:]...)
}

// An outlet is one reader's queue of bytes. When it is full the oldest are dropped, and take says how many.
type outlet struct {
	mu      sync.Mutex
	waiting []byte
	skipped int
	unheard int           // bytes, of those taken as well
	ready   chan struct{} // holds a token while there is something to read
	room    chan struct{} // holds a token once some was heard
}

func newOutlet() *outlet {
	return &outlet{ready: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

func (o *outlet) push(p []byte) {
	if len(p) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting = append(o.waiting, p...)
	o.unheard += len(p)
	if over := len(o.waiting) - outletBytes; over > 0 {
		o.skipped += over
		o.unheard -= over
		o.waiting = append([]byte(nil), o.waiting[over:]...)
	}
	post(o.ready)
}

// full reports whether a reader that holds the VM up is behind.
func (o *outlet) full() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.unheard >= outletHold
}

// heard notes that n more bytes have come to where they are for.
func (o *outlet) heard(n int) {
	o.mu.Lock()
	o.unheard -= min(max(n, 0), o.unheard-len(o.waiting))
	o.mu.Unlock()
	post(o.room)
}

// open is how many bytes are not yet heard.
func (o *outlet) open() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.unheard
}

// take waits for bytes and takes them all; skipped is how many were dropped before them.
func (o *outlet) take(ctx context.Context) (p []byte, skipped int, err error) {
	select {
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	case <-o.ready:
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	p, skipped = o.waiting, o.skipped
	o.waiting, o.skipped = nil, 0
	return p, skipped, nil
}

// next is take for people: what was dropped is told in the text.
func (o *outlet) next(ctx context.Context) ([]byte, error) {
	p, skipped, err := o.take(ctx)
	if skipped > 0 {
		p = append(fmt.Appendf(nil, "\r\n[%d bytes skipped: this reader is too slow]\r\n", skipped), p...)
	}
	return p, err
}

// post puts a token into a channel of one slot, unless there is one.
func post(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
