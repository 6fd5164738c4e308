package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/power/powertest"
	"github.com/midplane-project/midplane/node/vm"
)

// lastEvent is the newest SEL record from its generator id on.
func (b *board) lastEvent() string {
	got := b.guest("0a 43 00 00 ff ff 00 ff")
	if len(got) < 19*3-1 {
		return got
	}
	return got[10*3:]
}

// Each action and interrupt does what it says, once, and is in the log and at
// the shelf with its words.
func TestWatchdogActs(t *testing.T) {
	for _, c := range []struct {
		name, set string
		did       string
		event     string
		flags     string
	}{
		{"none", "04 00 00 00 2c 01", "", "82 00 04 23 17 6f c0 04 ff", "00 00"},
		{"hard reset", "04 01 00 00 2c 01", "reset", "82 00 04 23 17 6f c1 04 ff", "00 00"},
		{"power down", "03 02 00 00 2c 01", "off", "82 00 04 23 17 6f c2 03 ff", "00 00"},
		{"power cycle", "02 03 00 00 2c 01", "cycle", "82 00 04 23 17 6f c3 02 ff", "00 00"},
		{"NMI", "01 21 0a 00 2c 01", "nmi reset", "82 00 04 23 17 6f c1 21 ff", "00 00"},
		{"message", "05 31 0a 00 2c 01", "reset", "82 00 04 23 17 6f c1 35 ff", "00 08"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inTime(t, func(t *testing.T, b *board) {
				b.shelf("04 00 20 00")
				b.guest("06 24 " + c.set)
				b.guest("06 22")
				time.Sleep(30*time.Second - time.Millisecond)
				synctest.Wait()
				warned := 0
				if strings.Contains(c.set, "0a") {
					warned = 1
					if got := b.lastEvent(); !strings.Contains(got, "6f c8 ") {
						t.Errorf("warning %s", got)
					}
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				if got := strings.Join(b.vm.took(), " "); got != c.did {
					t.Errorf("did %q, want %q", got, c.did)
				}
				if got := b.lastEvent(); got != c.event {
					t.Errorf("event %s, want %s", got, c.event)
				}
				if got := b.guest("06 31"); got != c.flags {
					t.Errorf("flags %s, want %s", got, c.flags)
				}
				if got := b.outbox.events; len(got) != 1+warned || !strings.Contains(c.event, fmt.Sprintf("% x", got[warned].Body)) {
					t.Errorf("at the shelf: %v", got)
				}
			})
		})
	}
}

func TestWatchdogDoesNotLog(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		b.guest("06 24 84 21 0a 00 2c 01")
		b.guest("06 22")
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := strings.Join(b.vm.took(), " "); got != "nmi reset" {
			t.Errorf("did %q", got)
		}
		if got := b.guest("0a 40"); got[6:11] != "00 00" {
			t.Errorf("log %s", got)
		}
	})
}

// An action that fails is logged, and does not come again.
func TestWatchdogActionFails(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		b.vm.fail = ErrVMOff
		b.guest("06 24 04 21 0a 00 2c 01")
		b.guest("06 22")
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := strings.Join(b.vm.took(), " "); got != "nmi reset" {
			t.Errorf("did %q", got)
		}
	})
}

// The pre-timeout flag is up until the guest clears it or sets the timer anew,
// and the attention line with it.
func TestWatchdogFlag(t *testing.T) {
	for name, c := range map[string]struct {
		do    func(b *board)
		flags string
	}{
		"raised":               {func(*board) {}, "00 08"},
		"cleared":              {func(b *board) { b.guest("06 30 08") }, "00 00"},
		"other flags cleared":  {func(b *board) { b.guest("06 30 e7") }, "00 08"},
		"timer set":            {func(b *board) { b.guest("06 24 04 00 00 00 2c 01") }, "00 00"},
		"node restarted":       {func(b *board) { b.stop(); b.start() }, "00 08"},
		"node killed":          {func(b *board) { b.kill(); b.start() }, "00 08"},
		"cleared, then killed": {func(b *board) { b.guest("06 30 08"); b.kill(); b.start() }, "00 00"},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, b *board) {
				b.guest("06 24 04 31 0a 00 2c 01")
				b.guest("06 22")
				time.Sleep(21 * time.Second)
				synctest.Wait()
				c.do(b)
				if got := b.guest("06 31"); got != c.flags {
					t.Errorf("flags %s", got)
				}
				if up, _, _ := b.line.state(); up != (c.flags != "00 00") {
					t.Errorf("attention %v", up)
				}
			})
		})
	}
}

// A guest that a message already called is called again for the warning.
func TestWatchdogReminds(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		b.push(1)
		b.guest("06 24 04 31 0a 00 2c 01")
		b.guest("06 22")
		time.Sleep(21 * time.Second)
		synctest.Wait()
		if _, _, n := b.line.state(); n != 1 {
			t.Errorf("reminded %d times", n)
		}
	})
}

// The deadline is the same for the next process.
func TestWatchdogIsKept(t *testing.T) {
	eachEnd(t, func(t *testing.T, b *board, restart func()) {
		b.guest("06 24 04 01 00 00 2c 01")
		b.guest("06 22")
		time.Sleep(20 * time.Second)
		restart()
		if got := b.guest("06 25"); got != "00 44 01 00 00 2c 01 64 00" {
			t.Errorf("timer %s", got)
		}
		time.Sleep(10*time.Second - time.Millisecond)
		synctest.Wait()
		if got := b.vm.took(); got != nil {
			t.Fatalf("did %q too early", got)
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if got := b.vm.took(); !slices.Equal(got, []string{"reset"}) {
			t.Errorf("did %q", got)
		}
		restart()
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := b.vm.took(); got != nil {
			t.Errorf("did %q again", got)
		}
	})
}

// What came due while no node ran is done at once, and once.
func TestWatchdogDueMeanwhile(t *testing.T) {
	for name, end := range map[string]func(*board){"planned": (*board).stop, "killed": (*board).kill} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, b *board) {
				b.guest("06 24 04 01 00 00 2c 01")
				b.guest("06 22")
				end(b)
				time.Sleep(time.Minute)
				b.start()
				synctest.Wait()
				if got := b.vm.took(); !slices.Equal(got, []string{"reset"}) {
					t.Errorf("did %q", got)
				}
				if got := b.lastEvent(); got != "82 00 04 23 17 6f c1 04 ff" {
					t.Errorf("event %s", got)
				}
				ends["killed"](b)
				synctest.Wait()
				if got := b.vm.took(); got != nil {
					t.Errorf("did %q again", got)
				}
			})
		})
	}
}

// blade is a controller whose VM is a host's, in virtual time.
type blade struct {
	*board
	host   *host
	vm     *powertest.VM
	cancel context.CancelFunc
	done   chan error
}

func inBlade(t *testing.T, clock string, f func(t *testing.T, b *blade)) {
	synctest.Test(t, func(t *testing.T) {
		b := &blade{board: newBoard(t, ProfileServer), vm: powertest.New()}
		b.board.stop()
		b.clock = clock
		b.run()
		defer b.end()
		f(t, b)
	})
}

// run starts the node.
func (b *blade) run() {
	b.host = newHost(b.vm, b.dir, true, func(bool) error { return nil }, slog.New(slog.DiscardHandler))
	b.host.door = &fakeDoor{vm: b.vm, absent: true} // so that all is done by QMP
	b.payload = supply{b.host}
	b.begin()
	b.host.observe = b.VMHappened
	var ctx context.Context
	ctx, b.cancel = context.WithCancel(context.Background())
	b.done = make(chan error, 1)
	go func() { b.done <- b.host.run(ctx) }()
	synctest.Wait()
	b.host.connected(ctx)
	synctest.Wait()
}

func (b *blade) end() {
	b.cancel()
	if err := <-b.done; err != nil {
		b.t.Error(err)
	}
}

// resets counts how often the VM was reset.
func (b *blade) resets() (n int) {
	synctest.Wait()
	for _, c := range b.vm.Calls() {
		if c == "Reset" {
			n++
		}
	}
	return n
}

func (b *blade) load() {
	b.t.Helper()
	for _, ask := range []string{"06 24 44 01 00 00 2c 01", "06 22"} {
		if got := b.guest(ask); got != "00" {
			b.t.Fatalf("%s: %s", ask, got)
		}
	}
}

func TestWatchdogOfAVM(t *testing.T) {
	for name, c := range map[string]struct {
		clock  string
		do     func(b *blade)
		resets int
		timer  string // Get Watchdog Timer's answer; empty: any
	}{
		"fed": {ClockVM, func(b *blade) {
			for range 100 {
				time.Sleep(29 * time.Second)
				b.guest("06 22")
			}
		}, 0, "00 44 01 00 00 2c 01 2c 01"},
		"starved": {ClockVM, func(*blade) { time.Sleep(time.Hour) }, 1, "00 04 01 00 10 2c 01 00 00"},
		"paused": {ClockVM, func(b *blade) {
			time.Sleep(10 * time.Second)
			_ = b.vm.Stop(b.t.Context())
			time.Sleep(time.Hour)
		}, 0, "00 44 01 00 00 2c 01 c8 00"},
		"paused by the wall's clock": {ClockWall, func(b *blade) {
			_ = b.vm.Stop(b.t.Context())
			time.Sleep(time.Hour)
		}, 1, ""},
		"resumed": {ClockVM, func(b *blade) {
			_ = b.vm.Stop(b.t.Context())
			time.Sleep(time.Hour)
			synctest.Wait()
			_ = b.vm.Cont(b.t.Context())
			synctest.Wait()
			time.Sleep(31 * time.Second)
		}, 1, ""},
		"rebooted": {ClockVM, func(b *blade) {
			b.vm.GuestReboot()
			synctest.Wait()
			time.Sleep(time.Hour)
		}, 0, ""},
		"powered off": {ClockVM, func(b *blade) {
			b.vm.GuestPoweroff()
			synctest.Wait()
			if err := b.host.PowerOn(b.t.Context()); err != nil {
				b.t.Error(err)
			}
			synctest.Wait()
			b.host.connected(b.t.Context())
			time.Sleep(time.Hour)
		}, 0, "00 04 01 00 00 2c 01 2c 01"},
		"crashed and started again": {ClockVM, func(b *blade) {
			b.vm.Crash(power.Exit{})
			time.Sleep(time.Minute)
			synctest.Wait()
			b.host.connected(b.t.Context())
			time.Sleep(time.Hour)
		}, 0, ""},
		"paused while no node ran": {ClockVM, func(b *blade) {
			time.Sleep(10 * time.Second)
			b.end()
			b.kill()
			b.vm.SetState(power.Paused)
			time.Sleep(time.Hour)
			b.run()
			time.Sleep(time.Hour)
		}, 0, "00 44 01 00 00 2c 01 2c 01"},
		"left alone while no node ran": {ClockVM, func(b *blade) {
			b.end()
			b.kill()
			time.Sleep(time.Hour)
			b.run()
		}, 1, ""},
		"gone while no node ran": {ClockVM, func(b *blade) {
			b.end()
			b.kill()
			b.vm.SetState(power.Off)
			time.Sleep(time.Hour)
			b.run()
			time.Sleep(time.Hour)
		}, 0, "00 04 01 00 00 2c 01 2c 01"},
	} {
		t.Run(name, func(t *testing.T) {
			inBlade(t, c.clock, func(t *testing.T, b *blade) {
				b.load()
				c.do(b)
				if n := b.resets(); n != c.resets {
					t.Errorf("%d resets, want %d", n, c.resets)
				}
				if got := b.host.life.get().Cause.Cause; (got == causeWatchdog) != (c.resets > 0) {
					t.Errorf("restart cause %v", got)
				}
				if got := b.guest("06 25"); c.timer != "" && got != c.timer {
					t.Errorf("timer %s, want %s", got, c.timer)
				}
			})
		})
	}
}

// The other actions act on the host's VM as well.
func TestWatchdogPowersTheVM(t *testing.T) {
	for set, want := range map[string][]string{
		"04 02 00 00 2c 01": {"Start", "Cont", "Kill"},
		"04 03 00 00 2c 01": {"Start", "Cont", "Kill", "Start"},
		"04 21 0a 00 2c 01": {"Start", "Cont", "NMI", "Reset"},
	} {
		inBlade(t, ClockVM, func(t *testing.T, b *blade) {
			b.guest("06 24 " + set)
			b.guest("06 22")
			time.Sleep(time.Hour)
			synctest.Wait()
			if got := b.vm.Calls()[1:]; !slices.Equal(got, want) { // after Adopt
				t.Errorf("%s: %q, want %q", set, got, want)
			}
		})
	}
}

// A node that does not start its VM cannot cycle its power, and says so before.
func TestWatchdogOfAStrangersVM(t *testing.T) {
	b := newBoard(t, ProfileServer)
	b.stop()
	b.stranger = true
	b.start()
	b.wantAnswers(map[string]string{
		"06 24 04 03 00 00 2c 01": "cc", "06 24 04 02 00 00 2c 01": "00", "06 24 04 01 00 00 2c 01": "00",
	})
}

func TestWatchdogEventIsNotLogged(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		b.shelf("04 00 20 00")
		b.outbox.fail = errors.New("disk full")
		b.guest("06 24 04 01 00 00 2c 01")
		b.guest("06 22")
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := b.vm.took(); !slices.Equal(got, []string{vm.CommandReset.String()}) {
			t.Errorf("did %q", got)
		}
	})
}
