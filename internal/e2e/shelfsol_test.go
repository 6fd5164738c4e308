//go:build e2e

package e2e_test

import (
	"strings"
	"testing"

	"github.com/midplane-project/midplane/internal/ptytest"
)

// TestShelfConsole opens VMs' consoles at the shelf's LAN door, by the numbers of
// their slots, as people do.
func TestShelfConsole(t *testing.T) {
	s := clients(t)
	args := func(words ...string) []string {
		return append([]string{"-I", "lanplus", "-H", s.manager.addr.Addr().String(), "-U", "admin", "-P", s.manager.password}, words...)
	}
	activate := func(instance string) *ptytest.Terminal {
		p := ptytest.Start(t, "ipmitool", args("sol", "activate", "instance="+instance)...)
		p.Sees("SOL Session operational")
		return p
	}
	one, two := activate("1"), activate("2")
	for board, p := range map[string]*ptytest.Terminal{"blade1": one, "blade2": two} {
		p.Types("\r")
		p.Sees("# ")
		p.Types("cat /proc/sys/kernel/random/boot_id\r")
		p.Sees(strings.TrimSpace(s.bootID(t, board)))
	}
	for _, c := range []struct{ words, want string }{
		{"raw 6 0x4a 1", "0f 03 00"},
		{"raw 6 0x48 1 2 0xc0 0 0 0", "rsp=0x80"},
		{"raw 6 0x48 1 3 0xc0 0 0 0", "rsp=0xcb"}, // nobody is there
		{"raw 6 0x48 1 0 0xc0 0 0 0", "rsp=0xcc"},
		{"sol deactivate instance=2", ""},
		{"raw 6 0x4a 1", "0f 01 00"},
	} {
		out, _ := s.manager.command(t.Context(), "ipmitool", args(strings.Fields(c.words)...)...).CombinedOutput()
		if !strings.Contains(string(out), c.want) {
			t.Errorf("%s: %q, want %q", c.words, out, c.want)
		}
	}
	two.Sees("SOL session closed by BMC")
	_ = two.Ends() // with whatever exit code
	// Who takes the console at its node takes it from here.
	thief := ptytest.Start(t, bin, "--shelf", s.Name, "console", "blade1", "--steal")
	one.Sees("SOL session closed by BMC")
	_ = one.Ends()
	thief.Types("\r")
	thief.Sees("# ")
}
