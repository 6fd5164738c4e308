package power

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// hooked is a hook of shell lines, which looks for the state only after what it has done.
func hooked(t *testing.T, cfg HookConfig) (*Hook, *bytes.Buffer) {
	t.Helper()
	var logged bytes.Buffer
	h := newHook(cfg, Target{}, slog.New(slog.NewTextHandler(&logged, nil)), time.Hour)
	t.Cleanup(func() { check(t, h.Close()) })
	return h, &logged
}

func sh(line string) []string { return []string{"/bin/sh", "-c", line} }

func TestHookFailures(t *testing.T) {
	h, logged := hooked(t, HookConfig{On: sh("echo no power here; exit 7"), Off: []string{"/nonexistent"}, Status: sh("exit 9")})
	if err := h.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "no power here") {
		t.Errorf("on: %v", err)
	}
	if err := h.Kill(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("off: %v", err)
	}
	if h.State() != Unknown || h.VMTimePaused() {
		t.Errorf("state %v", h.State())
	}
	check(t, h.Close())
	if !strings.Contains(logged.String(), "no power here") {
		t.Errorf("log:\n%s", logged)
	}
}

func TestHookWithoutMeans(t *testing.T) {
	h, _ := hooked(t, HookConfig{On: sh(""), Off: sh(""), Status: sh("exit 0")})
	if err := h.Kill(t.Context()); err != nil || h.State() != Running {
		t.Fatalf("%v, %v", h.State(), err)
	}
	for name, do := range map[string]func(context.Context) error{
		"reset": h.Reset, "nmi": h.NMI, "soft": h.PowerDown, "cycle": h.Cycle,
	} {
		if err := do(t.Context()); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A program that hangs ends with what it started; one that leaves a VM behind has done its work.
func TestHookTimeLimit(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	h, _ := hooked(t, HookConfig{On: sh("sleep 1000 & echo $! >" + pid + "; wait"), Off: sh("sleep 1000 & echo $! >" + pid), Status: sh("exit 1")})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for ctx.Err() == nil {
			if text, err := os.ReadFile(pid); err == nil && len(text) > 1 {
				cancel()
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if err := h.Start(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("on: %v", err)
	}
	text, err := os.ReadFile(pid)
	check(t, err)
	awaitEnd(t, strings.TrimSpace(string(text)))

	if code, err := h.run(t.Context(), "off", h.cfg.Off); code != 0 || err != nil {
		t.Errorf("off: %d, %v", code, err)
	}
	text, err = os.ReadFile(pid)
	check(t, err)
	left := strings.TrimSpace(string(text))
	if _, err := os.Stat("/proc/" + left); err != nil {
		t.Errorf("what it left behind was ended: %v", err)
	}
	check(t, run(t, "kill", left))
}

func run(t *testing.T, argv ...string) error {
	t.Helper()
	_, err := (&Hook{ctx: t.Context(), tracker: tracker{log: slog.New(slog.DiscardHandler)}}).run(t.Context(), "test", argv)
	return err
}

// awaitEnd waits until a process is gone or a zombie.
func awaitEnd(t *testing.T, pid string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %s goes on", pid)
		}
	}
}

func TestTailKeepsTheLast(t *testing.T) {
	var a tail
	for _, p := range []string{strings.Repeat("x", 3*hookOutput), "end"} {
		if n, err := a.Write([]byte(p)); n != len(p) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if len(a.kept) != hookOutput || !strings.HasSuffix(string(a.kept), "xend") {
		t.Errorf("%d bytes kept", len(a.kept))
	}
}

func TestExternalCheck(t *testing.T) {
	argv := []string{"/bin/true"}
	for _, c := range []struct {
		x    External
		want string
	}{
		{External{QMP: "unix:/run/qmp"}, ""},
		{External{Hook: &HookConfig{On: argv, Off: argv, Status: argv}}, ""},
		{External{Libvirt: &LibvirtConfig{URI: "qemu:///system", Domain: "a"}}, ""},
		{External{Libvirt: &LibvirtConfig{URI: "qemu:///session?socket=/s", Domain: "a"}}, ""},
		{External{}, "one of"},
		{External{QMP: "unix:/run/qmp", Hook: &HookConfig{}}, "one of"},
		{External{QMP: "/run/qmp"}, "unix:PATH"},
		{External{QMP: "unix:"}, "unix:PATH"},
		{External{QMP: "unix:/" + strings.Repeat("x", 200)}, "Unix sockets allow"},
		{External{Hook: &HookConfig{Off: argv, Status: argv}}, "hook.on"},
		{External{Hook: &HookConfig{On: argv, Status: argv}}, "hook.off"},
		{External{Hook: &HookConfig{On: argv, Off: argv}}, "hook.status"},
		{External{Hook: &HookConfig{On: argv, Off: argv, Status: argv, NMI: []string{""}}}, "hook.nmi"},
		{External{Libvirt: &LibvirtConfig{URI: "qemu:///system"}}, "libvirt.domain"},
		{External{Libvirt: &LibvirtConfig{URI: "qemu+ssh://h/system", Domain: "a"}}, "libvirt.uri"},
		{External{Libvirt: &LibvirtConfig{URI: "xen:///system", Domain: "a"}}, "libvirt.uri"},
		{External{Libvirt: &LibvirtConfig{URI: "%", Domain: "a"}}, "libvirt.uri"},
	} {
		if err := c.x.Check(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.x, err, c.want)
		}
	}
}
