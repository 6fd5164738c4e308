package power

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestArgsOfBootDevices(t *testing.T) {
	for _, tt := range []struct {
		boot Boot
		want string
	}{
		{Boot{}, "-kernel"},
		{Boot{Once: true}, "-kernel"},
		{Boot{Order: "n", Once: true}, "-boot once=n"},
		{Boot{Order: "d"}, "-boot order=d"},
	} {
		s := blade(KCS)
		s.Boot = tt.boot
		argv, err := Args(s)
		if err != nil {
			t.Fatal(err)
		}
		line := strings.Join(argv, " ")
		if !strings.Contains(line, tt.want) || strings.Contains(line, "-kernel") == strings.Contains(line, "-boot") {
			t.Errorf("%+v: %s", tt.boot, line)
		}
	}
}

// What the next process boots is on its command line, and of a living one the
// monitor is told, unless a kernel is in the way.
func TestMachineBoots(t *testing.T) {
	cfg := config(t, "run")
	m := machine(t, cfg)
	if err := m.Reorder(t.Context(), "n"); !errors.Is(err, ErrNotRunning) {
		t.Errorf("without a process: %v", err)
	}
	m.BootNext(Boot{Order: "n", Once: true})
	check(t, m.Start(t.Context()))
	if line := commandLine(t, m); !slices.Contains(line, "once=n") {
		t.Errorf("command line %q", line)
	}
	check(t, m.Reorder(t.Context(), "d"))
	check(t, m.Reorder(t.Context(), ""))
	if err := m.Reorder(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "invalid") {
		t.Errorf("order x: %v", err)
	}
}

func TestMachineWithKernelBoots(t *testing.T) {
	cfg := config(t, "run")
	cfg.Spec.Kernel = filepath.Join(cfg.Dir, "vmlinuz")
	check(t, os.WriteFile(cfg.Spec.Kernel, nil, 0o600))
	m := machine(t, cfg)
	if err := m.Reorder(t.Context(), "n"); !errors.Is(err, ErrNotRunning) {
		t.Errorf("without a process: %v", err)
	}
	check(t, m.Start(t.Context()))
	check(t, m.Reorder(t.Context(), "")) // it does
	if err := m.Reorder(t.Context(), "n"); !errors.Is(err, ErrFixedBoot) {
		t.Errorf("network in front of its kernel: %v", err)
	}
	check(t, m.Kill(t.Context()))
	m.BootNext(Boot{Order: "n"})
	check(t, m.Start(t.Context()))
	check(t, m.Reorder(t.Context(), "d"))
	if err := m.Reorder(t.Context(), ""); !errors.Is(err, ErrFixedBoot) {
		t.Errorf("a kernel for a process without: %v", err)
	}
}

func commandLine(t *testing.T, m *Machine) []string {
	t.Helper()
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", m.PID()))
	check(t, err)
	return strings.Split(string(line), "\x00")
}
