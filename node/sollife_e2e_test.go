//go:build e2e

package node

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/midplane-project/midplane/internal/ptytest"
)

// TestE2ESOLOutlives has one session of serial over LAN see a reset of the VM,
// a restart of its QEMU and its power off and on, and one at the next process of
// the node what the VM said to the one before.
func TestE2ESOLOutlives(t *testing.T) {
	n := newRealNode(t, true)
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.cfg.LAN.Listen = free.LocalAddr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
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
	password, err := lanPassword(filepath.Join(n.cfg.Dir, LANPasswordFile))
	if err != nil {
		n.t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(n.cfg.LAN.Listen)
	if err != nil {
		n.t.Fatal(err)
	}
	p := ptytest.Start(n.t, "ipmitool", "-I", "lanplus", "-H", host, "-p", port, "-U", LANUser, "-P", password, "sol", "activate")
	p.Sees("[SOL Session operational")
	return p
}
