package node

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// linked is a board whose streams the test makes and breaks.
type linked struct {
	*board
	live    atomic.Uint32
	changed chan struct{}
}

func inLinks(t *testing.T, f func(t *testing.T, l *linked)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &linked{board: newBoard(t, ProfileATCA), changed: make(chan struct{}, 1)}
		l.shelf("04 00 20 00")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- l.sensors.watchLink(ctx, func() uint8 { return uint8(l.live.Load()) }, l.changed)
		}()
		f(t, l)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func (l *linked) set(live uint32) {
	l.live.Store(live)
	l.changed <- struct{}{}
	synctest.Wait()
}

func (l *linked) reads(when, want string) {
	l.t.Helper()
	if got := l.guest("04 2d 02"); got != want {
		l.t.Errorf("%s: reads %s, want %s", when, got, want)
	}
}

// A half of IPMB-0 that is lost is an event, in the log and for the shelf; one
// whose stream is made anew at once is none.
func TestIPMBLink(t *testing.T) {
	inLinks(t, func(t *testing.T, l *linked) {
		time.Sleep(time.Hour)
		l.reads("before the first stream", "00 00 e0 00 80")
		l.set(1)
		l.reads("just attached", "00 00 e0 00 80")
		l.set(3)
		l.reads("both there", "00 88 c0 08 80")
		for range 5 {
			l.set(1)
			time.Sleep(linkSettles - time.Millisecond)
			l.set(3)
			time.Sleep(time.Second)
		}
		if got := l.logged(0); got != "" {
			t.Errorf("streams that were made anew: %s", got)
		}
		l.set(1)
		time.Sleep(linkSettles)
		synctest.Wait()
		l.reads("B lost", "00 f8 c0 02 80")
		l.set(3)
		l.reads("B back", "00 88 c0 08 80")
		l.set(2)
		time.Sleep(linkSettles)
		l.set(0)
		l.reads("A lost", "00 8f c0 04 80")
		time.Sleep(linkSettles)
		synctest.Wait()
		l.reads("all lost", "00 ff c0 01 80")
		const gen = "820004f1026f"
		want := gen + "a100f8 " + gen + "a30088 " + gen + "a2008f " + gen + "a000ff"
		if got := l.logged(0); got != want {
			t.Errorf("logged %s, want %s", got, want)
		}
		if n := len(l.outbox.events); n != 4 {
			t.Errorf("%d events for the shelf", n)
		}
	})
}

// A shelf with one replica has one half. That is how it is found, and no event.
func TestIPMBLinkFoundHalf(t *testing.T) {
	inLinks(t, func(t *testing.T, l *linked) {
		l.set(1)
		time.Sleep(linkSettles)
		synctest.Wait()
		l.reads("found", "00 f8 c0 02 80")
		if got := l.logged(0); got != "" {
			t.Errorf("logged %s", got)
		}
	})
}

// Only a board of a shelf has the sensor.
func TestIPMBLinkOfAServer(t *testing.T) {
	if got := newBoard(t, ProfileServer).guest("04 2d 02"); got != "cb" {
		t.Errorf("reads %s", got)
	}
}

func TestLinkStatus(t *testing.T) {
	for shown, want := range map[uint8]uint8{0: 0xFF, 1: 0xF8, 2: 0x8F, 3: 0x88} {
		if got := linkStatus(shown); got != want {
			t.Errorf("%02b: %02x, want %02x", shown, got, want)
		}
	}
}
