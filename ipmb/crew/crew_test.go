package crew

import (
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const all, idle = 10, 3
		c := New(idle)
		var done atomic.Int32
		hold := make(chan struct{})
		for range 2 {
			for range all {
				c.Go(func() { <-hold; done.Add(1) })
			}
			synctest.Wait()
			if n := done.Load(); n%all != 0 {
				t.Errorf("%d were done", n)
			}
			for range all { // all of them run at once, whoever waited before
				hold <- struct{}{}
			}
			synctest.Wait()
			if n := len(c.rest); n != idle {
				t.Errorf("%d wait, want %d", n, idle)
			}
		}
		c.Go(func() { done.Add(1) })
		synctest.Wait()
		if n := done.Load(); n != 2*all+1 {
			t.Errorf("%d were done", n)
		}
		c.Close()
	})
}

func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(1)
		var done atomic.Bool
		hold := make(chan struct{})
		c.Go(func() { <-hold; done.Store(true) })
		go func() { synctest.Wait(); close(hold) }()
		if c.Close(); !done.Load() {
			t.Error("Close did not wait")
		}
	})
}
