package powertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/midplane-project/midplane/node/power"
)

// benchLimit bounds each wait; a guest boots within it on a slow machine.
const benchLimit = 90 * time.Second

// A Bench is a VM that is off, with the driver that is tried on it and what others do to the VM.
// What is nil does not happen to this VM, or its driver cannot see it.
type Bench struct {
	Driver power.Driver

	Boot        func(*testing.T) // waits until the firmware and the guest have done what they do after a start or a reset
	Obey        func(*testing.T) // the guest's answer to its power button, where nobody else gives it
	Interrupted func(*testing.T) // makes sure that the NMI came
	Poweroff    func(*testing.T) // the guest powers itself off
	Reboot      func(*testing.T) // the guest reboots itself
	Pause       func(*testing.T)
	Crash       func(*testing.T)

	Blind bool // the driver sees whether the VM is on, and no more
	Lost  bool // a VM that crashed is for somebody else to start
}

// trial is one run of the rows.
type trial struct {
	Bench
	events *power.Events
	seen   []power.Event
}

// Try runs what every driver must do on one VM, row after row.
func (b Bench) Try(t *testing.T) {
	r := &trial{Bench: b, events: b.Driver.Subscribe(256)}
	defer r.events.Cancel()
	for _, row := range []struct {
		name string
		try  func(*testing.T)
		has  bool
	}{
		{"off when off", r.offWhenOff, true},
		{"on", r.on, true},
		{"on when on", r.onWhenOn, true},
		{"cycle", r.cycle, true},
		{"hard reset", r.reset, true},
		{"nmi", r.nmi, true},
		{"pause", r.pause, b.Pause != nil},
		{"reboot of the guest's own", r.reboot, b.Reboot != nil},
		{"soft", r.soft, true},
		{"poweroff of the guest's own", r.poweroff, b.Poweroff != nil},
		{"crash", r.crash, b.Crash != nil},
	} {
		if row.has && !t.Run(row.name, row.try) {
			return // the next one would begin somewhere else
		}
	}
}

// until waits for a condition that events bring about.
func (r *trial) until(t *testing.T, what string, is func() bool) {
	t.Helper()
	limit := time.After(benchLimit)
	for !is() {
		select {
		case e, ok := <-r.events.C():
			if !ok {
				t.Fatalf("events ended before: %s", what)
			}
			r.seen = append(r.seen, e)
		case <-limit:
			t.Fatalf("not seen: %s; the VM is %v after %+v", what, r.Driver.State(), r.seen)
		}
	}
}

func (r *trial) untilState(t *testing.T, want power.State) {
	t.Helper()
	r.until(t, want.String(), func() bool { return r.Driver.State() == want })
}

// off reports whether the VM has no power: in prelaunch it has not begun.
func (r *trial) off() bool {
	switch r.Driver.State() {
	case power.Off, power.Shutdown, power.Prelaunch:
		return true
	}
	return false
}

// drain takes the events that wait.
func (r *trial) drain() {
	for len(r.events.C()) > 0 {
		r.seen = append(r.seen, <-r.events.C())
	}
}

// begin forgets what came before.
func (r *trial) begin() {
	r.drain()
	r.seen = nil
}

// count gives the events of a kind since the row began.
func (r *trial) count(k power.EventKind) (n int) {
	r.drain()
	for _, e := range r.seen {
		if e.Kind == k {
			n++
		}
	}
	return n
}

func (r *trial) must(t *testing.T, what string, do func(context.Context) error) {
	t.Helper()
	if err := do(t.Context()); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func call(t *testing.T, f func(*testing.T)) {
	t.Helper()
	if f != nil {
		f(t)
	}
}

// on gives power to a VM that has none.
func (r *trial) on(t *testing.T) {
	t.Helper()
	r.must(t, "start", r.Driver.Start)
	if r.Driver.State() == power.Prelaunch {
		r.must(t, "cont", r.Driver.Cont)
	}
	r.untilState(t, power.Running)
	call(t, r.Boot)
}

func (r *trial) offWhenOff(t *testing.T) {
	r.until(t, "off", r.off)
	r.must(t, "kill", r.Driver.Kill)
	if !r.off() {
		t.Errorf("the VM is %v", r.Driver.State())
	}
	if r.Driver.State() != power.Off {
		return // a QEMU is there, which takes commands
	}
	for name, do := range map[string]func(context.Context) error{
		"reset": r.Driver.Reset, "nmi": r.Driver.NMI, "power button": r.Driver.PowerDown, "cont": r.Driver.Cont,
	} {
		if err := do(t.Context()); !errors.Is(err, power.ErrNotRunning) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func (r *trial) onWhenOn(t *testing.T) {
	if err := r.Driver.Start(t.Context()); !errors.Is(err, power.ErrRunning) {
		t.Errorf("start: %v", err)
	}
	r.must(t, "cont", r.Driver.Cont)
	if s := r.Driver.State(); s != power.Running || r.Driver.VMTimePaused() {
		t.Errorf("the VM is %v", s)
	}
}

func (r *trial) cycle(t *testing.T) {
	r.must(t, "kill", r.Driver.Kill)
	r.until(t, "off", r.off)
	r.on(t)
}

// reset counts: the firmware's own second reset is none.
func (r *trial) reset(t *testing.T) {
	r.begin()
	r.must(t, "reset", r.Driver.Reset)
	r.until(t, "reset", func() bool { return r.count(power.EventReset) > 0 })
	call(t, r.Boot)
	if n := r.count(power.EventReset); n != 1 || r.Driver.State() != power.Running {
		t.Errorf("%d resets, and the VM is %v: %+v", n, r.Driver.State(), r.seen)
	}
}

func (r *trial) nmi(t *testing.T) {
	r.must(t, "nmi", r.Driver.NMI)
	call(t, r.Interrupted)
}

func (r *trial) pause(t *testing.T) {
	r.Pause(t)
	r.untilState(t, power.Paused)
	if !r.Driver.VMTimePaused() {
		t.Error("the VM's time goes on")
	}
	r.must(t, "cont", r.Driver.Cont)
	r.untilState(t, power.Running)
}

func (r *trial) reboot(t *testing.T) {
	r.begin()
	r.Reboot(t)
	r.until(t, "reboot", func() bool { return r.count(power.EventReset) > 0 })
	call(t, r.Boot)
	if n := r.count(power.EventReset); n != 1 || r.Driver.State() != power.Running {
		t.Errorf("%d resets, and the VM is %v: %+v", n, r.Driver.State(), r.seen)
	}
	for _, e := range r.seen {
		if e.Kind == power.EventReset && !e.Guest {
			t.Errorf("whose reset was it? %+v", e)
		}
	}
}

func (r *trial) soft(t *testing.T) {
	r.begin()
	r.must(t, "power button", r.Driver.PowerDown)
	r.until(t, "power button", func() bool { return r.count(power.EventPowerDown) > 0 })
	call(t, r.Obey)
	r.goneByGuest(t)
	r.on(t)
}

func (r *trial) poweroff(t *testing.T) {
	r.begin()
	r.Poweroff(t)
	r.goneByGuest(t)
	r.on(t)
}

// goneByGuest waits until the VM is off, which its guest must have done.
func (r *trial) goneByGuest(t *testing.T) {
	t.Helper()
	r.until(t, "off", r.off)
	r.drain()
	for _, e := range r.seen {
		if e.Kind == power.EventShutdown && e.Guest {
			return
		}
	}
	if !r.Blind {
		t.Errorf("whose doing was it? %+v", r.seen)
	}
}

func (r *trial) crash(t *testing.T) {
	r.Crash(t)
	switch {
	case r.Lost:
		r.untilState(t, power.Absent)
		if err := r.Driver.Start(t.Context()); !errors.Is(err, power.ErrNotRunning) {
			t.Errorf("start: %v", err)
		}
		return
	case r.Blind:
		r.untilState(t, power.Off)
	default:
		r.untilState(t, power.Crashed)
	}
	r.on(t)
}
