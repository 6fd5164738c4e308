//go:build e2e

package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/power"
)

// What is seen on the console, without dots: the kernel does not wait for the
// serial port, so that the last one before it may be lost.
const (
	kernelSays   = "This is the kernel"
	firmwareSays = "Booting from "
	fromDisk     = "Hard Disk"
	fromNetwork  = "ROM\r\niPXE"
	fromKernel   = "ROM" + kernelSays
)

// tinyKernel is a kernel of the oldest boot protocol, whose setup code says a
// line at the serial port and stops.
func tinyKernel() []byte {
	const (
		setupSectors = 0x1F1
		setupCode    = 0x200
	)
	image := make([]byte, 4096)
	image[setupSectors] = 1
	code := append(image[:setupCode], 0xBA, 0xF8, 0x03) // mov dx, 3F8h
	for _, c := range []byte(kernelSays) {
		code = append(code, 0xB0, c, 0xEE) // mov al, c; out dx, al
	}
	_ = append(code, 0xF4, 0xEB, 0xFD) // hlt; and again
	return image
}

// realNode is a node with a VM of real QEMU, an empty disk and a network card.
type realNode struct {
	*Node
	t    *testing.T
	cfg  Config
	at   int                     // how much of the console has been looked at
	stop func(killVM bool) error // nil while it does not run
}

func newRealNode(t *testing.T, kernel bool) *realNode {
	t.Helper()
	dir, err := os.MkdirTemp("", "node") // short, for the sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	spec := &power.Spec{
		Name: "blade1", UUID: "6a0c7f0e-5f6f-4a4e-9a53-0000000000cc", MemoryMiB: 64, SystemInterface: power.KCS,
		VMSocket:  power.VMSocket{Path: filepath.Join(dir, "vm.sock"), Server: true},
		QMPSocket: filepath.Join(dir, "qmp"), ConsoleSocket: filepath.Join(dir, "console"),
		Disk: power.Disk{Base: filepath.Join(dir, "disk"), Format: "raw"},
		NICs: []power.NIC{{Backend: "user,restrict=on", Model: "e1000"}},
	}
	files := map[string][]byte{spec.Disk.Base: make([]byte, 1<<20)}
	if kernel {
		spec.Kernel = filepath.Join(dir, "kernel")
		files[spec.Kernel] = tinyKernel()
	}
	for path, content := range files {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n := &realNode{t: t, cfg: Config{Name: "blade1", Interface: "kcs", Dir: filepath.Join(dir, "state"), VM: spec}}
	t.Cleanup(func() {
		if n.stop != nil {
			n.end(true)
		}
	})
	return n
}

func (n *realNode) start() {
	n.t.Helper()
	var err error
	if n.Node, err = New(n.cfg, Options{Log: slog.New(slog.DiscardHandler)}); err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- n.Run(ctx) }()
	n.stop = func(killVM bool) error {
		cancel()
		err := <-done
		if killVM {
			err = errors.Join(err, n.machine.Kill(context.Background()))
		}
		return errors.Join(err, n.Close())
	}
}

// end ends the node, and its VM as well if that is wished.
func (n *realNode) end(killVM bool) {
	n.t.Helper()
	if err := n.stop(killVM); err != nil {
		n.t.Error(err)
	}
	n.stop = nil
}

// asks has a command answered with want.
func (n *realNode) asks(request, want string) {
	n.t.Helper()
	raw := unhex(n.t, request)
	r := n.ServeIPMI(n.t.Context(), &ipmb.Request{
		NetFn: ipmb.NetFn(raw[0]), Cmd: ipmb.Cmd(raw[1]), Data: raw[2:],
		Origin: ipmb.Origin{Speaker: ipmb.SpeakerAPI, Door: ipmb.DoorAPI, Privilege: ipmb.PrivilegeAdmin},
	})
	if got := strings.TrimSpace(fmt.Sprintf("%02x % x", byte(r.Code), r.Data)); got != want {
		n.t.Errorf("%s: %s, want %s", request, got, want)
	}
}

// boots waits until the VM has booted, and gives what it boots first.
func (n *realNode) boots(want string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), 2*time.Minute)
	defer cancel()
	var text []byte
	for {
		text, _ = os.ReadFile(filepath.Join(n.cfg.Dir, consoleFile))
		boot := text[min(n.at, len(text)):]
		if i := bytes.LastIndex(boot, []byte("SeaBIOS (version")); i >= 0 {
			_, first, said := bytes.Cut(bytes.ReplaceAll(boot[i:], []byte("."), nil), []byte(firmwareSays))
			if said && len(first) >= len(want) {
				if !bytes.HasPrefix(first, []byte(want)) {
					n.t.Errorf("the VM boots from %q, want %q", first, want)
				}
				break
			}
		}
		select {
		case <-ctx.Done():
			n.t.Fatalf("the VM boots nothing: %q", boot)
		case <-time.After(50 * time.Millisecond):
		}
	}
	n.at = len(text)
}

// Set System Boot Options makes a real VM boot another device, once, with and
// without a kernel on QEMU's command line, at a reset and at a start.
func TestRealBootOptions(t *testing.T) {
	for name, ever := range map[string]string{"disk": fromDisk, "kernel": fromKernel} {
		t.Run(name, func(t *testing.T) {
			n := newRealNode(t, ever == fromKernel)
			n.start()
			n.boots(ever)
			n.asks(bootFromPXE, "00")
			n.asks(doReset, "00")
			n.boots(fromNetwork)
			n.asks(askFlags, "00 01 05 00 04 00 00 00")
			n.asks(askCause, "00 01 00")
			n.asks(doReset, "00")
			n.boots(ever)

			n.asks(bootFromPXE, "00")
			n.asks(doCycle, "00")
			n.boots(fromNetwork)
			n.asks(doCycle, "00")
			n.boots(ever)
		})
	}
}

// otherHost stands for the boot id of the kernel before this one.
const otherHost = "the kernel before this one"

// The restore policy decides after a restart of the host, which a node knows by
// the kernel's boot id, and not after one of its own.
func TestRealHostRestart(t *testing.T) {
	for _, c := range []struct {
		policy string
		on     bool
		cause  string
	}{{"00", false, "00 00 00"}, {"01", true, "00 07 00"}, {"02", true, "00 06 00"}} {
		n := newRealNode(t, false)
		n.start()
		n.boots(fromDisk)
		n.asks("00 06 "+c.policy, "00 07")
		n.end(false)
		n.start()
		n.asks(askCause, "00 00 00")
		n.eventually(true)
		if err := n.host.life.update(func(s *lifeState) { s.Host = otherHost }); err != nil {
			t.Fatal(err)
		}
		n.end(true)
		n.start()
		if c.on {
			n.boots(fromDisk)
		} else {
			n.decides()
		}
		n.eventually(c.on)
		n.asks(askCause, c.cause)
		n.end(true)
	}
}

// decides waits until the node has seen that its host is another one, and makes sure
// that it does not want the VM on.
func (n *realNode) decides() {
	n.t.Helper()
	for until := time.Now().Add(time.Minute); n.host.life.get().Host == otherHost; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			n.t.Fatal("the restart of the host is not noticed")
		}
	}
	if n.host.wants() {
		n.t.Error("the node would start the VM")
	}
}

// eventually waits until the VM is on, or off.
func (n *realNode) eventually(on bool) {
	n.t.Helper()
	for until := time.Now().Add(time.Minute); n.host.On() != on; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			n.t.Fatalf("the VM is %v", n.machine.State())
		}
	}
}
