// Package crew runs functions on goroutines that have been used before. The
// stack of a new goroutine grows while it works, which for a short function may
// take as long as the function itself.
package crew

import "sync"

// Crew is a set of goroutines; New makes one.
type Crew struct {
	jobs  chan func()
	rest  chan struct{} // one for each that may wait for a job
	ended chan struct{}
	group sync.WaitGroup
}

// New makes a crew of which so many wait for work at most.
func New(idle int) *Crew {
	return &Crew{jobs: make(chan func()), rest: make(chan struct{}, idle), ended: make(chan struct{})}
}

// Go runs f on a goroutine of its own, like [sync.WaitGroup.Go]. Once Close has
// been called, only functions that run yet may call it.
func (c *Crew) Go(f func()) {
	select {
	case c.jobs <- f: // to one that waits
	default:
		c.group.Go(func() { c.work(f) })
	}
}

func (c *Crew) work(f func()) {
	for {
		f()
		select {
		case c.rest <- struct{}{}:
		default:
			return // enough wait
		}
		select {
		case f = <-c.jobs:
			<-c.rest
		case <-c.ended:
			return
		}
	}
}

// Close waits until all functions have returned.
func (c *Crew) Close() {
	close(c.ended)
	c.group.Wait()
}
