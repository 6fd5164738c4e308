package lab

import (
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/midplane-project/midplane/internal/problem"
)

func TestUpAndDown(t *testing.T) {
	b := newBench(t, twoNodes)
	l, first := b.up()
	for _, name := range []string{"shm1", "shm2", "shm3", "node/a", "node/b", "vm/a", "front"} {
		if first[name] == 0 {
			t.Errorf("%s does not run", name)
		}
	}
	if n := b.count(l); n != 8 {
		t.Errorf("%d processes, want 8 with the supervisor", n)
	}
	if _, again := b.up(); !maps.Equal(first, again) {
		t.Errorf("a second up changed %v to %v", first, again)
	}
	if s := l.Summary(); s.State != "up" || s.Running != 6 || s.Supervisor == 0 {
		t.Errorf("%+v", s)
	}
	creds, err := l.AdminCredentials()
	if err != nil || creds.Identity().Subject() != adminSubject {
		t.Errorf("%v, %v", creds, err)
	}

	ended, err := l.Down(t.Context(), b.say)
	if err != nil || ended != 7 {
		t.Errorf("%d ended, %v", ended, err)
	}
	if n := b.count(l); n != 0 {
		t.Errorf("%d processes are left", n)
	}
	if exists(l.RunDir) || !exists(l.StateDir) {
		t.Error("sockets stay, or state went")
	}
	if ended, err := l.Down(t.Context(), b.say); ended != 0 || err != nil {
		t.Errorf("a second down: %d, %v", ended, err)
	}
	again, _ := b.up()
	if again.Cluster != l.Cluster || again.Ports[0] != l.Ports[0] || again.VMUUID("a") != l.VMUUID("a") {
		t.Error("what is chosen once has changed")
	}
}

func TestTwoUpsAtOnce(t *testing.T) {
	b := newBench(t, twoNodes)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if _, err := Up(t.Context(), b.options()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	l, _ := b.up()
	if n := b.count(l); n != 8 {
		t.Errorf("%d processes, want 8", n)
	}
}

func TestUpConverges(t *testing.T) {
	b := newBench(t, twoNodes)
	_, first := b.up()

	t.Log("a change of one node restarts that node alone; its VM stays")
	b.write(strings.Replace(twoNodes, "slot: 1", "slot: 1\n    product: 7", 1))
	l, second := b.up()
	want := maps.Clone(first)
	want["node/a"] = second["node/a"]
	if second["node/a"] == first["node/a"] || !maps.Equal(second, want) {
		t.Errorf("from %v to %v", first, second)
	}

	t.Log("a change of a VM restarts the VM too")
	b.write(strings.Replace(twoNodes, "accel: tcg", "accel: tcg, memory: 300", 1))
	_, third := b.up()
	if third["vm/a"] == second["vm/a"] || third["vm/a"] == 0 || third["node/b"] != first["node/b"] {
		t.Errorf("from %v to %v", second, third)
	}

	t.Log("a change of all replicas restarts them one by one")
	b.heard("")
	b.write(twoNodes + "timing: lan\n")
	_, fourth := b.up()
	for _, name := range l.replicaNames() {
		if fourth[name] == third[name] {
			t.Errorf("%s was not restarted", name)
		}
	}
	if !b.heard("shm3 has changed") {
		t.Error("nothing was said")
	}

	t.Log("what is no longer there is stopped, with its VM")
	b.write(twoNodes[:strings.Index(twoNodes, "  - slot: 1")] + "  - slot: 2\n    name: b\n    qemu: none\n")
	l, last := b.up()
	if err := await(t.Context(), startLimit, func(context.Context) error {
		if n := b.count(l); n != 6 {
			return errors.New("not yet")
		}
		return nil
	}); err != nil {
		t.Errorf("%d processes, want 6: %v", b.count(l), last)
	}
}

func TestUpAdoptsWhatADeadSupervisorLeft(t *testing.T) {
	b := newBench(t, small)
	l, first := b.up()
	b.endSupervisor(l)
	if now := b.pids(l); !maps.Equal(first, now) {
		t.Errorf("the supervisor's end changed %v to %v", first, now)
	}
	if _, again := b.up(); !maps.Equal(first, again) {
		t.Errorf("from %v to %v", first, again)
	}
	if s := l.Summary(); s.Supervisor == 0 {
		t.Error("no new supervisor")
	}
}

func TestDryRunTouchesNothing(t *testing.T) {
	b := newBench(t, small)
	o := b.options()
	o.Dry = true
	l, err := Up(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if exists(l.StateDir) || exists(l.RunDir) || !b.heard("node/a         start") {
		t.Errorf("state %v, sockets %v", exists(l.StateDir), exists(l.RunDir))
	}
	b.write(small + "    lan: {allow: ['0.0.0.0/0:623']}\n")
	if _, err := Up(t.Context(), o); err != nil || !b.heard("○ shelf.yaml: nodes[1].lan.allow[0]: \"0.0.0.0/0:623\": the guest") {
		t.Errorf("no warning: %v", err)
	}
	b.write(small)
	b.up()
	b.write(strings.Replace(small, "slot: 1", "slot: 1\n    product: 7", 1))
	b.heard("")
	if _, err := Up(t.Context(), o); err != nil || !b.heard("shm1           leave\nnode/a         restart\nnode/b         leave") {
		t.Errorf("%v", err)
	}
}

func TestForeground(t *testing.T) {
	b := newBench(t, small)
	l, first := b.up()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	o := b.options()
	o.Foreground = true
	// Every replica and node is ready: then the person presses Ctrl-C.
	ready := 0
	o.Say = func(format string, args ...any) {
		b.say(format, args...)
		if strings.HasPrefix(format, "%s") {
			if ready++; ready == len(first)-1 {
				if p, err := l.dir().Supervisor(); err != nil || p.ID.PID != os.Getpid() {
					t.Errorf("the supervisor is not here: %v", err)
				} else {
					p.Close()
				}
				if now := b.pids(l); !maps.Equal(first, now) {
					t.Errorf("from %v to %v", first, now)
				}
				cancel()
			}
		}
	}
	if _, err := Up(ctx, o); err != nil || ready == 0 {
		t.Errorf("%d ready, %v\n%s", ready, err, strings.Join(b.said, "\n"))
	}
	if n := b.count(l); n != 0 {
		t.Errorf("%d processes are left", n)
	}
}

func TestATakenPort(t *testing.T) {
	b := newBench(t, small)
	l, _ := b.up()
	if _, err := l.Down(t.Context(), b.say); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", l.address(0))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, err = Up(t.Context(), b.options())
	var p *problem.Error
	if !errors.As(err, &p) || !strings.Contains(p.What, "replica shm1 cannot have port") || !strings.Contains(p.Do, "ports") || p.Where != l.address(0) {
		t.Errorf("%+v", err)
	}
}

func TestADaemonThatCannotRun(t *testing.T) {
	b := newBench(t, strings.Replace(small, "slot: 2", "slot: 2\n    profile: "+profileOfFailure, 1))
	_, err := Up(t.Context(), b.options())
	if err == nil || !strings.Contains(err.Error(), "node/b is not ready: it ends each time it starts (exit status 1): "+errFake.Error()) {
		t.Errorf("%v", err)
	}
}

func TestAStateDirectoryThatIsBroken(t *testing.T) {
	b := newBench(t, small)
	l, _ := b.up()
	if _, err := l.Down(t.Context(), b.say); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(l.NodeDir("b")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.NodeDir("b"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Up(t.Context(), b.options()); err == nil || !strings.Contains(err.Error(), l.NodeDir("b")) {
		t.Errorf("%v", err)
	}
}

func TestPurge(t *testing.T) {
	b := newBench(t, small)
	l, _ := b.up()
	asked := 0
	ask := func(answer bool) func([]string) (bool, error) {
		return func(paths []string) (bool, error) {
			asked++
			if len(paths) == 0 || paths[0] != l.StateDir {
				t.Errorf("%v", paths)
			}
			return answer, nil
		}
	}
	if done, err := l.Purge(t.Context(), ask(false), b.say); done || err != nil || !exists(l.StateDir) {
		t.Errorf("deleted against the answer: %v, %v", done, err)
	}
	if done, err := l.Purge(t.Context(), ask(true), b.say); !done || err != nil || exists(l.StateDir) {
		t.Errorf("not deleted: %v, %v", done, err)
	}
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
	if _, err := Find(""); problemCode(err) != problem.NotFound {
		t.Errorf("%v", err)
	}
}

func problemCode(err error) problem.Code {
	var p *problem.Error
	if errors.As(err, &p) {
		return p.Code
	}
	return problem.OK
}
