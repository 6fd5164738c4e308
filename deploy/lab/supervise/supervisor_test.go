package supervise

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/midplane-project/midplane/deploy/lab/proc"
)

func TestACrashedProcessStartsAgain(t *testing.T) {
	b := newBench(t)
	b.plan(b.process("node/a", "daemon", "1"))
	b.begin()
	first := b.runs("node/a", proc.ID{})
	b.signal(first.ID, syscall.SIGKILL)
	second := b.runs("node/a", first.ID)
	if second.Starts != 2 {
		t.Errorf("started %d times", second.Starts)
	}
}

func TestAProcessThatCannotRunIsTold(t *testing.T) {
	b := newBench(t)
	missing := b.process("missing", "daemon", "1")
	missing.Argv[0] = "/nowhere/midplane"
	b.plan(missing, b.process("crash", "crash", "1"))
	b.begin()
	b.until("both have failed twice", func() bool {
		m, _ := b.dir.Record("missing")
		c, _ := b.dir.Record("crash")
		return m.Crashes >= 2 && m.Exit != "" && c.Crashes >= 2 && c.Exit == "exit status 7"
	})
}

// Who is stopped, killed and started on purpose again and again does not crash.
func TestEndsOnPurposeAreNotCrashes(t *testing.T) {
	b := newBench(t)
	b.plan(b.process("shm1", "daemon", "1"))
	b.begin()
	last := b.runs("shm1", proc.ID{})
	b.signal(last.ID, syscall.SIGKILL)
	if last = b.runs("shm1", last.ID); last.Crashes != 1 {
		t.Errorf("after a crash: %+v", last)
	}
	b.plan(b.process("shm1", "daemon", "2"))
	if last = b.runs("shm1", last.ID); last.Crashes != 0 || last.Starts != 3 {
		t.Errorf("of another configuration: %+v", last)
	}
	if err := b.dir.Hold("shm1"); err != nil {
		t.Fatal(err)
	}
	b.signal(last.ID, syscall.SIGKILL)
	b.until("its end is told", func() bool { last, _ = b.dir.Record("shm1"); return last.Exit != "" })
	if last.Crashes != 0 {
		t.Errorf("killed on purpose: %+v", last)
	}
}

func TestAHeldProcessStaysDownUntilReleased(t *testing.T) {
	b := newBench(t)
	b.plan(b.process("shm1", "daemon", "1"))
	b.begin()
	first := b.runs("shm1", proc.ID{})
	if err := b.dir.Hold("shm1"); err != nil {
		t.Fatal(err)
	}
	b.looks()
	if r, ok := b.dir.Running("shm1"); !ok || r.ID != first.ID {
		t.Error("a hold ended what runs")
	}
	b.signal(first.ID, syscall.SIGKILL)
	b.until("its end is told", func() bool { r, _ := b.dir.Record("shm1"); return r.Exit == "signal SIGKILL" })
	b.looks()
	if _, ok := b.dir.Running("shm1"); ok {
		t.Error("a held process was started")
	}
	if held, err := b.dir.Release("shm1"); err != nil || !held {
		t.Errorf("release: %v, %v", held, err)
	}
	b.runs("shm1", first.ID)
	if held, err := b.dir.Release("shm1"); err != nil || held {
		t.Errorf("release of what is not held: %v, %v", held, err)
	}
}

func TestThePlanIsFollowed(t *testing.T) {
	b := newBench(t)
	b.plan(b.process("stays", "daemon", "1"), b.process("changes", "daemon", "1"), b.process("goes", "daemon", "1"))
	b.begin()
	stays, changes, goes := b.runs("stays", proc.ID{}), b.runs("changes", proc.ID{}), b.runs("goes", proc.ID{})
	// One that stands still must be able to end too.
	b.signal(goes.ID, syscall.SIGSTOP)
	b.plan(b.process("stays", "daemon", "1"), b.process("changes", "daemon", "2"), b.process("comes", "daemon", "1"))
	b.runs("changes", changes.ID)
	b.runs("comes", proc.ID{})
	b.until("goes is forgotten", func() bool { _, ok := b.dir.Record("goes"); return !ok })
	if alive(goes.ID) {
		t.Error("what is no longer planned runs")
	}
	if r, ok := b.dir.Running("stays"); !ok || r.ID != stays.ID {
		t.Error("what did not change was restarted")
	}
}

// A program that takes over is started beside its predecessor, which is not
// told to end.
func TestASuccessorTakesOver(t *testing.T) {
	b := newBench(t)
	node := func(hash string, vms ...VM) Process {
		p := b.process("node/a", "heir", hash)
		p.TakesOver, p.VMs = true, vms
		return p
	}
	b.plan(node("1"))
	b.begin()
	first := b.runs("node/a", proc.ID{})
	b.plan(node("2"))
	second := b.runs("node/a", first.ID)
	b.until("the predecessor has ended", func() bool { return !alive(first.ID) })
	b.looks()
	if r, ok := b.dir.Running("node/a"); !ok || r.ID != second.ID || r.Hash != "2" || r.Exit != "" {
		t.Errorf("runs %v: %+v, want %v", ok, r, second.ID)
	}
}

func TestABadPlanChangesNothing(t *testing.T) {
	b := newBench(t)
	b.plan(b.process("shm1", "daemon", "1"))
	b.begin()
	first := b.runs("shm1", proc.ID{})
	if err := os.WriteFile(b.dir.planPath(), []byte("{nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := b.dir.Nudge(); err != nil {
		t.Fatal(err)
	}
	b.plan(b.process("shm1", "daemon", "1"), b.process("shm2", "daemon", "1"))
	b.runs("shm2", proc.ID{})
	if r, ok := b.dir.Running("shm1"); !ok || r.ID != first.ID {
		t.Error("a plan that cannot be read ended a process")
	}
}

func TestTheNextSupervisorAdopts(t *testing.T) {
	b := newBench(t)
	b.plan(b.process("same", "daemon", "1"), b.process("changed", "daemon", "1"), b.process("gone", "daemon", "1"), b.process("died", "daemon", "1"))
	b.begin()
	same, changed := b.runs("same", proc.ID{}), b.runs("changed", proc.ID{})
	gone, died := b.runs("gone", proc.ID{}), b.runs("died", proc.ID{})
	b.end()
	for _, r := range []Record{same, changed, gone, died} {
		if !alive(r.ID) {
			t.Fatalf("%s ended with its supervisor", r.Name)
		}
	}
	b.signal(died.ID, syscall.SIGKILL)
	b.plan(b.process("same", "daemon", "1"), b.process("changed", "daemon", "2"), b.process("died", "daemon", "1"))
	b.begin()
	b.runs("changed", changed.ID)
	b.runs("died", died.ID)
	b.until("gone is stopped", func() bool { return !alive(gone.ID) })
	if r, ok := b.dir.Running("same"); !ok || r.ID != same.ID || r.Starts != 1 {
		t.Errorf("not adopted: %+v", r)
	}
	b.signal(same.ID, syscall.SIGKILL)
	b.runs("same", same.ID)
}

func TestAProcessWithoutARecordIsFound(t *testing.T) {
	b := newBench(t)
	b.plan(b.process("shm1", "daemon", "1"))
	b.begin()
	first := b.runs("shm1", proc.ID{})
	b.end()
	if err := os.Remove(b.dir.recordPath("shm1")); err != nil {
		t.Fatal(err)
	}
	b.begin()
	// Nobody knows what it read at its start: it is replaced, not doubled.
	second := b.runs("shm1", first.ID)
	b.until("the first has ended", func() bool { return !alive(first.ID) })
	ids, err := proc.Find(proc.Same(second.Argv))
	if err != nil || len(ids) != 1 || ids[0] != second.ID {
		t.Errorf("%v run, %v; want only %v", ids, err, second.ID)
	}
}

func TestThereIsOneSupervisor(t *testing.T) {
	b := newBench(t)
	if ok, err := b.dir.Nudge(); ok || err != nil {
		t.Errorf("nudged nobody: %v, %v", ok, err)
	}
	b.plan(b.process("shm1", "daemon", "1"))
	b.begin()
	b.runs("shm1", proc.ID{})
	if err := New(b.dir, nil).Run(t.Context()); !errors.Is(err, ErrRunning) {
		t.Errorf("a second supervisor: %v", err)
	}
	p, err := b.dir.Supervisor()
	if err != nil || p.ID.PID != os.Getpid() {
		t.Fatalf("%v, %v", p, err)
	}
	p.Close()
	b.end()
	if _, err := b.dir.Supervisor(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a supervisor that has ended: %v", err)
	}
}

func TestAVMEndsOnlyWhenItsCommandLineNoLongerHolds(t *testing.T) {
	b := newBench(t)
	const kept, dropped = "7d1f7d2c-0000-4000-8000-000000000001", "7d1f7d2c-0000-4000-8000-000000000002"
	keeps, drops := b.startVM(kept), b.startVM(dropped)
	node := func(hash, vmHash string) Process {
		p := b.process("node/a", "daemon", hash)
		p.VMs = []VM{{kept, "1"}, {dropped, vmHash}}
		return p
	}
	b.plan(node("1", "1"))
	b.begin()
	first := b.runs("node/a", proc.ID{})
	b.plan(node("2", "1"))
	second := b.runs("node/a", first.ID)
	for _, p := range []*proc.Process{keeps, drops} {
		if !alive(p.ID) {
			t.Fatal("a restarted node took its VM with it")
		}
	}
	b.plan(node("3", "2"))
	b.runs("node/a", second.ID)
	<-drops.Done()
	if !alive(keeps.ID) {
		t.Error("a VM that did not change ended")
	}
	b.plan()
	<-keeps.Done()
}

func TestAnotherProcessTakesTheVMOver(t *testing.T) {
	b := newBench(t)
	vm := VM{"7d1f7d2c-0000-4000-8000-000000000003", "1"}
	machine := b.startVM(vm.UUID)
	compact, node := b.process("compact", "daemon", "1"), b.process("node/a", "daemon", "1")
	compact.VMs, node.VMs = []VM{vm}, []VM{vm}
	b.plan(compact)
	b.begin()
	first := b.runs("compact", proc.ID{})
	b.plan(node)
	second := b.runs("node/a", proc.ID{})
	if alive(first.ID) {
		t.Error("both ran at the same time")
	}
	b.until("compact is forgotten", func() bool { _, ok := b.dir.Record("compact"); return !ok })
	if !alive(machine.ID) || !alive(second.ID) {
		t.Error("the VM ended with the process that had it first")
	}
}

func TestAStopEndsInSIGKILL(t *testing.T) {
	b := newBench(t)
	log := b.dir.LogPath("x")
	p, err := proc.Start(b.process("x", "ignore", "1").Argv, log)
	if err != nil {
		t.Fatal(err)
	}
	b.until("it ignores SIGTERM", func() bool { data, _ := os.ReadFile(log); return string(data) == "ready\n" })
	c := &child{name: "x", p: p}
	now := time.Now()
	for _, at := range []time.Time{now, now.Add(Grace - time.Second)} {
		if err := c.stop(at); err != nil || c.ended() {
			t.Fatalf("after %s: %v, ended %v", at.Sub(now), err, c.ended())
		}
	}
	if err := c.stop(now.Add(Grace + time.Second)); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if !c.ended() || c.rec.Exit != "signal SIGKILL" {
		t.Errorf("exit %q", c.rec.Exit)
	}
}

func TestPausesGrowAndAreForgotten(t *testing.T) {
	start := time.Now()
	c := &child{began: start}
	now := start
	for _, want := range []time.Duration{200, 400, 800, 1600, 3200, 6400, 10000, 10000} {
		c.delay(now)
		if got := c.next.Sub(now); got != want*time.Millisecond {
			t.Errorf("pause %s, want %s", got, want*time.Millisecond)
		}
		now, c.began = c.next, c.next
	}
	now = now.Add(steady + time.Second)
	c.delay(now)
	if got := c.next.Sub(now); got != pauseFirst {
		t.Errorf("pause %s after it ran well", got)
	}
}

func TestALogIsTurnedOver(t *testing.T) {
	b := newBench(t)
	s := New(b.dir, nil)
	path := b.dir.LogPath("shm1")
	w, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	write := func(n int) {
		if _, err := w.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	write(logLimit - 1)
	s.bound("shm1")
	write(1)
	s.bound("shm1")
	write(10)
	for path, want := range map[string]int64{path: 10, path + ".1": logLimit} {
		if info, err := os.Stat(path); err != nil || info.Size() != want {
			t.Errorf("%s: %v, %v, want %d bytes", path, info.Size(), err, want)
		}
	}
}

func TestANudgeNeverEndsASupervisor(t *testing.T) {
	b := newBench(t)
	b.plan(b.process("shm1", "daemon", "1"))
	for range 5 {
		b.begin()
		// As soon as it can be found it can be nudged.
		b.until("it can be found", func() bool { ok, err := b.dir.Nudge(); return ok && err == nil })
		b.runs("shm1", proc.ID{})
		b.end()
	}
}
