package node

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/power/powertest"
	"github.com/midplane-project/midplane/node/vm"
)

// fakeDoor is the guest's door: power off makes the VM power itself off, reset
// makes it reset itself.
type fakeDoor struct {
	vm   *powertest.VM
	deaf bool

	mu       sync.Mutex
	absent   bool
	commands []vm.Command
	paused   bool
}

func (d *fakeDoor) Hardware(c vm.Command) error {
	d.mu.Lock()
	d.commands = append(d.commands, c)
	absent := d.absent
	d.mu.Unlock()
	if absent {
		return vm.ErrNotConnected
	}
	if c == vm.CommandPowerOff && !d.deaf && d.vm != nil {
		d.vm.GuestPoweroff()
	}
	if c == vm.CommandReset && !d.deaf && d.vm != nil {
		d.vm.GuestReboot()
	}
	return nil
}

func (d *fakeDoor) Connected() []vm.Link {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.absent {
		return nil
	}
	return []vm.Link{{ID: 1}}
}

func (d *fakeDoor) SetPaused(p bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.paused = p
}

// rig is a host with its VM, door and directory, running in virtual time.
type rig struct {
	*host
	vm     *powertest.VM
	door   *fakeDoor
	stored []bool
}

// inRig runs f with a host whose VM is in state s and should be on or not.
func inRig(t *testing.T, s power.State, on bool, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, s, on)
		defer r.live(t)()
		f(t, r)
	})
}

func newRig(t *testing.T, s power.State, on bool) *rig {
	r := &rig{vm: powertest.New()}
	r.vm.SetState(s)
	r.door = &fakeDoor{vm: r.vm}
	r.host = newHost(r.vm, t.TempDir(), on, func(on bool) error { r.stored = append(r.stored, on); return nil }, slog.New(slog.DiscardHandler))
	r.host.door = r.door
	return r
}

// live runs the host until the function that it gives is called.
func (r *rig) live(t *testing.T) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.run(ctx) }()
	synctest.Wait()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func (r *rig) want(t *testing.T, s power.State, calls ...string) {
	t.Helper()
	synctest.Wait()
	if got := r.vm.State(); got != s {
		t.Errorf("VM is %v, want %v", got, s)
	}
	if got := r.vm.Calls(); len(calls) > 0 && !slices.Equal(got, calls) {
		t.Errorf("calls %v, want %v", got, calls)
	}
}

func (r *rig) starts() (n int) {
	for _, c := range r.vm.Calls() {
		if c == "Start" {
			n++
		}
	}
	return n
}

// The VM waits for its controller's door, and runs once it is open.
func TestHostStarts(t *testing.T) {
	inRig(t, power.Off, true, func(t *testing.T, r *rig) {
		r.want(t, power.Running, "Adopt", "Start", "Cont")
	})
	synctest.Test(t, func(t *testing.T) {
		v := powertest.New()
		d := &fakeDoor{vm: v, absent: true}
		h := newHost(v, t.TempDir(), true, nil, slog.New(slog.DiscardHandler))
		h.door = d
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = h.run(ctx) }()
		synctest.Wait()
		if v.State() != power.Prelaunch {
			t.Errorf("without its controller the VM is %v", v.State())
		}
		h.connected(ctx)
		if v.State() != power.Running {
			t.Errorf("with it %v", v.State())
		}
		cancel()
		synctest.Wait()
	})
}

// tape is a console's recorder that notes where the VM is when it is
// waited for, and that never comes when it is deaf.
type tape struct {
	vm   *powertest.VM
	deaf bool
	at   []string
}

func (a *tape) Ready(ctx context.Context) error { return a.note(ctx, "ready") }
func (a *tape) Over(ctx context.Context) error  { return a.note(ctx, "over") }

func (a *tape) note(ctx context.Context, what string) error {
	a.at = append(a.at, what+" "+a.vm.State().String())
	if !a.deaf {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

// The recorder of the console is there before the VM's first word; a VM does
// not stay off for want of it.
func TestHostWaitsForTheConsole(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, power.Off, true)
			a := &tape{vm: r.vm, deaf: deaf}
			r.console = a
			defer r.live(t)()
			time.Sleep(2 * recordWithin)
			r.want(t, power.Running, "Adopt", "Start", "Cont")
			want := []string{"over " + power.Off.String(), "ready " + power.Prelaunch.String()}
			if !slices.Equal(a.at, want) {
				t.Errorf("deaf %v: waited when %q, want %q", deaf, a.at, want)
			}
		})
	}
}

func TestHostAdopts(t *testing.T) {
	inRig(t, power.Running, true, func(t *testing.T, r *rig) { r.want(t, power.Running, "Adopt") })
	inRig(t, power.Off, false, func(t *testing.T, r *rig) { r.want(t, power.Off, "Adopt") })
}

func TestGuestPoweroffStaysOff(t *testing.T) {
	inRig(t, power.Off, true, func(t *testing.T, r *rig) {
		r.vm.GuestPoweroff()
		time.Sleep(time.Hour)
		r.want(t, power.Off, "Adopt", "Start", "Cont")
		if !slices.Equal(r.stored, []bool{false}) {
			t.Errorf("stored %v", r.stored)
		}
		if err := r.PowerOn(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.want(t, power.Running)
	})
}

func TestGuestRebootGoesOn(t *testing.T) {
	inRig(t, power.Off, true, func(t *testing.T, r *rig) {
		r.vm.GuestReboot()
		time.Sleep(time.Hour)
		r.want(t, power.Running, "Adopt", "Start", "Cont")
	})
}

// A VM that crashes again and again is started after 1, 2, 4 … 60 s; one that
// ran for a while after 1 s.
func TestCrashesRestart(t *testing.T) {
	inRig(t, power.Off, true, func(t *testing.T, r *rig) {
		for i, pause := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			r.vm.Crash(power.Exit{})
			time.Sleep(pause*time.Second - time.Millisecond)
			r.want(t, power.Crashed)
			time.Sleep(time.Millisecond)
			r.want(t, power.Running)
			if n := r.starts(); n != i+2 {
				t.Fatalf("%d starts", n)
			}
		}
		time.Sleep(2 * steadyAfter)
		r.vm.Crash(power.Exit{})
		time.Sleep(restartFirst)
		r.want(t, power.Running)
	})
}

func TestStartThatFails(t *testing.T) {
	inRig(t, power.Off, false, func(t *testing.T, r *rig) {
		r.vm.Fail("Start", errors.New("no kernel"))
		if err := r.PowerOn(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second) // tried at 0, 1, 3 and 7 s
		r.want(t, power.Off, "Adopt", "Start", "Start", "Start", "Start")
		r.vm.Fail("Start", nil)
		time.Sleep(restartLast)
		r.want(t, power.Running)
	})
}

// A VM with a hold file stays down whatever happened to it, until PowerOn.
func TestHold(t *testing.T) {
	inRig(t, power.Off, true, func(t *testing.T, r *rig) {
		hold := filepath.Join(r.dir, HoldFile)
		if err := os.WriteFile(hold, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		r.vm.Crash(power.Exit{})
		time.Sleep(time.Hour)
		r.want(t, power.Crashed)
		if err := r.PowerOn(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.want(t, power.Running)
		if _, err := os.Stat(hold); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("hold file: %v", err)
		}
	})
}

func TestPowerOff(t *testing.T) {
	inRig(t, power.Off, true, func(t *testing.T, r *rig) {
		if err := r.PowerOff(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		r.want(t, power.Off, "Adopt", "Start", "Cont")
		if err := r.PowerOff(t.Context()); err != nil {
			t.Errorf("once more: %v", err)
		}
	})
}

func TestPowerOffIsForced(t *testing.T) {
	inRig(t, power.Off, true, func(t *testing.T, r *rig) {
		r.door.deaf = true
		if err := r.PowerOff(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.want(t, power.Running)
		time.Sleep(offWithin)
		r.want(t, power.Off, "Adopt", "Start", "Cont", "Kill")
	})
}

func TestPowerOffWithoutDoor(t *testing.T) {
	inRig(t, power.Off, true, func(t *testing.T, r *rig) {
		r.door.absent = true
		if err := r.PowerOff(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		r.want(t, power.Off, "Adopt", "Start", "Cont", "Kill")
	})
}

// Off and at once on again ends on, however slowly the VM obeys.
func TestOffAndOn(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		inRig(t, power.Off, true, func(t *testing.T, r *rig) {
			time.Sleep(time.Hour)
			r.door.deaf = deaf
			if err := errors.Join(r.PowerOff(t.Context()), r.PowerOn(t.Context())); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * offWithin)
			r.want(t, power.Running)
			if n := r.starts(); n != 2 {
				t.Errorf("deaf %v: %d starts", deaf, n)
			}
		})
	}
}

func TestCycle(t *testing.T) {
	inRig(t, power.Off, true, func(t *testing.T, r *rig) {
		if err := r.Cycle(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(cyclePause - time.Millisecond)
		r.want(t, power.Off)
		time.Sleep(time.Millisecond)
		r.want(t, power.Running, "Adopt", "Start", "Cont", "Kill", "Start", "Cont")
	})
	inRig(t, power.Off, false, func(t *testing.T, r *rig) {
		if err := r.Cycle(t.Context()); ipmb.CodeOf(err) != ipmb.ErrState {
			t.Errorf("of a VM that is off: %v", err)
		}
	})
}

func TestPress(t *testing.T) {
	inRig(t, power.Off, true, func(t *testing.T, r *rig) {
		r.vm.Obey(false)
		for c, method := range map[vm.Command]string{
			vm.CommandReset: "Reset", vm.CommandNMI: "NMI", vm.CommandGracefulPower: "PowerDown",
		} {
			r.door.absent = false
			before := len(r.vm.Calls())
			if err := r.Press(t.Context(), c); err != nil || len(r.vm.Calls()) != before {
				t.Errorf("%v by the door: %v, %v", c, err, r.vm.Calls())
			}
			r.door.absent = true
			if err := r.Press(t.Context(), c); err != nil || r.vm.Calls()[before] != method {
				t.Errorf("%v by QMP: %v, %v", c, err, r.vm.Calls())
			}
		}
	})
	inRig(t, power.Off, false, func(t *testing.T, r *rig) {
		if err := r.Press(t.Context(), vm.CommandReset); ipmb.CodeOf(err) != ipmb.ErrState {
			t.Errorf("of a VM that is off: %v", err)
		}
	})
}

// A VM that somebody else starts is on while it is connected.
func TestHostWithoutMachine(t *testing.T) {
	d := &fakeDoor{}
	h := newHost(nil, t.TempDir(), true, func(bool) error { return nil }, slog.New(slog.DiscardHandler))
	h.door = d
	if err := errors.Join(h.PowerOn(t.Context()), h.Press(t.Context(), vm.CommandReset), h.PowerOff(t.Context())); err != nil || !h.On() {
		t.Errorf("connected: on %v, %v", h.On(), err)
	}
	if want := []vm.Command{vm.CommandReset, vm.CommandPowerOff}; !slices.Equal(d.commands, want) {
		t.Errorf("commands %v", d.commands)
	}
	if err := h.Cycle(t.Context()); !errors.Is(err, ErrNoVM) {
		t.Errorf("cycle: %v", err)
	}
	d.absent = true
	if err := h.PowerOn(t.Context()); !errors.Is(err, ErrNoVM) || h.On() {
		t.Errorf("on without a VM: %v", err)
	}
	if err := h.PowerOff(t.Context()); err != nil {
		t.Errorf("off without a VM: %v", err)
	}
	h.connected(t.Context())
}

func TestWishThatCannotBeStored(t *testing.T) {
	full := errors.New("disk full")
	h := newHost(nil, t.TempDir(), true, func(bool) error { return full }, slog.New(slog.DiscardHandler))
	h.door = &fakeDoor{}
	if err := h.PowerOff(t.Context()); !errors.Is(err, full) || !h.wants() {
		t.Errorf("off: %v", err)
	}
}

// Starts and resets of the VM are told, and its ends.
func TestHostTellsOfTheSystem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := powertest.New()
		v.SetState(power.Off)
		h := newHost(v, t.TempDir(), true, func(bool) error { return nil }, slog.New(slog.DiscardHandler))
		h.door = &fakeDoor{vm: v}
		var told []bool
		h.watch = pefWatch{system: func(on bool) { told = append(told, on) }}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- h.run(ctx) }()
		for _, step := range []struct {
			do   func()
			want []bool
		}{
			{func() {}, []bool{true}},
			{v.GuestReboot, []bool{true}},
			{v.GuestPoweroff, []bool{false}},
		} {
			step.do()
			synctest.Wait()
			if !slices.Equal(told, step.want) {
				t.Errorf("told %v, want %v", told, step.want)
			}
			told = nil
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
