//go:build e2e

package node

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/midplane-project/midplane/internal/ptytest"
)

// TestE2ESOLOutlives has one session of serial over LAN see a reset of the VM,
// a restart of its QEMU and its power off and on, and one at the next process of
// the node what the VM said to the one before.
func TestE2ESOLOutlives(t *testing.T) {
	n := newRealNode(t, true)
	n.cfg.LAN.Listen = freeAddress(t)
	n.start()
	n.boots(fromKernel)

	p := n.sol()
	p.Sees("SeaBIOS")
	p.Sees(kernelSays[:10])
	for _, ask := range []string{doReset, doCycle} {
		n.asks(ask, "00")
		p.Sees("SeaBIOS")
		p.Sees(kernelSays[:10])
	}
	n.asks("00 02 00", "00") // power off
	n.eventually(false)
	n.asks("00 02 01", "00")
	p.Sees("SeaBIOS")
	p.Sees(kernelSays[:10])
	p.Types("~.")
	if err := p.Ends(); err != nil {
		t.Error(err)
	}

	n.end(false)
	n.start()
	p = n.sol()
	for range 4 { // boots of before
		p.Sees("SeaBIOS")
		p.Sees(kernelSays[:10])
	}
	n.asks(doReset, "00")
	p.Sees("SeaBIOS")
	p.Types("~.")
	if err := p.Ends(); err != nil {
		t.Error(err)
	}
}

// sol opens the node's console by ipmitool.
func (n *realNode) sol() *ptytest.Terminal {
	n.t.Helper()
	p := solTool(n.t, n.cfg, "sol", "activate")
	p.Sees("[SOL Session operational")
	return p
}

// solTool runs ipmitool at a node's LAN door.
func solTool(t *testing.T, cfg Config, args ...string) *ptytest.Terminal {
	t.Helper()
	password, err := lanPassword(filepath.Join(cfg.Dir, LANPasswordFile))
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(cfg.LAN.Listen)
	if err != nil {
		t.Fatal(err)
	}
	return ptytest.Start(t, "ipmitool", append([]string{"-I", "lanplus", "-H", host, "-p", port, "-U", LANUser, "-P", password}, args...)...)
}

// freeAddress is one that the LAN door can have.
func freeAddress(t *testing.T) string {
	t.Helper()
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	return free.LocalAddr().String()
}

// TestE2ESOLOfOnesOwn is the console of a VM that somebody else starts: one that
// is configured, and none. Two sessions, and who takes over.
func TestE2ESOLOfOnesOwn(t *testing.T) {
	cfg := lone(t)
	cfg.LAN.Listen = freeAddress(t)
	r := run(t, cfg, nil)
	connect(t, cfg)
	p := solTool(t, cfg, "sol", "activate")
	p.Sees("SOL payload disabled")
	if err := r.end(); err != nil {
		t.Error(err)
	}

	cfg = lone(t)
	cfg.LAN.Listen = freeAddress(t)
	cfg.Console = &Console{Socket: filepath.Join(cfg.Dir, "con")}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	chardev, err := net.Listen("unix", cfg.Console.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer chardev.Close()
	r = run(t, cfg, nil)
	defer func() {
		if err := r.end(); err != nil {
			t.Error(err)
		}
	}()
	connect(t, cfg)
	deadline := time.Now().Add(2 * time.Minute)
	_ = chardev.(*net.UnixListener).SetDeadline(deadline)
	vm, err := chardev.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	_ = vm.SetDeadline(deadline)
	if _, err := io.WriteString(vm, "login: "); err != nil {
		t.Fatal(err)
	}
	p = solTool(t, cfg, "sol", "activate")
	p.Sees("login: ")
	p.Types("root\r")
	got := make([]byte, 5)
	if _, err := io.ReadFull(vm, got); err != nil || string(got) != "root\r" {
		t.Errorf("the VM hears %q, %v", got, err)
	}
	second := solTool(t, cfg, "sol", "activate")
	second.Sees("SOL payload already active on another session")

	other := solTool(t, cfg, "sol", "deactivate")
	if err := other.Ends(); err != nil {
		t.Error(err)
	}
	p = solTool(t, cfg, "sol", "activate")
	p.Sees("login: ")
	p.Types("~.")
	if err := p.Ends(); err != nil {
		t.Error(err)
	}
}
