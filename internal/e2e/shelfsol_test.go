//go:build e2e

package e2e_test

import (
	"errors"
	"strings"
	"testing"
	"time"

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
	ask := func(words string) string {
		out, _ := s.manager.command(t.Context(), "ipmitool", args(strings.Fields(words)...)...).CombinedOutput() // it says why
		return string(out)
	}
	for _, c := range []struct{ words, want string }{
		{"raw 6 0x4a 1", "0f 03 00"},
		{"sol activate instance=2", "SOL payload already active on another session"},
		{"raw 6 0x48 1 3 0xc0 0 0 0", "rsp=0xcb"}, // nobody is there
		{"raw 6 0x48 1 0 0xc0 0 0 0", "rsp=0xcc"},
		{"sol deactivate instance=2", ""},
		{"raw 6 0x4a 1", "0f 01 00"},
	} {
		if out := ask(c.words); !strings.Contains(out, c.want) {
			t.Errorf("%s: %q, want %q", c.words, out, c.want)
		}
	}
	two = activate("2")
	two.Sees("# ") // what was said before
	two.Types("~.")
	if err := two.Ends(); err != nil {
		t.Error(err)
	}
	// Who takes a console at its node takes it from here.
	thief := ptytest.Start(t, bin, "--shelf", s.Name, "console", "blade1", "--steal")
	thief.Types("\r")
	thief.Sees("# ")
	eventually(t, 20*time.Second, "no console is open at the shelf's door", func() error {
		if out := ask("raw 6 0x4a 1"); !strings.Contains(out, "0f 00 00") {
			return errors.New(out)
		}
		return nil
	})
}
