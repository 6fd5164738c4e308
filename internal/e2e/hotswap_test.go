//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// leaving is a shelf with a board that a guest's poweroff deactivates.
var leaving = &fixture{name: "h", yaml: `
replicas: 3
nodes:
  - {slot: 1, name: blade1, interface: kcs, on_guest_poweroff: deactivate}
`}

// TestHotSwap has Linux power its board off. The shelf manager deactivates it,
// and gives it power again when somebody wants that, also when the node is
// killed meanwhile.
func TestHotSwap(t *testing.T) {
	s := leaving.up(t)
	before, boot := s.lastID(t), s.bootID(t, "blade1")
	s.expect(t, "blade1", []says{
		{"ipmitool picmg policy get 0", 0, `activation not locked.*deactivation not locked`},
		{"ipmitool picmg power get 0 0", 0, `100`},
		{"ipmitool picmg activate 0", 1, ``},
		{"ipmitool picmg deactivate 0", 1, ``},
		{"ipmitool sdr get 'FRU State'", 0, `FRU State \(0x0\)`},
	})
	s.guest(t, "blade1", "poweroff </dev/null >/dev/null 2>&1 &")
	s.vmState(t, "blade1", "off", "shutdown")
	s.fruState(t, "02")
	s.do(t, "kill", "node/blade1")
	s.do(t, "start", "node/blade1")
	s.fruState(t, "02")
	if out, err := commandOutput("--shelf", s.Name, "raw", "blade1", "0", "2", "1"); err == nil || !strings.Contains(strings.ToLower(out), "d5") {
		t.Errorf("power on: %v, %s", err, out)
	}
	s.fruState(t, "10")
	s.booted(t, "blade1", boot)

	s.do(t, "raw", "blade1", "0x2c", "0x0c", "0", "0", "0")
	s.vmState(t, "blade1", "off", "shutdown")
	s.fruState(t, "02")
	s.do(t, "start", "vm/blade1")
	s.do(t, "wait", "blade1", "--timeout", "5m")
	s.fruState(t, "10")

	var got []string
	for _, e := range s.log(t, before) {
		if r := e.Record; len(r) == 16 && r[10] == 0xF0 && e.Source == 0x82 {
			got = append(got, fmt.Sprintf("%x", r[13:]))
		}
	}
	again := []string{"a23100", "a31200", "a40300"}
	want := slices.Concat([]string{"a53400", "a61500", "a10600"}, again, []string{"a61400", "a10600"}, again)
	if !slices.Equal(got, want) {
		t.Errorf("the log has %q, want %q", got, want)
	}
	s.kernelLog(t, "blade1")
}

// fruState waits until the sensor of blade1 has a state, as its bit in hex.
func (s *shelf) fruState(t *testing.T, bit string) {
	t.Helper()
	eventually(t, patience, "FRU state "+bit, func() error {
		r, err := command(t.Context(), "--shelf", s.Name, "raw", "blade1", "4", "0x2d", "0")
		if err == nil && !strings.Contains(r.out, " "+bit+" 80") {
			err = errors.New(r.out)
		}
		return err
	})
}
