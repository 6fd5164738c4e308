//go:build e2e

package e2e_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/midplane-project/midplane/deploy/lab"
)

// running gives all processes of the shelf, but the supervisor.
func (s *shelf) running(t *testing.T) map[string]string {
	t.Helper()
	all := processes(s.StateDir)
	maps.Copy(all, processes(s.RunDir))
	delete(all, strconv.Itoa(s.supervisor(t)))
	return all
}

// supervisor is its process, 0 when there is none.
func (s *shelf) supervisor(t *testing.T) int {
	t.Helper()
	for _, l := range okJSON[[]lab.Summary](t, "ls") {
		if l.Name == s.Name {
			return l.Supervisor
		}
	}
	t.Fatalf("midplane ls does not know shelf %s", s.Name)
	return 0
}

// brief lists processes with the beginning of their command lines.
func brief(all map[string]string) string {
	var b strings.Builder
	for _, pid := range slices.Sorted(maps.Keys(all)) {
		line := all[pid]
		fmt.Fprintf(&b, "\n  %s %s", pid, line[:min(len(line), 100)])
	}
	return b.String()
}

// TestUpConverges brings up what is up: once more, twice at the same time, and
// after the supervisor was killed. Nothing that runs is touched.
func TestUpConverges(t *testing.T) {
	s := blades.up(t)
	before := s.running(t)
	if len(before) != 8 { // three replicas and their front, two nodes, two VMs
		t.Fatalf("these run: %s", brief(before))
	}
	same := func(t *testing.T) {
		t.Helper()
		if now := s.running(t); !maps.Equal(now, before) {
			t.Errorf("these ran: %s\nthese run: %s", brief(before), brief(now))
		}
	}
	t.Run("twice at once", func(t *testing.T) {
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if r, err := command(t.Context(), "up", "--shelf", s.Name); err != nil || r.code != 0 {
					t.Errorf("%v: %s", err, r)
				}
			})
		}
		wg.Wait()
		same(t)
	})
	t.Run("after the supervisor was killed", func(t *testing.T) {
		old := s.supervisor(t)
		signal(t, old, syscall.SIGKILL)
		s.expect(t, "blade1", []says{{"ipmitool -b 0 -t 0x20 mc info", 0, ``}}) // nobody needs it
		s.do(t, "up")
		if now := s.supervisor(t); now == 0 || now == old {
			t.Errorf("supervisor %d after %d", now, old)
		}
		same(t)
		s.kill(t, "shm1") // the new one looks after what it adopted
		s.do(t, "start", "shm1")
		s.healthy(t)
	})
}

// TestCrashIsMended has the supervisor start again what ended by itself.
func TestCrashIsMended(t *testing.T) {
	s := bare.up(t)
	old := s.node(t, "fore").Pid
	signal(t, int(old), syscall.SIGKILL)
	eventually(t, patience, "the node is back", func() error {
		st, err := s.NodeStatus(t.Context(), "fore")
		if err == nil && st.Pid == old {
			err = fmt.Errorf("process %d", old)
		}
		return err
	})
	s.do(t, "wait", "fore")
}

// TestCompact has a whole shelf in one process, with the same guests.
func TestCompact(t *testing.T) {
	f := &fixture{name: "k", args: []string{"--compact"}, yaml: blades.yaml}
	s := f.up(t)
	s.expect(t, "blade1", []says{
		{"ipmitool mc info", 0, `IPMI Version`},
		{"ipmitool -b 0 -t 0x84 picmg addrinfo", 0, `IPMB-0 Address +: 0x84`},
		{"ipmitool -b 0 -t 0x20 mc info", 0, `SDR Repository`},
		{"ipmitool -b 0 -t 0x20 event 1", 0, ``},
	})
	s.loop(t, "blade2", 2*time.Second).exact(t)
	s.down(t)
}

// down takes the shelf down: nothing may be left of it but its state.
func (s *shelf) down(t *testing.T) {
	t.Helper()
	s.do(t, "down")
	if left := s.running(t); len(left) > 0 {
		t.Errorf("these still run: %s", brief(left))
	}
	if left := sockets(s.RunDir); len(left) > 0 {
		t.Errorf("these sockets are left: %v", left)
	}
	if _, err := lab.Open(s.Name); err != nil {
		t.Errorf("its state: %v", err)
	}
}

// TestDownAndUp takes a shelf down and up again: the log is still there.
func TestDownAndUp(t *testing.T) {
	s := bare.up(t)
	s.do(t, "raw", "shelf", "0x0a", "0x44", "0", "0", "0xe0", "0x4d", "0x50", "1", "2", "3", "4", "0", "0", "0", "1", "0", "0", "0")
	before := s.lastID(t)
	s.down(t)
	s = bare.up(t)
	if now := s.lastID(t); now < before || now == 0 {
		t.Errorf("the log ended at %d and now ends at %d", before, now)
	}
}
