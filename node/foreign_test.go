package node

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/power/powertest"
	"github.com/midplane-project/midplane/node/vm"
)

// inForeign is inRig for a VM that others may start too. With logged, what the
// host says is there.
func inForeign(t *testing.T, s power.State, on bool, f func(t *testing.T, r *rig, logged *strings.Builder)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var logged strings.Builder
		r := &rig{vm: powertest.New()}
		r.vm.SetState(s)
		r.door = &fakeDoor{vm: r.vm}
		r.host = newHost(r.vm.Foreign(), t.TempDir(), on, func(on bool) error { r.stored = append(r.stored, on); return nil },
			slog.New(slog.NewTextHandler(&logged, nil)))
		r.host.door = r.door
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.run(ctx) }()
		synctest.Wait()
		f(t, r, &logged)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A node that starts, or whose VM crashes, leaves a foreign VM as it is.
func TestForeignIsTakenAsItIs(t *testing.T) {
	for _, c := range []struct {
		state  power.State
		wanted bool
		want   bool
	}{
		{power.Off, true, false},
		{power.Off, false, false},
		{power.Running, false, true},
		{power.Paused, false, true},
		{power.Crashed, true, false},
		{power.Absent, true, true}, // nothing is known of its next life
	} {
		inForeign(t, c.state, c.wanted, func(t *testing.T, r *rig, _ *strings.Builder) {
			time.Sleep(time.Hour)
			r.want(t, c.state)
			if calls := r.vm.Calls(); len(calls) > 0 || r.wants() != c.want {
				t.Errorf("%v, wanted %v: did %v, wants %v", c.state, c.wanted, calls, r.wants())
			}
		})
	}
	inForeign(t, power.Running, true, func(t *testing.T, r *rig, _ *strings.Builder) {
		r.vm.Crash(power.Exit{})
		time.Sleep(time.Hour)
		r.want(t, power.Crashed)
		if len(r.vm.Calls()) > 0 || r.wants() || r.life.faults() != statusPowerFault {
			t.Errorf("after a crash: %v, faults %#x", r.vm.Calls(), r.life.faults())
		}
		if err := r.PowerOn(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.want(t, power.Running, "Kill", "Start", "Cont")
		if f := r.life.faults(); f != 0 {
			t.Errorf("faults %#x", f)
		}
	})
}

func TestForeignPower(t *testing.T) {
	inForeign(t, power.Off, false, func(t *testing.T, r *rig, _ *strings.Builder) {
		for range 2 {
			if err := r.PowerOn(t.Context()); err != nil || !r.On() {
				t.Fatalf("on: %v", err)
			}
		}
		r.want(t, power.Running, "Start", "Cont")
		if err := r.Cycle(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(cyclePause / 2)
		r.want(t, power.Off)
		time.Sleep(cyclePause)
		r.want(t, power.Running, "Start", "Cont", "Kill", "Start", "Cont")
		r.managed = true
		if err := r.PowerOff(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.want(t, power.Off)
		if slices.Contains(r.door.commands, vm.CommandPowerOff) {
			t.Error("the VM protocol ended a VM that somebody manages")
		}
	})
}

// Off and at once on again ends on.
func TestForeignOffAndOn(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		inForeign(t, power.Running, true, func(t *testing.T, r *rig, _ *strings.Builder) {
			time.Sleep(time.Hour)
			r.door.deaf = deaf
			if err := errors.Join(r.PowerOff(t.Context()), r.PowerOn(t.Context())); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * offWithin)
			r.want(t, power.Running)
			if n := r.starts(); n != 1 || !r.wants() {
				t.Errorf("deaf %v: %d starts, wants %v", deaf, n, r.wants())
			}
		})
	}
}

// What the driver cannot do at once is D5h and in the log; what takes long is
// under way, and until then the next one is told to come back.
func TestForeignThatFails(t *testing.T) {
	inForeign(t, power.Off, false, func(t *testing.T, r *rig, logged *strings.Builder) {
		r.vm.Fail("Start", errors.New("no such domain"))
		if err := r.PowerOn(t.Context()); ipmb.CodeOf(err) != ipmb.ErrState || r.life.faults() != statusControlFault || !strings.Contains(logged.String(), "no such domain") {
			t.Errorf("%v; log:\n%s", err, logged)
		}
		time.Sleep(time.Hour)
		if n := r.starts(); n != 1 || r.wants() {
			t.Errorf("%d starts, wants %v", n, r.wants())
		}
		slow := func(context.Context, *keeper) error { time.Sleep(time.Minute); return nil }
		if err := r.attempt(t.Context(), "wait", slow); err != nil {
			t.Errorf("slow: %v", err)
		}
		if err := r.PowerOn(t.Context()); ipmb.CodeOf(err) != ipmb.ErrBusy {
			t.Errorf("behind a slow one: %v", err)
		}
	})
	inForeign(t, power.Absent, true, func(t *testing.T, r *rig, logged *strings.Builder) {
		if err := r.PowerOn(t.Context()); !errors.Is(err, ErrNoVM) || !strings.Contains(logged.String(), "refused") {
			t.Errorf("on without a process: %v; log:\n%s", err, logged)
		}
	})
	inForeign(t, power.Running, true, func(t *testing.T, r *rig, _ *strings.Builder) {
		r.managed = true
		r.vm.Fail("Kill", errors.New("no way"))
		if err := r.PowerOff(t.Context()); ipmb.CodeOf(err) != ipmb.ErrState || !r.On() || r.isEnding() {
			t.Errorf("off: %v", err)
		}
	})
}

// Somebody else powers the VM off and on.
func TestForeignFollows(t *testing.T) {
	inForeign(t, power.Running, true, func(t *testing.T, r *rig, _ *strings.Builder) {
		if err := r.vm.Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if r.wants() || r.On() {
			t.Error("off by another hand is not seen")
		}
		if err := errors.Join(r.vm.Start(t.Context()), r.vm.Cont(t.Context())); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		r.want(t, power.Running)
		if !r.wants() || !slices.Equal(r.stored, []bool{false, true}) {
			t.Errorf("stored %v", r.stored)
		}
	})
}

// A VM that its guest powered off, or that was, and that kept its memory.
func TestForeignThatKeepsItsMemory(t *testing.T) {
	inForeign(t, power.Prelaunch, false, func(t *testing.T, r *rig, _ *strings.Builder) {
		if r.On() {
			t.Error("a VM that waits and is not wanted is on")
		}
		if err := r.Press(t.Context(), vm.CommandReset); !errors.Is(err, ErrVMOff) {
			t.Errorf("reset: %v", err)
		}
	})
	inForeign(t, power.Prelaunch, true, func(t *testing.T, r *rig, _ *strings.Builder) {
		if !r.On() {
			t.Error("a VM that waits for its controller is off")
		}
		r.connected(t.Context())
		r.want(t, power.Running, "Cont")
	})
}

func TestGraceful(t *testing.T) {
	inRig(t, power.Off, true, func(t *testing.T, r *rig) {
		r.door.absent = true
		r.connected(t.Context())
		if err := r.Press(t.Context(), vm.CommandGracefulPower); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		r.want(t, power.Off, "Adopt", "Start", "Cont", "PowerDown")
	})
	inRig(t, power.Off, true, func(t *testing.T, r *rig) {
		r.vm.Obey(false)
		if err := r.Press(t.Context(), vm.CommandGracefulPower); err != nil {
			t.Fatal(err)
		}
		time.Sleep(gracefulWithin - time.Second)
		r.want(t, power.Running)
		time.Sleep(2 * time.Second)
		r.want(t, power.Off, "Adopt", "Start", "Cont", "Kill")
		if r.wants() {
			t.Error("it would come back")
		}
	})
	for name, overtake := range map[string]func(r *rig) error{
		"on":    func(r *rig) error { return r.PowerOn(context.Background()) },
		"reset": func(r *rig) error { return r.Press(context.Background(), vm.CommandReset) },
		"pause": func(r *rig) error { return r.vm.Stop(context.Background()) },
	} {
		inRig(t, power.Off, true, func(t *testing.T, r *rig) {
			r.vm.Obey(false)
			if err := errors.Join(r.Press(t.Context(), vm.CommandGracefulPower), overtake(r)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			if synctest.Wait(); r.vm.State() == power.Off {
				t.Errorf("overtaken by %s, and yet forced off", name)
			}
		})
	}
}

// The log says whose doing an end was.
func TestWhoPoweredOff(t *testing.T) {
	for _, c := range []struct {
		name, set, want string
		do              func(r *rig) error
	}{
		{"guest", GuestPoweroffStay, "the guest powered off by itself\"", func(r *rig) error { r.vm.GuestPoweroff(); return nil }},
		{"deactivate", GuestPoweroffDeactivate, "is to be deactivated", func(r *rig) error { r.vm.GuestPoweroff(); return nil }},
		{"button", GuestPoweroffDeactivate, "as its power button asked", func(r *rig) error {
			r.door.absent = true
			return r.Press(context.Background(), vm.CommandGracefulPower)
		}},
		{"forced", GuestPoweroffStay, "did not power off when its button was pressed", func(r *rig) error {
			r.vm.Obey(false)
			return r.Press(context.Background(), vm.CommandGracefulPower)
		}},
		{"ended", GuestPoweroffStay, "ended before its guest said", func(r *rig) error {
			r.vm.Obey(false)
			defer r.vm.Crash(power.Exit{})
			return r.Press(context.Background(), vm.CommandGracefulPower)
		}},
	} {
		inForeign(t, power.Running, true, func(t *testing.T, r *rig, logged *strings.Builder) {
			r.onGuestPoweroff = c.set
			if err := c.do(r); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			if r.On() || r.wants() || !slices.Equal(r.stored, []bool{false}) || !strings.Contains(logged.String(), c.want) {
				t.Errorf("%s: on %v, log without %q:\n%s", c.name, r.On(), c.want, logged)
			}
		})
	}
}

// Without the shelf's grant nothing but off is done, and the grant is stored.
func TestGrant(t *testing.T) {
	inRig(t, power.Off, false, func(t *testing.T, r *rig) {
		var stored []bool
		r.saveGranted = func(granted bool) error { stored = append(stored, granted); return nil }
		if err := errors.Join(r.Grant(false), r.Grant(false)); err != nil {
			t.Fatal(err)
		}
		if err := r.PowerOn(t.Context()); !errors.Is(err, ErrNotGranted) || ipmb.CodeOf(err) != ipmb.ErrState {
			t.Errorf("on: %v", err)
		}
		r.want(t, power.Off, "Adopt")
		if err := errors.Join(r.Grant(true), r.PowerOn(t.Context())); err != nil {
			t.Fatal(err)
		}
		r.want(t, power.Running)
		if !slices.Equal(stored, []bool{false, true}) {
			t.Errorf("stored %v", stored)
		}
		r.saveGranted = func(bool) error { return errors.New("disk full") }
		if err := r.Grant(false); err == nil || !r.On() {
			t.Errorf("a grant that cannot be stored: %v", err)
		}
	})
}

// A driver that has no means for something is D5h.
func TestForeignWithoutMeans(t *testing.T) {
	inForeign(t, power.Running, true, func(t *testing.T, r *rig, logged *strings.Builder) {
		r.door.absent = true
		r.vm.Fail("NMI", power.ErrUnsupported)
		if err := r.Press(t.Context(), vm.CommandNMI); ipmb.CodeOf(err) != ipmb.ErrState || !strings.Contains(logged.String(), "no way") {
			t.Errorf("%v; log:\n%s", err, logged)
		}
	})
}
