//go:build e2e

package e2e_test

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"

	"github.com/midplane-project/midplane/deploy/lab"
	"github.com/midplane-project/midplane/ipmb/rmcp"
	replica "github.com/midplane-project/midplane/shelf"
)

// virtual is where the LAN door is, on whichever host.
const virtual = "10.98.7.100"

// door is the LAN door of replica i: two listen at the virtual address, which is not
// there yet, and one at all.
func (h *hosts) door(i int) *replica.LANDoor {
	d := &replica.LANDoor{
		Listen: virtual + ":623", Key: filepath.Join(h.dir, "lan-key"), Password: h.password(), Address: virtual + ":623",
		Hook: filepath.Join(h.dir, "hook"), Settings: rmcp.Settings{V15: []string{"md5"}},
	}
	if i == 3 {
		d.Listen = "0.0.0.0:623"
	}
	return d
}

func (h *hosts) password() string { return filepath.Join(h.dir, "lan-password") }

// doorFiles makes the files that the door needs. The hook is that of docs/lan.md.
func (h *hosts) doorFiles(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("arping"); err != nil {
		t.Fatalf("the hook needs arping: deploy/setup.sh test: %v", err)
	}
	page, err := os.ReadFile("../../docs/lan.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "#!/bin/sh\n")
	script, _, closed := strings.Cut(rest, "```")
	if !found || !closed || !strings.Contains(script, "10.0.0.20") {
		t.Fatalf("docs/lan.md has no hook: %q", script)
	}
	script = "#!/bin/sh\n" + strings.ReplaceAll(script, "10.0.0.20", virtual)
	key := make([]byte, 32)
	_, _ = rand.Read(key) // does not fail
	for path, text := range map[string][]byte{"lan-key": key, "lan-password": []byte("correct horse"), "hook": []byte(script)} {
		if err := os.WriteFile(filepath.Join(h.dir, path), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(h.dir, "hook"), 0o700); err != nil {
		t.Fatal(err)
	}
}

// holders are the hosts that have the virtual address.
func (h *hosts) holders(t *testing.T) (all []int) {
	t.Helper()
	for i := 1; i <= 3; i++ {
		out, err := exec.CommandContext(t.Context(), "ip", "-n", h.ns(i), "-o", "address", "show", "dev", "eth0").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if strings.Contains(string(out), " "+virtual+"/") {
			all = append(all, i)
		}
	}
	return all
}

// held waits until these hosts have it, and no others.
func (h *hosts) held(t *testing.T, by ...int) {
	t.Helper()
	slices.Sort(by)
	eventually(t, patience, fmt.Sprintf("hosts %v have the virtual address", by), func() error {
		if have := h.holders(t); !slices.Equal(have, by) {
			return fmt.Errorf("%v have it", have)
		}
		return nil
	})
}

// virtualAddress takes the leader away while clients speak to the virtual address.
// It goes to the next one, and no client's command fails. A replica that was killed
// leaves it on its host until it is started again; one that stood still takes it away
// itself. What a client repeats is done once.
func (h *hosts) virtualAddress(t *testing.T, apis []*grpc.ClientConn) {
	s := &lanShelf{
		dir: t.TempDir(), prefix: []string{"ip", "netns", "exec", h.ns(0)},
		door: lab.Door{Address: netip.MustParseAddrPort(virtual + ":623"), User: "admin", PasswordFile: h.password()},
	}
	const n, v15 = 60, 0x40
	board := []string{"-t", "0x82", "-b", "0"}
	eventually(t, patience, "a board answers at the virtual address", func() error {
		if out, err := s.ipmitool(t, append(board, "mc", "info")...); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	for i, f := range []struct {
		name  string
		hit   syscall.Signal
		after func(old int)
	}{
		{"leader killed", syscall.SIGKILL, nil},
		{"leader stopped and continued", syscall.SIGSTOP, func(old int) { signal(t, h.daemons[old].pid, syscall.SIGCONT) }},
	} {
		if f.after == nil {
			f.after = func(old int) { h.run(t, old) }
		}
		t.Run(f.name, func(t *testing.T) {
			mark := byte(i + 1)
			old, _ := leading(t, apis, 1, 2, 3)
			h.held(t, old)
			many, many15 := s.many(t), s.many(t, "-I", "lan")
			defer many.end()
			defer many15.end()
			many.more(t, 1)
			many15.more(t, 1)
			all := []*lanSession{
				s.session(t, "own", addRecords(n, mark)),
				s.session(t, "own15", addRecords(n, mark|v15), "-I", "lan"),
				s.session(t, "board", addRecords(n, mark), board...),
			}
			for _, one := range all {
				one.begun(t)
			}
			signal(t, h.daemons[old].pid, f.hit)
			if f.hit == syscall.SIGSTOP {
				t.Cleanup(func() { _ = syscall.Kill(h.daemons[old].pid, syscall.SIGCONT) })
			}
			for _, one := range all {
				one.goOn()
			}
			now, _ := leading(t, apis, slices.DeleteFunc([]int{1, 2, 3}, func(i int) bool { return i == old })...)
			h.held(t, old, now) // nobody has taken it away there
			many.more(t, 2)
			many15.more(t, 2)
			for _, one := range all {
				one.whole(t, n)
			}
			f.after(old)
			h.held(t, now)
			many.more(t, 1)
			many15.more(t, 1)
		})
	}
	own, behind := s.records(t), s.records(t, board...)
	for mark := byte(1); mark <= 2; mark++ {
		for where, log := range map[string]map[string]int{"0x20": own[mark], "0x20 by IPMI 1.5": own[mark|v15], "0x82": behind[mark]} {
			if len(log) != n {
				t.Errorf("%s has %d records of %d", where, len(log), n)
			}
			for k, times := range log {
				if times != 1 {
					t.Errorf("%s has record % x %d times", where, k, times)
				}
			}
		}
	}
}
