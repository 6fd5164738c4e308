//go:build e2e

package power

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// realVM describes a VM without a guest: SeaBIOS finds nothing to boot and stays.
func realVM(t *testing.T, i SystemInterface) MachineConfig {
	t.Helper()
	dir := shortDir(t)
	return MachineConfig{Dir: dir, Spec: Spec{
		Name: "blade1", UUID: "6a0c7f0e-5f6f-4a4e-9a53-0000000000bb", MemoryMiB: 64,
		SystemInterface: i, SlaveAddr: 0x82,
		VMSocket:  VMSocket{Path: filepath.Join(dir, "vm"), Server: true},
		QMPSocket: filepath.Join(dir, "qmp"), AgentSocket: filepath.Join(dir, "agent"),
		ConsoleSocket: filepath.Join(dir, "console"),
	}}
}

func started(t *testing.T, cfg MachineConfig) *Machine {
	t.Helper()
	m := machine(t, cfg)
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m
}

// booted starts the VM and waits until the firmware has said its last word.
func booted(t *testing.T, cfg MachineConfig) *Machine {
	t.Helper()
	m := started(t, cfg)
	awaitFirmware(t, m, cfg)
	return m
}

func awaitFirmware(t *testing.T, m *Machine, cfg MachineConfig) {
	t.Helper()
	c := openConsole(t, ConsoleConfig{Socket: cfg.Spec.ConsoleSocket, Log: filepath.Join(t.TempDir(), "console.log")})
	check(t, c.Ready(t.Context()))
	check(t, m.Cont(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	seen := &until{mark: bootedMark, found: cancel}
	if err := c.Attach(ctx, seen, Attachment{Mode: Watch, Replay: DefaultReplayBytes}); !errors.Is(err, context.Canceled) {
		t.Fatalf("the firmware did not boot: %v: %q", err, seen.String())
	}
	if !strings.Contains(seen.String(), "SeaBIOS") {
		t.Errorf("console lost its beginning: %q", seen.String())
	}
	check(t, c.Close())
}

type until struct {
	bytes.Buffer
	mark  string
	found func()
}

func (u *until) Write(p []byte) (int, error) {
	n, err := u.Buffer.Write(p)
	if strings.Contains(u.String(), u.mark) {
		u.found()
	}
	return n, err
}

func TestRealEachInterfaceStarts(t *testing.T) {
	for _, i := range []SystemInterface{KCS, BT, PCIKCS, PCIBT, SSIF} {
		t.Run(string(i), func(t *testing.T) {
			cfg := realVM(t, i)
			m := booted(t, cfg)
			conn := dialVMSocket(t, cfg)
			if m.State() != Running {
				t.Errorf("state %v", m.State())
			}
			conn.Close()
			check(t, m.Kill(t.Context()))
		})
	}
}

// dialVMSocket connects as a node does and reads QEMU's greeting.
func dialVMSocket(t *testing.T, cfg MachineConfig) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", cfg.Spec.VMSocket.Path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	expect(t, conn, "\xff\x01\xa1\x08\x3f\xa1")
	return conn
}

func TestRealResetsAreCountedOnce(t *testing.T) {
	cfg := realVM(t, KCS)
	m := booted(t, cfg)
	events := m.Subscribe(64)
	check(t, m.Reset(t.Context()))
	check(t, m.Stop(t.Context())) // whether the firmware's echo has come by now or not
	check(t, m.Reset(t.Context()))
	awaitFirmware(t, m, cfg)
	console, err := net.Dial("unix", cfg.Spec.ConsoleSocket)
	if err != nil {
		t.Fatal(err)
	}
	defer console.Close()
	if _, err := dialVMSocket(t, cfg).Write([]byte{0x04, 0xA1}); err != nil { // hardware command: reset
		t.Fatal(err)
	}
	await(t, events, EventReset)
	await(t, events, EventReset)
	if e := await(t, events, EventReset); !e.Guest {
		t.Errorf("third reset %+v, want the one over the VM socket", e)
	}
	// By the end of the boot the firmware's echo has come.
	readUntil(t, console, bootedMark)
	check(t, m.Kill(t.Context()))
	for e := range events.C() {
		if e.Kind == EventReset {
			t.Errorf("one reset too many: %+v", e)
		}
		if e.Kind == EventExited {
			return
		}
	}
}

func readUntil(t *testing.T, conn net.Conn, mark string) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
	var got bytes.Buffer
	for buf := make([]byte, 1024); !strings.Contains(got.String(), mark); {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("%v after %q", err, got.String())
		}
		got.Write(buf[:n])
	}
}

func TestRealPowerOffOverVMSocket(t *testing.T) {
	cfg := realVM(t, KCS)
	m := booted(t, cfg)
	events := m.Subscribe(64)
	conn := dialVMSocket(t, cfg)
	if _, err := conn.Write([]byte{0x03, 0xA1}); err != nil { // hardware command: power off
		t.Fatal(err)
	}
	if e := await(t, events, EventShutdown); !e.Guest || e.Reason != "guest-shutdown" {
		t.Errorf("shutdown %+v", e)
	}
	if e := await(t, events, EventExited); e.State != Off || e.Exit != (Exit{Known: true}) {
		t.Errorf("exited %+v", e)
	}
	check(t, m.Start(t.Context()))
}

func TestRealGracefulAndNMIOverVMSocket(t *testing.T) {
	cfg := realVM(t, BT)
	m := booted(t, cfg)
	events := m.Subscribe(64)
	conn := dialVMSocket(t, cfg)
	if _, err := conn.Write([]byte{0x09, 0xA1}); err != nil { // hardware command: graceful shutdown
		t.Fatal(err)
	}
	await(t, events, EventPowerDown)
	check(t, m.PowerDown(t.Context()))
	await(t, events, EventPowerDown)
	check(t, m.NMI(t.Context()))
}

func TestRealAdoption(t *testing.T) {
	cfg := realVM(t, KCS)
	first := booted(t, cfg)
	pid := first.PID()
	first.Close()
	second := machine(t, cfg)
	if err := second.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if second.PID() != pid || second.State() != Running {
		t.Errorf("pid %d, want %d; %v", second.PID(), pid, second.State())
	}
	if info, err := os.Stat(cfg.Spec.VMSocket.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("VM socket %v, %v", info.Mode(), err)
	}
	events := second.Subscribe(16)
	syscall.Kill(pid, syscall.SIGKILL)
	if e := await(t, events, EventExited); e.State != Crashed {
		t.Errorf("killed from outside: %+v", e)
	}
	if err := second.Start(t.Context()); err != nil {
		t.Errorf("start over the stale sockets: %v", err)
	}
}

func TestRealStoppedQEMUIsKilled(t *testing.T) {
	m := started(t, realVM(t, KCS))
	syscall.Kill(m.PID(), syscall.SIGSTOP)
	check(t, m.Kill(t.Context()))
	if m.State() != Off {
		t.Errorf("state %v", m.State())
	}
}

func TestRealOverlayLeavesItsBaseAlone(t *testing.T) {
	cfg := realVM(t, KCS)
	base := filepath.Join(cfg.Dir, "base.raw")
	content := bytes.Repeat([]byte{0}, 1<<20)
	check(t, os.WriteFile(base, content, 0o400))
	cfg.Spec.Disk = Disk{Base: base, Overlay: filepath.Join(cfg.Dir, "disks", "o.qcow2"), Format: "raw"}
	m := booted(t, cfg)
	check(t, m.Kill(t.Context()))
	if _, err := os.Stat(cfg.Spec.Disk.Overlay); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(base); err != nil || !bytes.Equal(got, content) {
		t.Errorf("base changed: %v", err)
	}
	check(t, m.Start(t.Context()))
}

func TestRealRefusalIsQuoted(t *testing.T) {
	cfg := realVM(t, KCS)
	cfg.Spec.Kernel = os.DevNull
	m := machine(t, cfg)
	if err := m.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "could not load kernel") {
		t.Errorf("err = %v, want QEMU's own words", err)
	}
}

func TestRealTakenPortIsNamed(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := realVM(t, KCS)
	forward := "tcp:" + l.Addr().String() + "-:22"
	cfg.Spec.NICs = []NIC{{Backend: "user,hostfwd=" + forward}}
	if err := machine(t, cfg).Start(t.Context()); err == nil || !strings.Contains(err.Error(), forward) {
		t.Errorf("err = %v, want the rule %s named", err, forward)
	}
}

func TestRealProbe(t *testing.T) {
	dir := shortDir(t)
	c, err := Probe(t.Context(), "", dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %s", c.Accel, c.Reason)
	if again, err := Probe(t.Context(), "", dir); err != nil || again != c {
		t.Errorf("second probe %+v, %v", again, err)
	}
}
