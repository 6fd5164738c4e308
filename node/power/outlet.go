package power

import (
	"context"
	"fmt"
	"sync"
)

// outletBytes bounds what waits for one console reader.
const outletBytes = 256 << 10

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

// An outlet is one reader's queue of bytes. When it is full the oldest are dropped, and next says how many.
type outlet struct {
	mu      sync.Mutex
	waiting []byte
	skipped int
	ready   chan struct{} // holds a token while there is something to read
}

func newOutlet() *outlet { return &outlet{ready: make(chan struct{}, 1)} }

func (o *outlet) push(p []byte) {
	if len(p) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting = append(o.waiting, p...)
	if over := len(o.waiting) - outletBytes; over > 0 {
		o.skipped += over
		o.waiting = append([]byte(nil), o.waiting[over:]...)
	}
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

// next waits for bytes and takes them all.
func (o *outlet) next(ctx context.Context) ([]byte, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-o.ready:
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.waiting
	if o.skipped > 0 {
		p = append(fmt.Appendf(nil, "\r\n[%d bytes skipped: this reader is too slow]\r\n", o.skipped), p...)
	}
	o.waiting, o.skipped = nil, 0
	return p, nil
}
