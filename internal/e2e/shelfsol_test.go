//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/internal/ptytest"
)

// atShelfConsole opens VMs' consoles at the shelf's LAN door, by the numbers of
// their slots, as people do.
func (s *clientShelf) atShelfConsole(t *testing.T) {
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
	s.outlivesLeader(t, one, ptytest.Start(t, "ipmiconsole", "-h", s.manager.addr.Addr().String(), "-u", "admin", "-p", s.manager.password, "--sol-payload-instance=2"))
	one.Types("~.")
	if err := one.Ends(); err != nil {
		t.Error(err)
	}
	s.soltermOutlivesLeader(t)
	// Who takes a console at its node takes it from here.
	thief := ptytest.Start(t, bin, "--shelf", s.Name, "console", "blade1", "--steal")
	thief.Types("\r")
	thief.Sees("# ")
	eventually(t, patience, "no console is open at the shelf's door", func() error {
		if out := ask("raw 6 0x4a 1"); !strings.Contains(out, "0f 00 00") {
			return errors.New(out)
		}
		return nil
	})
}

// outlivesLeader kills the leader while one system speaks and another listens:
// their sessions go on with the next one, and nothing of what is said is missing
// or comes twice.
func (s *clientShelf) outlivesLeader(t *testing.T, speaks, listens *ptytest.Terminal) {
	t.Helper()
	const lines = 400
	listens.Sees("# ")
	listens.Types("cat >/run/typed\r")
	listens.Sees("typed")
	speaks.Types("\r")
	speaks.Sees("# ")
	speaks.Types(fmt.Sprintf("for i in $(seq 1 %d); do echo n$i; sleep 0.01; done; echo e''nd\r", lines))
	speaks.Sees("\nn20\r")
	old := s.leader(t)
	s.kill(t, old)
	listens.Types("typed meanwhile\r")
	numbered(t, strings.Fields(speaks.Sees("\nend\r")), 21, lines)
	listens.Sees("typed meanwhile") // as the terminal shows it
	listens.Types("\x04")
	listens.Sees("# ")
	listens.Types("cat /run/typed\r")
	listens.Sees("cat /run/typed")
	listens.Sees("typed meanwhile")
	listens.Sees("# ")
	s.otherLeader(t, old)
	s.do(t, "start", old)
	listens.Types("&.")
	if err := listens.Ends(); err != nil {
		t.Error(err)
	}
}

// soltermOutlivesLeader does so with OpenIPMI, for a system that speaks and listens
// at once: its acknowledgements are not all as the specification has them, and it
// drops packets whose session's numbers do not go on.
func (s *clientShelf) soltermOutlivesLeader(t *testing.T) {
	t.Helper()
	const lines = 100
	s.healthy(t)
	script := fmt.Sprintf("stty -echo; for i in $(seq 1 %d); do echo n$i; sleep 0.01; done; read x; stty echo; echo got $x", lines)
	s.do(t, "exec", "blade1", "--", "sh", "-c", "echo '"+script+"' >/run/say")
	p := ptytest.Start(t, "solterm", "lan", "-U", "admin", "-P", s.manager.password, "-A", "rmcp+", s.manager.addr.Addr().String())
	p.Types("\r")
	p.Sees("# ")
	p.Types("sh /run/say\r") // it drops what is typed faster than it sends
	p.Sees("\nn20\r")
	old := s.leader(t)
	s.kill(t, old)
	p.Types("meanwhile\r")
	numbered(t, strings.Fields(p.Sees("got meanwhile")), 21, lines)
	s.otherLeader(t, old)
	s.do(t, "start", old)
}

// numbered checks that all lines come, once and in their order.
func numbered(t *testing.T, got []string, from, to int) {
	t.Helper()
	for i := range to - from + 1 {
		if want := fmt.Sprint("n", from+i); i >= len(got) || got[i] != want {
			t.Errorf("%d lines of %d come; line %d is not %q: %q", len(got), to-from+1, i, want, got[max(0, i-2):min(len(got), i+3)])
			return
		}
	}
}
