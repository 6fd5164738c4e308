package supervise

import (
	"slices"
	"syscall"
	"time"

	"github.com/midplane-project/midplane/deploy/lab/proc"
)

// Pauses before a crashed process is started again: doubled from first to last,
// forgotten after it has run for steady.
const (
	pauseFirst = 200 * time.Millisecond
	pauseLast  = 10 * time.Second
	steady     = 10 * time.Second
)

// Grace is how long a process may take to stop before it is killed.
const Grace = 10 * time.Second

// child is a process as the supervisor sees it.
type child struct {
	name   string
	p      *proc.Process // nil: does not run
	rec    Record        // of what runs, or ran last
	known  bool          // rec says something
	began  time.Time
	pause  time.Duration
	next   time.Time // not started again before
	killAt time.Time // being stopped: SIGKILL then

	old    *proc.Process // the predecessor, which p takes over from; nil mostly
	oldEnd time.Time     // it is killed then
}

// replaceable reports whether what runs can be taken over by what is wanted:
// with the same VMs, which the one hands to the other.
func (c *child) replaceable(want *Process) bool {
	return want.TakesOver && c.rec.TakesOver && c.killAt.IsZero() && c.old == nil && slices.Equal(want.VMs, c.rec.VMs)
}

// seeOff sees to it that the predecessor ends.
func (c *child) seeOff(now time.Time) error {
	if c.old == nil {
		return nil
	}
	select {
	case <-c.old.Done():
		c.old.Close()
		c.old = nil
		return nil
	default:
	}
	if now.After(c.oldEnd) {
		return c.old.Signal(syscall.SIGKILL)
	}
	return nil
}

// ended reports, once, that the process is no longer there.
func (c *child) ended() bool {
	if c.p == nil {
		return false
	}
	select {
	case <-c.p.Done():
	default:
		return false
	}
	c.rec.Exit = c.p.Exit()
	c.p.Close()
	c.p = nil
	return true
}

// delay counts an end that nobody wished, and says when the process may start
// again.
func (c *child) delay(now time.Time) {
	if now.Sub(c.began) > steady || c.pause == 0 {
		c.pause, c.rec.Crashes = pauseFirst, 0
	}
	c.rec.Crashes++
	c.next = now.Add(c.pause)
	c.pause = min(2*c.pause, pauseLast)
}

// stop asks the process to end, and makes it in the end. SIGCONT lets a stopped
// one obey.
func (c *child) stop(now time.Time) error {
	switch {
	case c.killAt.IsZero():
		c.killAt = now.Add(Grace)
		if err := c.p.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		return c.p.Signal(syscall.SIGCONT)
	case now.After(c.killAt):
		return c.p.Signal(syscall.SIGKILL)
	}
	return nil
}
