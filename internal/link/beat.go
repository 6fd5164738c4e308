package link

import (
	"context"
	"time"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// beat sends a heartbeat; answered, if not nil, is closed by its answer.
func (l *Link[Out, In]) beat(answered chan struct{}) (n uint64) {
	l.mu.Lock()
	l.beats++
	n = l.beats
	if answered != nil {
		l.await[n] = answered
	}
	l.mu.Unlock()
	l.Send(l.dialect.Heartbeat(&v1.Heartbeat{N: n, Sent: int64(time.Since(l.born))}))
	return n
}

// beaten answers a heartbeat, or takes an answer.
func (l *Link[Out, In]) beaten(h *v1.Heartbeat) {
	if !h.GetAnswer() {
		l.Send(l.dialect.Heartbeat(&v1.Heartbeat{N: h.GetN(), Sent: h.GetSent(), Answer: true}))
		return
	}
	l.rtt.Store(int64(time.Since(l.born)) - h.GetSent())
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.await[h.GetN()]; c != nil {
		close(c)
		delete(l.await, h.GetN())
	}
}

// Confirm waits until the other end has taken all that was queued before.
func (l *Link[Out, In]) Confirm(ctx context.Context) error {
	answered := make(chan struct{})
	n := l.beat(answered)
	select {
	case <-answered:
		return nil
	case <-l.done:
		return ErrClosed
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.await, n)
		return ctx.Err()
	}
}
