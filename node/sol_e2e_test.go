//go:build e2e

package node_test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/midplane-project/midplane/node"
)

// TestE2ESOL uses the console of one guest with each client that people have.
func TestE2ESOL(t *testing.T) {
	s := newSite(t, node.ProfileServer, "kcs", "", withLAN)
	host, port, err := net.SplitHostPort(s.cfg.LAN.Listen)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.path("node/" + node.LANPasswordFile))
	if err != nil {
		t.Fatal(err)
	}
	password := strings.TrimSpace(string(text))
	for _, c := range []struct {
		command          []string
		brk, leave, last string
	}{
		{[]string{"ipmitool", "-I", "lanplus", "-H", host, "-p", port, "-U", node.LANUser, "-P", password, "sol", "activate"}, "~B", "~.", "[terminated ipmitool]"},
	} {
		p := onTerminal(t, c.command[0], c.command[1:]...)
		boot := p.sees("guest ready")
		_ = boot
		p.types("\r")
		p.sees("# ")
		p.types("echo $((6*7))x; uname -s\r")
		p.sees("42x")
		p.sees("Linux")
		p.sees("# ")
		breaks := s.must("grep -o 'brk:[0-9]*' /proc/tty/driver/serial || true")
		p.types(c.brk)
		s.eventually("the guest gets the break", 20*time.Second, func() error {
			if now := s.must("grep -o 'brk:[0-9]*' /proc/tty/driver/serial || true"); now == breaks {
				return fmt.Errorf("breaks: %q", now)
			}
			return nil
		})
		p.types("\r")
		p.sees("# ")
		p.types(c.leave)
		p.sees(c.last)
		if err := p.ends(); err != nil {
			t.Error(err)
		}
	}
}

// withLAN gives the node a LAN door on a port that is free.
func withLAN(s *site) {
	s.t.Helper()
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.cfg.LAN.Listen = free.LocalAddr().String()
	_ = free.Close()
}
