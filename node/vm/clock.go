package vm

import "time"

// clock measures the VM's time: it stands still while the VM is paused, as
// QEMU's virtual clock does, on which the device's timeout runs.
type clock struct {
	base     time.Time
	stopped  time.Duration // how long the VM was paused in all, before pausedAt
	paused   bool
	pausedAt time.Time
}

func newClock() clock { return clock{base: time.Now()} }

// now is the VM's age.
func (c *clock) now() time.Duration {
	if c.paused {
		return c.pausedAt.Sub(c.base) - c.stopped
	}
	return time.Since(c.base) - c.stopped
}

func (c *clock) setPaused(p bool) {
	switch {
	case p && !c.paused:
		c.pausedAt = time.Now()
	case !p && c.paused:
		c.stopped += time.Since(c.pausedAt)
	}
	c.paused = p
}
