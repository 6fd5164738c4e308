package cluster

import (
	"testing"
	"testing/synctest"
	"time"
)

// A process that ran all the time trusts raft's answers; one that stood still
// for longer than others wait before they elect does not, for a while.
func TestPulseNoticesThatTheProcessStoodStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulse(Lab)
		for range 20 {
			time.Sleep(p.beat)
			if p.stopped() {
				t.Fatal("stopped, while it runs")
			}
		}
		time.Sleep(p.gap) // nobody beats: SIGSTOP
		if !p.stopped() {
			t.Fatal("a gap is not noticed by the first who asks")
		}
		time.Sleep(p.beat)
		if !p.stopped() {
			t.Fatal("old answers may still come")
		}
		for range 4 {
			time.Sleep(p.beat)
			p.stopped()
		}
		if p.stopped() {
			t.Fatal("suspect for ever")
		}
	})
}
