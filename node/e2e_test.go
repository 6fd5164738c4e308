//go:build e2e

package node_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/node"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// restarts is how often a node is replaced under its guest's load: twenty times
// in both ways, on each interface.
const restarts = 10

func TestE2ETakeOver(t *testing.T) {
	for _, iface := range []string{"kcs", "bt"} {
		t.Run(iface, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, node.ProfileATCA, iface, "")
			s.underLoad(func() { s.takeOver() }, 0)
		})
	}
}

// TestE2ESIGKILL kills the node, which another process follows.
func TestE2ESIGKILL(t *testing.T) {
	for _, iface := range []string{"kcs", "bt"} {
		t.Run(iface, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, node.ProfileATCA, iface, "")
			s.underLoad(func() { s.killNode() }, -1)
		})
	}
}

// tally is what midplane-guest loop prints.
type tally struct {
	Sent, OK, Failed, Lost, Writes int
	Codes                          map[string]int
	Rate                           float64
	MaxMS                          float64 `json:"max_ms"`
}

// underLoad replaces the node again and again, while its guest asks it and the
// shelf manager. The VM is the same one in the end, its driver works, and what
// it wrote at 0x20 is there once. Of its own BMC's answers at most so many may
// be D2h; -1 does not count them, since a killed node cannot answer.
func (s *site) underLoad(replace func(), failed int) {
	s.t.Helper()
	vm := s.status("the VM runs", func(st *v1.NodeStatusResponse) bool { return st.VmLink }).VmPid
	boot := s.must("cat /proc/sys/kernel/random/boot_id")
	s.must("midplane-guest loop --local --inflight 4 --for 1h >/run/local 2>&1 & echo $! >/run/local.pid")
	s.must("midplane-guest loop --target 0x20 --mix both --inflight 8 --for 1h --tag 0x4d504c31 >/run/bus 2>&1 & echo $! >/run/bus.pid")
	for i := range restarts {
		replace()
		s.status("the new node has the VM", func(st *v1.NodeStatusResponse) bool {
			return st.VmLink && st.VmState == "running" && len(st.Uplinks) == 1 && st.Uplinks[0].Connected && st.Boot >= uint64(i+2)
		})
		s.must("midplane-guest raw --timeout 20s 6 1")
	}
	s.must("kill -TERM $(cat /run/local.pid) $(cat /run/bus.pid)")
	s.eventually("the loops end", patience, func() error {
		s.must("while pidof midplane-guest >/dev/null; do sleep 0.2; done")
		return nil
	})
	if now := s.status("", func(*v1.NodeStatusResponse) bool { return true }).VmPid; now != vm {
		s.t.Errorf("the VM is process %d after %d", now, vm)
	}
	if now := s.must("cat /proc/sys/kernel/random/boot_id"); now != boot {
		s.t.Error("the guest has booted again")
	}
	local, bus := s.tally("/run/local"), s.tally("/run/bus")
	s.t.Logf("local: %+v", local)
	s.t.Logf("at 0x20: %+v", bus)
	if failed >= 0 && local.Failed+local.Lost > failed {
		s.t.Errorf("local: %d failed, %d lost: %v", local.Failed, local.Lost, local.Codes)
	}
	s.onceLogged(bus, failed >= 0)
	for _, line := range strings.Split(s.must("dmesg"), "\n") {
		if wedged.MatchString(line) {
			s.t.Errorf("the guest's kernel: %s", line)
		}
	}
}

// wedged is what a kernel says whose interface does not answer any more.
var wedged = regexp.MustCompile(`(?i)(ipmi|kcs|bt).*(timeout|timed out|no bmc|invalid|error|hung|busy)`)

func (s *site) tally(path string) (out tally) {
	s.t.Helper()
	text := s.must("cat " + path)
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &out); err != nil {
		s.t.Fatalf("%s: %v\n%s", path, err, text)
	}
	return out
}

// onceLogged checks that the loop's writes are in the shelf's log: none more
// than once, and all of them if all were answered.
func (s *site) onceLogged(l tally, all bool) {
	s.t.Helper()
	missing, twice := 0, 0
	found := s.logged("4d504c31")
	for serial := 1; serial <= l.Writes; serial++ {
		switch found[uint32(serial)] {
		case 0:
			missing++
		case 1:
		default:
			twice++
		}
	}
	if all && (l.Failed+l.Lost > 0 || missing > 0) || twice > 0 || l.Writes == 0 {
		s.t.Errorf("at 0x20: %d failed, %d lost of %d (%v); of %d writes %d are missing, %d there more than once",
			l.Failed, l.Lost, l.Sent, l.Codes, l.Writes, missing, twice)
	}
}
