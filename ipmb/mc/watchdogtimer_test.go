package mc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// memoryCell is a mc.Cell without a file.
type memoryCell struct{ value []byte }

func (c *memoryCell) Load() []byte   { return bytes.Clone(c.value) }
func (c *memoryCell) Store(b []byte) { c.value = bytes.Clone(b) }

// fullRecords have no room while err is set.
type fullRecords struct {
	mc.Records
	err error
}

func (r *fullRecords) Put(name string, value []byte) error {
	if r.err != nil {
		return r.err
	}
	return r.Records.Put(name, value)
}

func (r *fullRecords) Delete(name string) error {
	if r.err != nil {
		return r.err
	}
	return r.Records.Delete(name)
}

// kennel is a watchdog with what it acts on.
type kennel struct {
	*mc.Watchdog
	t       *testing.T
	mux     *ipmb.Mux
	cell    memoryCell
	records fullRecords
	wall    bool
	ends    atomic.Bool // the controller ends: nothing is done any more

	mu      sync.Mutex
	did     []string
	settled int
}

func inKennel(t *testing.T, f func(t *testing.T, k *kennel)) {
	synctest.Test(t, func(t *testing.T) {
		k := &kennel{t: t}
		k.records.Records = &mc.MemoryRecords{}
		k.open()
		k.System(false)
		f(t, k)
		k.Close()
	})
}

func (k *kennel) note(format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.did = append(k.did, fmt.Sprintf(format, args...))
}

func (k *kennel) open() {
	k.t.Helper()
	var err error
	k.Watchdog, err = mc.OpenWatchdog(mc.WatchdogConfig{
		Cell: &k.cell, Records: &k.records, Wall: k.wall,
		Can: func(i mc.WatchdogInterrupt, a mc.WatchdogAction) bool {
			return i != mc.WatchdogSMI && a != mc.WatchdogPowerCycle
		},
		Go: func(f func(context.Context)) {
			if !k.ends.Load() {
				go f(context.Background())
			}
		},
		Event:     func(_ context.Context, offset, data2 byte) { k.note("event %d/%02x", offset, data2) },
		Interrupt: func(_ context.Context, i mc.WatchdogInterrupt) { k.note("%v", i) },
		Act:       func(_ context.Context, u mc.WatchdogUse, a mc.WatchdogAction) { k.note("%v for %v", a, u) },
		Settled:   func() { k.settled++ },
	})
	if err != nil {
		k.t.Fatal(err)
	}
	k.mux = ipmb.NewMux(k.Commands())
}

func (k *kennel) ask(rows ...exchange) {
	k.t.Helper()
	run(k.t, k.mux, admin, rows)
}

func (k *kennel) want(did ...string) {
	k.t.Helper()
	synctest.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	if !slices.Equal(k.did, did) {
		k.t.Errorf("did %q, want %q", k.did, did)
	}
	k.did = nil
}

func TestWatchdogCommands(t *testing.T) {
	inKennel(t, func(t *testing.T, k *kennel) {
		k.ask(
			exchange{"never set", "06 22", "80"},
			exchange{"nothing to tell", "06 25", "00 0000 00 00 0000 0000"},
			exchange{"set", "06 24 44 31 0A 00 2C01", "00"},
			exchange{"not running", "06 25", "00 04 31 0A 00 2C01 2C01"},
			exchange{"start", "06 22", "00"},
			exchange{"running", "06 25", "00 44 31 0A 00 2C01 2C01"},
		)
		time.Sleep(1234 * time.Millisecond)
		k.ask(exchange{"the countdown is true", "06 25", "00 44 31 0A 00 2C01 2001"})
		time.Sleep(20 * time.Second)
		k.want("message", "event 8/34")
		k.ask(exchange{"too late to be fed", "06 22", "D5"}, exchange{"goes on", "06 25", "00 44 31 0A 00 2C01 5800"})
		time.Sleep(10 * time.Second)
		k.want("event 1/34", "hard reset for SMS/OS")
		k.ask(
			exchange{"expired", "06 25", "00 04 31 0A 10 2C01 0000"},
			exchange{"don't log", "06 24 81 00 00 10 0A00", "00"},
			exchange{"flag cleared", "06 25", "00 81 00 00 00 0A00 0A00"},
			exchange{"start", "06 22", "00"},
		)
		time.Sleep(time.Second)
		k.want()
		k.ask(
			exchange{"logged from now on", "06 25", "00 01 00 00 02 0A00 0000"},
			exchange{"SMI is not there", "06 24 04 11 0A 00 2C01", "CC"},
			exchange{"nor a power cycle", "06 24 04 03 00 00 2C01", "CC"},
			exchange{"short", "06 24 04 01 00 00 2C", "C7"},
			exchange{"long", "06 24 04 01 00 00 2C01 00", "C7"},
			exchange{"as it was", "06 25", "00 01 00 00 02 0A00 0000"},
		)
		if k.settled != 2 {
			t.Errorf("settled %d times", k.settled)
		}
		operator, user := admin, admin
		operator.Privilege, user.Privilege = ipmb.PrivilegeOperator, ipmb.PrivilegeUser
		run(t, k.mux, user, []exchange{{"a user", "06 22", "D4"}, {"a user", "06 24 04 01 00 00 2C01", "D4"}, {"a user reads", "06 25", "00 01 00 00 02 0A00 0000"}})
		run(t, k.mux, operator, []exchange{{"an operator", "06 22", "00"}})
	})
}

// What has not been done when the controller ends is done by the next one.
func TestWatchdogExpiresAtTheEnd(t *testing.T) {
	inKennel(t, func(t *testing.T, k *kennel) {
		k.ask(exchange{"set", "06 24 04 01 00 00 2C01", "00"}, exchange{"start", "06 22", "00"})
		k.ends.Store(true)
		time.Sleep(31 * time.Second)
		k.want()
		k.Close()
		k.ends.Store(false)
		k.open()
		time.Sleep(time.Hour)
		k.want()
		k.System(false)
		k.want("event 1/04", "hard reset for SMS/OS")
		k.Close()
		k.open()
		k.System(false)
		k.want()
		k.ask(exchange{"and is over", "06 25", "00 04 01 00 10 2C01 0000"})
	})
}

func TestWatchdogWithoutCell(t *testing.T) {
	inKennel(t, func(t *testing.T, k *kennel) {
		k.ask(exchange{"set", "06 24 04 01 00 00 2C01", "00"}, exchange{"start", "06 22", "00"})
		k.Close()
		k.cell.value = nil // the host lost its power
		k.open()
		k.System(false)
		time.Sleep(time.Hour)
		k.want()
		k.ask(exchange{"stands", "06 25", "00 04 01 00 00 2C01 2C01"}, exchange{"and can be started", "06 22", "00"})
		time.Sleep(time.Hour)
		k.want("event 1/04", "hard reset for SMS/OS")
	})
}

func TestWatchdogClocks(t *testing.T) {
	inKennel(t, func(t *testing.T, k *kennel) {
		for _, wall := range []bool{false, true} {
			k.Close()
			k.wall = wall
			k.open()
			k.System(false)
			k.ask(exchange{"set", "06 24 04 01 00 00 2C01", "00"}, exchange{"start", "06 22", "00"})
			k.System(true)
			time.Sleep(time.Minute)
			if wall {
				k.want("event 1/04", "hard reset for SMS/OS")
				continue
			}
			k.want()
			k.System(false)
			time.Sleep(30 * time.Second)
			k.want("event 1/04", "hard reset for SMS/OS")
		}
	})
}

func TestWatchdogStopsWithTheSystem(t *testing.T) {
	inKennel(t, func(t *testing.T, k *kennel) {
		for _, c := range []struct {
			set  string
			stop func()
			did  []string
		}{
			{"06 24 04 01 00 00 2C01", k.SystemReset, nil},
			{"06 24 03 01 00 00 2C01", k.SystemReset, []string{"event 1/03", "hard reset for OS load"}},
			{"06 24 03 01 00 00 2C01", k.SystemOff, nil},
		} {
			k.ask(exchange{"set", c.set, "00"}, exchange{"start", "06 22", "00"})
			c.stop()
			time.Sleep(time.Hour)
			k.want(c.did...)
		}
	})
}

// Settings that cannot be stored do not hold.
func TestWatchdogThatCannotBeStored(t *testing.T) {
	inKennel(t, func(t *testing.T, k *kennel) {
		k.ask(exchange{"set", "06 24 04 01 00 00 2C01", "00"}, exchange{"start", "06 22", "00"})
		k.records.err = errors.New("disk full")
		k.ask(
			exchange{"the same needs no disk", "06 24 44 01 00 00 2C01", "00"},
			exchange{"another does", "06 24 04 02 00 00 6400", "FF"},
			exchange{"goes on as before", "06 25", "00 44 01 00 00 2C01 2C01"},
			exchange{"feeding needs none", "06 22", "00"},
		)
		if err := k.Forget(); !errors.Is(err, k.records.err) {
			t.Errorf("forgot: %v", err)
		}
		k.records.err = nil
		if err := k.Forget(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		k.want()
		k.ask(exchange{"forgotten", "06 22", "80"})
		k.Close()
		k.open()
		k.System(false)
		k.ask(exchange{"for ever", "06 22", "80"})
	})
}

func BenchmarkWatchdogFeed(b *testing.B) {
	w, err := mc.OpenWatchdog(mc.WatchdogConfig{
		Cell: &memoryCell{}, Records: &mc.MemoryRecords{}, Settled: func() {},
		Can: func(mc.WatchdogInterrupt, mc.WatchdogAction) bool { return true },
	})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	w.System(false)
	mux := ipmb.NewMux(w.Commands())
	mux.ServeIPMI(b.Context(), &ipmb.Request{NetFn: 6, Cmd: 0x24, Data: []byte{4, 1, 0, 0, 0x2C, 1}, Origin: admin})
	req := &ipmb.Request{NetFn: 6, Cmd: 0x22, Origin: admin}
	for b.Loop() {
		if r := mux.ServeIPMI(b.Context(), req); r.Code != ipmb.OK {
			b.Fatal(r.Code)
		}
	}
}
