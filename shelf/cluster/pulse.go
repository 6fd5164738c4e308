package cluster

import (
	"context"
	"sync"
	"time"
)

// pulse notices that this process did not run for a while: it was stopped
// (SIGSTOP), or starved.
type pulse struct {
	beat time.Duration // how often it looks
	gap  time.Duration // silence that others may have used to elect

	mu      sync.Mutex
	last    time.Time
	suspect time.Time // until then old answers may still come
}

func newPulse(p Profile) *pulse {
	return &pulse{beat: p.Heartbeat / 4, gap: p.Heartbeat / 2, last: time.Now()}
}

// run beats until ctx ends.
func (p *pulse) run(ctx context.Context) {
	t := time.NewTicker(p.beat)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			p.stopped()
		case <-ctx.Done():
			return
		}
	}
}

// stopped reports whether the process stood still a short time ago.
func (p *pulse) stopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Sub(p.last) >= p.gap {
		p.suspect = now.Add(2 * p.gap)
	}
	p.last = now
	return now.Before(p.suspect)
}
