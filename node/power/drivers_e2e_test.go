//go:build e2e

package power_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/power/powertest"
)

// realVM is a QEMU without a guest: the firmware boots, finds no disk and stays.
// What a guest would do to its power is done by the VM protocol, which to QEMU
// is the same.
type realVM struct {
	spec  power.Spec
	log   string // the firmware's words
	boots int    // of them that were waited for
	conn  net.Conn
}

func newRealVM(t *testing.T) *realVM {
	t.Helper()
	dir := tempDir(t)
	v := &realVM{log: filepath.Join(dir, "console.log")}
	v.spec = power.Spec{
		Name: "blade1", UUID: "6a0c7f0e-5f6f-4a4e-9a53-0000000000cc", MemoryMiB: 64, SlaveAddr: 0x82,
		VMSocket: power.VMSocket{Path: filepath.Join(dir, "vm"), Server: true}, QMPSocket: filepath.Join(dir, "qmp"),
		Extra: []string{"-chardev", "file,id=words,append=on,path=" + v.log, "-serial", "chardev:words"},
	}
	return v
}

func (v *realVM) boot(t *testing.T) {
	t.Helper()
	limit := time.Now().Add(2 * time.Minute)
	for {
		text, _ := os.ReadFile(v.log)
		if n := bytes.Count(text, []byte("No bootable device")); n > v.boots {
			v.boots = n
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("the firmware did not boot %d times:\n%s", v.boots+1, text)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// hardware sends a command of the VM protocol.
func (v *realVM) hardware(command byte) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		if v.conn != nil {
			v.conn.Close() // QEMU has one client at a time
		}
		conn, err := net.Dial("unix", v.spec.VMSocket.Path)
		if err == nil {
			v.conn = conn
			_, err = conn.Write([]byte{command, 0xA1})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Commands of the VM protocol (QEMU hw/ipmi/ipmi_bmc_extern.c).
const (
	hardwareOff   = 0x03
	hardwareReset = 0x04
)

func (v *realVM) bench(d stopper, pid func() int) powertest.Bench {
	return powertest.Bench{
		Driver: d, Boot: v.boot, Pause: pause(d),
		Obey: v.hardware(hardwareOff), Poweroff: v.hardware(hardwareOff), Reboot: v.hardware(hardwareReset),
		Crash: func(t *testing.T) {
			if err := syscall.Kill(pid(), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		},
	}
}

func TestRealMachine(t *testing.T) {
	v := newRealVM(t)
	m, err := power.NewMachine(power.MachineConfig{Dir: filepath.Dir(v.log), Spec: v.spec})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	defer func() { _ = m.Kill(context.Background()) }()
	v.bench(m, m.PID).Try(t)
}

func TestRealAttached(t *testing.T) {
	v := newRealVM(t)
	argv, err := power.Args(v.spec)
	if err != nil {
		t.Fatal(err)
	}
	qemu := exec.Command(argv[0], argv[1:]...)
	qemu.Stderr = os.Stderr
	if err := qemu.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = qemu.Process.Kill()
		_ = qemu.Wait()
	}()
	a := power.Attach(v.spec.QMPSocket, v.spec.UUID, nil)
	defer a.Close()
	b := v.bench(a, func() int { return qemu.Process.Pid })
	b.Lost = true
	b.Try(t)
}
