package power

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/midplane-project/midplane/node/power/qmp/qmptest"
)

func attached(t *testing.T) (*qmptest.Server, *Attached, *Events) {
	t.Helper()
	path := shortDir(t) + "/q"
	a := Attach(path, qmptest.DefaultUUID, nil)
	t.Cleanup(func() { a.Close() })
	events := a.Subscribe(16)
	s := qmptest.StartAt(t, path)
	if e := await(t, events, EventStarted); e.State != Prelaunch || !a.VMTimePaused() {
		t.Fatalf("started in %v", e.State)
	}
	return s, a, events
}

func TestAttachedFollowsStates(t *testing.T) {
	s, a, events := attached(t)
	// Far from the first reset, or it would count as the firmware's echo of that one.
	lateReset := func() {
		s.SetClock(time.Now().Add(time.Hour))
		s.Emit("RESET", map[string]any{"guest": true, "reason": "guest-reset"})
	}
	guest := map[string]any{"guest": true, "reason": "guest-shutdown"}
	for _, step := range []struct {
		do    func()
		kind  EventKind
		state State
	}{
		{func() { check(t, a.Cont(t.Context())) }, EventResume, Running},
		{func() { check(t, a.Stop(t.Context())) }, EventStop, Paused},
		{func() { check(t, a.Reset(t.Context())) }, EventReset, Prelaunch},
		{func() { check(t, a.Cont(t.Context())) }, EventResume, Running},
		{func() { check(t, a.PowerDown(t.Context())) }, EventPowerDown, Running},
		{func() { s.Emit("SUSPEND", nil) }, EventSuspend, Suspended},
		{func() { s.Emit("WAKEUP", nil) }, EventWakeup, Running},
		{func() { s.Emit("GUEST_PANICKED", map[string]string{"action": "run"}) }, EventPanicked, Running},
		{func() { s.Emit("SHUTDOWN", guest) }, EventShutdown, Running},
		{func() { s.Emit("STOP", nil) }, EventStop, Shutdown},
		{lateReset, EventReset, Prelaunch},
		{func() { s.Emit("RESUME", nil) }, EventResume, Running},
		{func() { s.Emit("GUEST_PANICKED", map[string]string{"action": "pause"}) }, EventPanicked, Crashed},
		{func() { s.Emit("STOP", nil) }, EventStop, Crashed},
	} {
		step.do()
		e := await(t, events, step.kind)
		if e.State != step.state || a.VMTimePaused() != (step.state != Running && step.state != Suspended) {
			t.Errorf("after %s: %v, want %v", step.kind, e.State, step.state)
		}
		if step.kind == EventShutdown && (!e.Guest || e.Reason != "guest-shutdown") {
			t.Errorf("shutdown %+v", e)
		}
	}
	check(t, a.NMI(t.Context()))
}

// What breaks under the VM is told, and where its process is.
func TestAttachedTellsOfItsParts(t *testing.T) {
	s, a, events := attached(t)
	if thread, cpus := a.Thread(); thread != os.Getpid() || cpus != 2 {
		t.Errorf("thread %d, %d processors", thread, cpus)
	}
	check(t, a.Cont(t.Context()))
	s.MemoryFailure()
	if e := await(t, events, EventMemory); e.State != Running || e.Reason != "inject" {
		t.Errorf("memory: %+v", e)
	}
	s.BreakDown()
	if e := await(t, events, EventStop); e.State != Crashed || e.Reason != InternalError {
		t.Errorf("broken down: %+v", e)
	}
	s.Drop()
	await(t, events, EventLost)
	if thread, _ := a.Thread(); thread != 0 {
		t.Errorf("lost: thread %d", thread)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func TestAttachedDialsAgain(t *testing.T) {
	s, a, events := attached(t)
	s.Drop()
	if e := await(t, events, EventLost); e.State != Unknown || Unknown.timePaused() {
		t.Errorf("lost: %v", e.State)
	}
	s.SetStatus("running")
	// The second connection may already be up with the old status; a command settles it.
	await(t, events, EventStarted)
	s.Emit("RESUME", nil)
	if e := await(t, events, EventResume); e.State != Running {
		t.Errorf("resumed: %v", e.State)
	}
	s.Close()
	await(t, events, EventLost)
	for deadline := time.Now().Add(time.Minute); a.State() != Absent; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("state is not absent without a monitor")
		}
	}
	if err := a.Reset(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Reset without a VM: %v", err)
	}
}

func TestForeignMonitorIsRefused(t *testing.T) {
	s := qmptest.Start(t)
	if c, err := dialVM(t.Context(), s.Path(), "6a0c7f0e-0000-0000-0000-000000000002"); !errors.Is(err, ErrForeign) {
		if c != nil {
			c.Close()
		}
		t.Errorf("err = %v", err)
	}
}
