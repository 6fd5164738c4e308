package power

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// config describes a VM whose QEMU is this test binary.
func config(t *testing.T, how string) MachineConfig {
	t.Helper()
	t.Setenv(fakeQEMU, how)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // or each fake takes a second to end under -race
	dir := shortDir(t)
	return MachineConfig{Dir: dir, Spec: Spec{
		Name: "blade1", UUID: "6a0c7f0e-5f6f-4a4e-9a53-0000000000aa", Binary: os.Args[0],
		QMPSocket: filepath.Join(dir, "qmp"), VMSocket: VMSocket{Path: filepath.Join(dir, "vm")},
	}}
}

func machine(t *testing.T, cfg MachineConfig) *Machine {
	t.Helper()
	m, err := NewMachine(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if m.ctx.Err() == nil {
			check(t, m.Kill(context.Background()))
		}
		m.Close()
	})
	return m
}

func TestMachineLife(t *testing.T) {
	m := machine(t, config(t, "run"))
	events := m.Subscribe(16)
	if m.State() != Off || m.PID() != 0 {
		t.Fatalf("new machine: %v, pid %d", m.State(), m.PID())
	}
	if err := m.Adopt(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("Adopt of nothing: %v", err)
	}
	for range 2 {
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if m.State() != Prelaunch || m.PID() == 0 {
			t.Errorf("started: %v, pid %d", m.State(), m.PID())
		}
		if err := m.Start(t.Context()); !errors.Is(err, ErrRunning) {
			t.Errorf("second Start: %v", err)
		}
		check(t, m.Cont(t.Context()))
		await(t, events, EventResume)
		check(t, m.Kill(t.Context()))
		if e := await(t, events, EventExited); e.State != Off || e.Exit != (Exit{Known: true}) {
			t.Errorf("exited: %+v", e)
		}
	}
	if _, err := os.Stat(m.identityPath()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("identity stays after the end: %v", err)
	}
	if err := m.Reset(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Reset: %v", err)
	}
}

func TestMachineCrash(t *testing.T) {
	m := machine(t, config(t, "run"))
	events := m.Subscribe(16)
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	syscall.Kill(m.PID(), syscall.SIGSEGV)
	e := await(t, events, EventExited)
	if e.State != Crashed || !e.Exit.Known || e.Exit.Signal == 0 && e.Exit.Code == 0 {
		t.Errorf("exited: %+v (%s)", e, e.Exit)
	}
}

func TestMachineOutlivesItsOwner(t *testing.T) {
	cfg := config(t, "run")
	first := machine(t, cfg)
	if err := first.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := NewMachine(cfg); !errors.Is(err, ErrInUse) {
		t.Errorf("second owner: %v", err)
	}
	pid := first.PID()
	first.Close()
	for _, how := range []string{"with its identity", "by its monitor alone"} {
		if how == "by its monitor alone" {
			check(t, os.Remove(first.identityPath()))
		}
		m := machine(t, cfg)
		if err := m.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "is taken") {
			t.Errorf("Start beside a living QEMU: %v", err)
		}
		if err := m.Adopt(t.Context()); err != nil || m.PID() != pid || m.State() != Prelaunch {
			t.Errorf("adopt %s: pid %d (want %d), %v, %v", how, m.PID(), pid, m.State(), err)
		}
		m.Close()
	}
	last := machine(t, cfg)
	check(t, last.Adopt(t.Context()))
	events := last.Subscribe(4)
	check(t, last.Kill(t.Context()))
	if e := await(t, events, EventExited); e.State != Off {
		t.Errorf("exited: %+v", e)
	}
	if err := last.Adopt(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Adopt after the end: %v", err)
	}
}

// A QEMU that is stopped answers nobody, but must still be killable by the next owner.
func TestStoppedOrphanCanBeKilled(t *testing.T) {
	cfg := config(t, "run")
	first := machine(t, cfg)
	if err := first.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	pid := first.PID()
	syscall.Kill(pid, syscall.SIGSTOP)
	awaitStopped(t, pid)
	first.Close()
	m := machine(t, cfg)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := m.Adopt(ctx); err == nil || errors.Is(err, ErrNotRunning) {
		t.Errorf("Adopt of a stopped QEMU: %v", err)
	}
	check(t, m.Kill(t.Context()))
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d: %v", pid, err)
	}
}

// awaitStopped waits until each thread of a process stands still; the signal
// may be back before that.
func awaitStopped(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		stopped := 0
		for _, f := range files {
			text, _ := os.ReadFile(f)
			if _, after, _ := strings.Cut(string(text), ") "); strings.HasPrefix(after, "T") {
				stopped++
			}
		}
		if stopped > 0 && stopped == len(files) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d does not stop", pid)
		}
	}
}

// After a reboot of the host, or when the pid came round again, the saved identity names a stranger.
func TestStrangerWithTheSamePidIsLeftAlone(t *testing.T) {
	cfg := config(t, "run")
	m := machine(t, cfg)
	id, err := identify(os.Getpid(), cfg.Spec.UUID)
	if err != nil {
		t.Fatal(err)
	}
	id.Start++
	check(t, id.save(m.identityPath()))
	if err := m.Adopt(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Adopt: %v", err)
	}
	check(t, m.Kill(t.Context())) // would end this test, were it to believe the file
}

func TestStartErrorsAreClear(t *testing.T) {
	for _, tt := range []struct {
		name, how, want string
		change          func(*testing.T, *Spec)
	}{
		{"QEMU refuses", "-kernel: bad image", "-kernel: bad image", func(*testing.T, *Spec) {}},
		{
			"no kernel", "run", "kernel of VM \"blade1\" cannot be read: open /none/vmlinuz: no such file",
			func(_ *testing.T, s *Spec) { s.Kernel = "/none/vmlinuz" },
		},
		{"no QEMU", "run", "cannot run /none/qemu", func(_ *testing.T, s *Spec) { s.Binary = "/none/qemu" }},
		{
			"no package", "run", "qemu-system-x86_64 is not installed: apt install qemu-system-x86",
			func(t *testing.T, s *Spec) { t.Setenv("PATH", "/none"); s.Binary = "" },
		},
		{"no qemu-img", "run", "qemu-img is not installed: apt install qemu-utils", func(t *testing.T, s *Spec) {
			t.Setenv("PATH", "/none")
			s.Disk = Disk{Base: os.Args[0], Overlay: "/none/overlay", Format: "raw"}
		}},
		{"long path", "run", "Unix sockets allow 107", func(_ *testing.T, s *Spec) { s.AgentSocket = "/" + strings.Repeat("x", 120) }},
		{"taken path", "run", "no socket", func(_ *testing.T, s *Spec) { s.ConsoleSocket = os.Args[0] }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config(t, tt.how)
			tt.change(t, &cfg.Spec)
			m := machine(t, cfg)
			if err := m.Start(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want %q", err, tt.want)
			}
			if m.State() != Off || m.PID() != 0 {
				t.Errorf("state %v, pid %d", m.State(), m.PID())
			}
		})
	}
}

func TestParse(t *testing.T) {
	if n, err := parseStartTicks("12 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20"); n != 777 || err != nil {
		t.Errorf("start ticks %d, %v", n, err)
	}
	for _, bad := range []string{"", "12 (a", "12 (a) S 1", "1 (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x"} {
		if _, err := parseStartTicks(bad); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
	if v, err := parseVersion("QEMU emulator version 10.0.13 (Debian)\n"); v.String() != "10.0.13" || err != nil {
		t.Errorf("version %v, %v", v, err)
	}
	if _, err := parseVersion("bash: not found"); err == nil {
		t.Error("no version accepted")
	}
}
