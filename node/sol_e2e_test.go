//go:build e2e

package node_test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/internal/ptytest"
	"github.com/midplane-project/midplane/node"
)

// guestPassword is root's in the guest, which asks for it on its console.
const guestPassword = "Backplane-7"

// TestE2ESOL uses the console of one guest with each client that people have:
// logs in, runs commands, sends a break, logs out and leaves.
func TestE2ESOL(t *testing.T) {
	s := newSite(t, node.ProfileServer, "kcs", "midplane.login="+guestPassword, withLAN)
	host, port, err := net.SplitHostPort(s.cfg.LAN.Listen)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.path("node/" + node.LANPasswordFile))
	if err != nil {
		t.Fatal(err)
	}
	password := strings.TrimSpace(string(text))
	before := "guest ready" // is shown to who comes later
	for i, c := range []struct {
		command          []string
		brk, leave, last string
	}{
		{[]string{"ipmitool", "-I", "lanplus", "-H", host, "-p", port, "-U", node.LANUser, "-P", password, "sol", "activate"}, "~B", "~.", "[terminated ipmitool]"},
		{[]string{"ipmiconsole", "-h", host, "-u", node.LANUser, "-p", password}, "&B", "&.", "[closing the connection]"},
		{[]string{"solterm", "lan", "-U", node.LANUser, "-P", password, "-p", port, "-A", "rmcp+", host}, "~B", "~.", ""},
	} {
		name := c.command[0]
		p := ptytest.Start(t, c.command[0], c.command[1:]...)
		p.Sees(before)
		p.Sees("login: ")
		p.Types("root\r") // solterm drops what is typed faster than it sends
		p.Sees("Password: ")
		p.Types(guestPassword + "\r")
		if said := p.Sees("# "); strings.Contains(said, guestPassword) {
			t.Errorf("%s: the password is shown: %q", name, said)
		}
		mark := fmt.Sprint(100 + i)
		p.Types("echo $((6*7))" + mark + "\r")
		p.Sees("42" + mark)
		p.Types("uname\r")
		p.Sees("Linux")
		p.Sees("# ")
		breaks := s.breaks()
		p.Types(c.brk)
		p.Types("h") // Linux takes a key after a break as one of SysRq's
		p.Sees("sysrq: HELP")
		if now := s.breaks(); now != breaks+1 {
			t.Errorf("%s: the guest's port counts %d breaks, not %d", name, now, breaks+1)
		}
		p.Types("\r")
		p.Sees("# ")
		counts(t, p, map[int]int{0: 20000}[i]+1000)
		p.Sees("# ")
		p.Types("echo bye$((2*" + mark + "))\r")
		before = fmt.Sprint("bye", 2*(100+i))
		p.Sees(before)
		p.Sees("# ")
		p.Types("exit\r")
		p.Sees("login: ")
		p.Types(c.leave)
		p.Sees(c.last)
		if err := p.Ends(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// breaks is how many breaks came to the guest's first serial port.
func (s *site) breaks() (n int) {
	s.t.Helper()
	for _, line := range strings.Split(s.must("cat /proc/tty/driver/serial"), "\n") {
		if port, ok := strings.CutPrefix(line, "0: "); ok {
			if _, counter, ok := strings.Cut(port, " brk:"); ok { // shown once there was one
				fmt.Sscan(counter, &n)
			}
		}
	}
	return n
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

// counts has the guest say many lines, and misses none of their characters.
func counts(t *testing.T, p *ptytest.Terminal, to int) {
	t.Helper()
	ask := fmt.Sprintf("seq 1 %d", to)
	p.Types(ask + "\r")
	p.Sees(ask)
	got := strings.ReplaceAll(p.Sees(fmt.Sprintf("\n%d\r", to)), "\r", "")
	var want strings.Builder
	for i := range to - 1 {
		fmt.Fprintf(&want, "\n%d", i+1)
	}
	if got != want.String() {
		t.Errorf("%d characters come, not %d", len(got), want.Len())
	}
}
