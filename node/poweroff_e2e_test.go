//go:build e2e

package node_test

import (
	"strings"
	"testing"
	"time"

	"github.com/midplane-project/midplane/node"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Linux without ACPI asks its BMC for the power off: an ATCA board by Set Power
// Level, a server by Chassis Control. The VM stays off then.
func TestE2EPoweroff(t *testing.T) {
	for _, profile := range []string{node.ProfileATCA, node.ProfileServer} {
		t.Run(profile, func(t *testing.T) {
			s := newSite(t, profile, "kcs", "acpi=off midplane.poweroff")
			style := s.must("dmesg | grep -i 'ipmi poweroff'")
			if want := map[string]string{node.ProfileATCA: "ATCA", node.ProfileServer: "chassis"}[profile]; !strings.Contains(style, want) {
				t.Errorf("Linux found %s, want %s", style, want)
			}
			s.must("poweroff </dev/null >/dev/null 2>&1 &")
			off := func(st *v1.NodeStatusResponse) bool { return st.VmState == "off" }
			s.status("the VM is off", off)
			_ = s.node.end(15)
			s.startNode()
			time.Sleep(3 * time.Second) // for a node that would start it
			s.status("the VM is off after a restart of the node", off)
		})
	}
}

// What ipmitool says to a person in the guest has no complaints in it.
func TestE2ETools(t *testing.T) {
	s := newSite(t, node.ProfileServer, "kcs", "")
	for _, c := range []struct{ line, want string }{
		{"ipmitool mc info", "Firmware Revision         : 0.10"},
		{"ipmitool event 1", ""},
		{"ipmitool sel list", "Temperature"},
		{"ipmitool sdr elist all", "blade1"},
		{"ipmitool chassis status", "System Power         : on"},
		{"ipmitool chassis power status", "Chassis Power is on"},
		{"ipmitool sel info", "Entries"},
		{"ipmitool mc selftest", "passed"},
		{"ipmi-sel --quiet-cache --no-header-output", "Temperature"},
	} {
		out := s.must(c.line)
		if !strings.Contains(out, c.want) {
			t.Errorf("%s: no %q in\n%s", c.line, c.want, out)
		}
		for _, bad := range []string{"rror", "nvalid", "ailed"} {
			if strings.Contains(out, bad) {
				t.Errorf("%s complains:\n%s", c.line, out)
			}
		}
	}
}
