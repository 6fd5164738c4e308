//go:build e2e

package node_test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

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
	var numbers strings.Builder
	for i := range 19999 {
		fmt.Fprintf(&numbers, "\n%d", i+1)
	}
	for i, c := range []struct {
		command          []string
		brk, leave, last string
	}{
		{[]string{"ipmitool", "-I", "lanplus", "-H", host, "-p", port, "-U", node.LANUser, "-P", password, "sol", "activate"}, "~B", "~.", "[terminated ipmitool]"},
		{[]string{"ipmiconsole", "-h", host, "-u", node.LANUser, "-p", password}, "&B", "&.", "[closing the connection]"},
		{[]string{"solterm", "lan", "-U", node.LANUser, "-P", password, "-p", port, "-A", "rmcp+", host}, "~B", "~.", ""},
	} {
		name := c.command[0]
		p := onTerminal(t, c.command[0], c.command[1:]...)
		p.sees("guest ready") // it was there before
		p.types("\r")
		p.sees("# ")
		mark := fmt.Sprint(100 + i) // solterm drops what is typed faster than it sends
		p.types("echo $((6*7))" + mark + "\r")
		p.sees("42" + mark)
		p.types("uname\r")
		p.sees("Linux")
		p.sees("# ")
		p.types(c.brk)
		p.types("h") // Linux takes a key after a break as one of SysRq's
		p.sees("sysrq: HELP")
		p.types("\r")
		p.sees("# ")
		p.types("seq 1 20000\r")
		p.sees("seq 1 20000")
		got := strings.ReplaceAll(p.sees("\n20000\r"), "\r", "")
		if got != numbers.String() {
			t.Errorf("%s: of 20000 lines %d bytes come, not %d", name, len(got), numbers.Len())
		}
		p.sees("# ")
		p.types(c.leave)
		p.sees(c.last)
		if err := p.ends(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// withLAN gives the node a LAN door at an address of its own with IPMI's port,
// for which ipmiconsole knows no other.
func withLAN(s *site) {
	s.t.Helper()
	for try := range 100 {
		address := fmt.Sprintf("127.78.%d.%d:623", os.Getpid()%250, 1+try)
		free, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		_ = free.Close()
		s.cfg.LAN.Listen = address
		return
	}
	s.t.Fatal("no address with port 623 can be had; it needs root or net.ipv4.ip_unprivileged_port_start")
}
