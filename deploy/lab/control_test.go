package lab

import (
	"context"
	"errors"
	"maps"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/midplane-project/midplane/deploy/lab/proc"
	"github.com/midplane-project/midplane/internal/problem"
)

func TestKillStaysDownUntilStart(t *testing.T) {
	b := newBench(t, twoNodes)
	l, first := b.up()
	for what, want := range map[string]string{"leader": "shm1", "node/b": "node/b", "vm/a": "vm/a", "shm2": "shm2"} {
		if got, err := l.Kill(t.Context(), what); err != nil || got != want {
			t.Fatalf("kill %s: %s, %v", what, got, err)
		}
		if now := b.pids(l); now[want] != 0 {
			t.Errorf("%s runs after kill", want)
		}
	}
	_, now := b.up()
	if now["shm1"]+now["shm2"]+now["node/b"]+now["vm/a"] != 0 || now["shm3"] != first["shm3"] {
		t.Errorf("up started what was killed on purpose: %v", now)
	}
	if !b.heard("○ vm/a stays down") {
		t.Error("up does not say that a VM stays down")
	}
	b.endSupervisor(l) // start sees to one
	for _, what := range []string{"shm1", "2", "vm/a", "shm2"} {
		if _, err := l.Start(t.Context(), what, b.exe, b.say); err != nil {
			t.Fatalf("start %s: %v", what, err)
		}
	}
	for name, pid := range b.pids(l) {
		if pid == 0 {
			t.Errorf("%s does not run after start", name)
		}
	}
	if _, err := l.Start(t.Context(), "shm1", b.exe, b.say); err != nil {
		t.Errorf("start of what runs: %v", err)
	}
}

func TestACrashIsNotAKill(t *testing.T) {
	b := newBench(t, small)
	l, first := b.up()
	r, _ := l.dir().Running("node/b")
	p, err := proc.Open(r.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	target, err := l.ResolveTarget("b")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Wait(t.Context(), target, UntilReady, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	first["node/b"] = b.pids(l)["node/b"]
	if now := b.pids(l); !maps.Equal(now, first) || now["node/b"] == r.PID {
		t.Errorf("from %v to %v", first, now)
	}
}

func TestStopAndResume(t *testing.T) {
	b := newBench(t, small)
	l, first := b.up()
	if _, err := l.Stop(t.Context(), "shm1"); err != nil {
		t.Fatal(err)
	}
	if err := await(t.Context(), startLimit, func(context.Context) error {
		if !proc.Stopped(first["shm1"]) {
			return errors.New("it moves")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, now := b.up(); !maps.Equal(first, now) || !b.heard("○ shm1 stands still") {
		t.Errorf("from %v to %v", first, now)
	}
	if _, err := l.Resume(t.Context(), "shm1"); err != nil {
		t.Fatal(err)
	}
	if err := await(t.Context(), startLimit, func(ctx context.Context) error {
		_, err := l.ReplicaStatus(ctx, l.ReplicaAPIs()[0])
		return err
	}); err != nil {
		t.Error(err)
	}
	if _, err := l.Stop(t.Context(), "node/a"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Down(t.Context(), b.say); err != nil || b.heard("SIGKILL") {
		t.Errorf("down with a stopped node: %v", err)
	}
}

func TestWhatCannotBeKilled(t *testing.T) {
	b := newBench(t, small)
	l, _ := b.up()
	for what, want := range map[string]problem.Code{
		"vm/b": problem.Refused, "shm9": problem.NotFound, "node/c": problem.NotFound, "disk/a": problem.Usage, "shelf": problem.NotFound,
	} {
		if _, err := l.Kill(t.Context(), what); problemCode(err) != want {
			t.Errorf("kill %s: %v, want code %d", what, err, want)
		}
	}
	if _, err := l.Start(t.Context(), "leader", b.exe, b.say); problemCode(err) != problem.Usage {
		t.Errorf("start leader: %v", err)
	}
	if _, err := l.Down(t.Context(), b.say); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Kill(t.Context(), "shm1"); problemCode(err) != problem.NotFound {
		t.Errorf("kill of what does not run: %v", err)
	}
	if _, err := l.Kill(t.Context(), "leader"); problemCode(err) != problem.Unavailable {
		t.Errorf("kill leader of a shelf that is down: %v", err)
	}
	if _, err := l.Start(t.Context(), "shm1", b.exe, b.say); problemCode(err) != problem.NotFound {
		t.Errorf("start in a shelf that is down: %v", err)
	}
}

func TestWait(t *testing.T) {
	b := newBench(t, small)
	l, _ := b.up()
	shelf, a := mustTarget(t, l, "shelf"), mustTarget(t, l, "a")
	for _, tt := range []struct {
		target    Target
		condition string
		want      problem.Code
	}{
		{shelf, UntilReady, problem.OK},
		{shelf, UntilLeader, problem.OK},
		{a, UntilReady, problem.OK},
		{a, UntilPowerOn, problem.OK},
		{a, UntilPowerOff, problem.Timeout},
		{a, UntilLeader, problem.Usage},
		{a, "rain", problem.Usage},
		{shelf, UntilPowerOn, problem.Usage},
		{mustTarget(t, l, "0x90"), UntilReady, problem.NotFound},
	} {
		limit := 30 * time.Second
		if tt.want == problem.Timeout {
			limit = 2 * pollEvery
		}
		if err := l.Wait(t.Context(), tt.target, tt.condition, limit); problemCode(err) != tt.want {
			t.Errorf("wait %s for %s: %v, want code %d", tt.target, tt.condition, err, tt.want)
		}
	}
}

func mustTarget(t *testing.T, l *Lab, s string) Target {
	t.Helper()
	target, err := l.ResolveTarget(s)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func TestLogs(t *testing.T) {
	b := newBench(t, small)
	l, _ := b.up()
	for target, want := range map[string]string{
		"": "supervisor shm1 node/a node/b front", "shelf": "shm1", "a": "node/a", "0x84": "node/b",
		"shm1": "shm1", "node/b": "node/b", "vm/a": "vm/a", "supervisor": "supervisor",
	} {
		files, err := l.Logs(target)
		var names []string
		for _, f := range files {
			names = append(names, f.Name)
		}
		if got := strings.Join(names, " "); err != nil || got != want {
			t.Errorf("logs %s: %s, %v; want %s", target, got, err, want)
		}
	}
	if _, err := l.Consoles("b"); problemCode(err) != problem.NotFound {
		t.Errorf("console of a foreign VM: %v", err)
	}
	if files, err := l.Consoles("vm/a"); err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
}
