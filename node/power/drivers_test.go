package power_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/power/powertest"
	"github.com/midplane-project/midplane/node/power/qmp/qmptest"
)

// A stopper is a driver over QMP, which can pause its VM.
type stopper interface {
	power.Driver
	Stop(context.Context) error
}

func pause(d stopper) func(*testing.T) {
	return func(t *testing.T) {
		if err := d.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// quiesce waits until a driver has seen all that its fake QEMU has said.
func quiesce(d stopper) func(*testing.T) {
	return func(t *testing.T) {
		events := d.Subscribe(256)
		defer events.Cancel()
		pause(d)(t)
		if err := d.Cont(t.Context()); err != nil {
			t.Fatal(err)
		}
		for e := range events.C() {
			if e.Kind == power.EventResume {
				return
			}
		}
	}
}

func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "drv") // short, for the sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// The fake that other packages test with does what the drivers do.
func TestFakeVM(t *testing.T) {
	v := powertest.New()
	defer v.Close()
	powertest.Bench{
		Driver: v, Pause: pause(v),
		Poweroff: func(*testing.T) { v.GuestPoweroff() },
		Reboot:   func(*testing.T) { v.GuestReboot() },
		Crash:    func(*testing.T) { v.Crash(power.Exit{Known: true, Signal: syscall.SIGSEGV}) },
	}.Try(t)
}

func TestMachine(t *testing.T) {
	t.Setenv("POWER_TEST_FAKE_QEMU", "run")
	t.Setenv("GORACE", "atexit_sleep_ms=0") // or the fake takes a second to end under -race
	dir := tempDir(t)
	m, err := power.NewMachine(power.MachineConfig{Dir: dir, Spec: power.Spec{
		Name: "blade1", UUID: "6a0c7f0e-5f6f-4a4e-9a53-0000000000ab", Binary: os.Args[0],
		QMPSocket: filepath.Join(dir, "qmp"), VMSocket: power.VMSocket{Path: filepath.Join(dir, "vm")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	defer func() { _ = m.Kill(context.Background()) }()
	send := func(s syscall.Signal) func(*testing.T) {
		return func(t *testing.T) {
			if err := syscall.Kill(m.PID(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	powertest.Bench{
		Driver: m, Boot: quiesce(m), Pause: pause(m),
		Poweroff: send(syscall.SIGUSR1), Reboot: send(syscall.SIGUSR2), Crash: send(syscall.SIGKILL),
	}.Try(t)
}

func TestAttached(t *testing.T) {
	path := filepath.Join(tempDir(t), "qmp")
	s := qmptest.StartAt(t, path)
	s.Guest()
	a := power.Attach(path, qmptest.DefaultUUID, nil)
	defer a.Close()
	powertest.Bench{
		Driver: a, Boot: quiesce(a), Pause: pause(a), Lost: true,
		Poweroff: func(*testing.T) { s.GuestPoweroff() },
		Reboot:   func(*testing.T) { s.GuestReboot() },
		Interrupted: func(t *testing.T) {
			if !slices.Contains(s.Calls(), "inject-nmi") {
				t.Errorf("calls %q", s.Calls())
			}
		},
		Crash: func(*testing.T) { s.Close() },
	}.Try(t)
	if !slices.Contains(s.Calls(), "set-action") {
		t.Error("QEMU was not told to keep its memory")
	}
}

// script is a hook whose VM is a file. What it is called for and with is in the log.
const script = `#!/bin/sh
set -eu
dir=$1 what=$2
test "$MIDPLANE_SLOT $MIDPLANE_NAME $MIDPLANE_UUID" = "3 blade3 some-uuid"
case $what in
status) test -e "$dir/vm" || exit 1; exit 0 ;;
on) touch "$dir/vm" ;;
off|soft) rm "$dir/vm" ;;
esac
echo "$what" >>"$dir/log"
`

func hookConfig(t *testing.T, dir string) power.HookConfig {
	t.Helper()
	path := filepath.Join(dir, "hook")
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	argv := func(what string) []string { return []string{path, dir, what} }
	return power.HookConfig{
		On: argv("on"), Off: argv("off"), Status: argv("status"),
		Reset: argv("reset"), Cycle: argv("cycle"), NMI: argv("nmi"), Soft: argv("soft"),
	}
}

var blade3 = power.Target{Slot: 3, Name: "blade3", UUID: "some-uuid"}

func TestHook(t *testing.T) {
	dir := tempDir(t)
	h := power.NewHookEvery(hookConfig(t, dir), blade3, nil, time.Millisecond)
	defer h.Close()
	vanish := func(t *testing.T) {
		if err := os.Remove(filepath.Join(dir, "vm")); err != nil {
			t.Fatal(err)
		}
	}
	powertest.Bench{Driver: h, Poweroff: vanish, Crash: vanish, Blind: true}.Try(t)
	if err := h.Cycle(t.Context()); err != nil {
		t.Error(err)
	}
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	if got := strings.Fields(string(log)); !slices.Equal(got, strings.Fields("on off on reset nmi soft on on on cycle")) {
		t.Errorf("called for %v", got)
	}
}
