//go:build e2e

package node_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/midplane-project/midplane/node"
	"github.com/midplane-project/midplane/node/power/agent"
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

// What ipmitool says to a person in the guest has no complaints in it. Only the
// first one after an event takes that, from the event message buffer, for an
// answer, as with any BMC that has one.
func TestE2ETools(t *testing.T) {
	s := newSite(t, node.ProfileServer, "kcs", "")
	s.sh("ipmitool event 1; ipmitool mc info")
	for _, c := range []struct{ line, want string }{
		{"ipmitool mc info", "Firmware Revision         : 0.10"},
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

// A guest resets and cycles its own VM through its BMC.
func TestE2EOwnReset(t *testing.T) {
	s := newSite(t, node.ProfileServer, "bt", "")
	bootID := func() string { return s.must("cat /proc/sys/kernel/random/boot_id") }
	for _, c := range []struct {
		action   string
		sameQEMU bool
	}{{"reset", true}, {"cycle", false}} {
		boot, vm := bootID(), s.status("the VM runs", running).VmPid
		s.must("ipmitool chassis power " + c.action + " </dev/null >/dev/null 2>&1 &")
		s.eventually("the guest boots again", bootLimit, func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			r, err := s.agent.Exec(ctx, agent.Command{Path: "/bin/cat", Args: []string{"/proc/sys/kernel/random/boot_id", "/run/ready"}})
			if err == nil && (r.ExitCode != 0 || string(r.Stdout) == boot) {
				err = errors.New("not yet")
			}
			return err
		})
		if now := s.status("the VM runs", running).VmPid; (now == vm) != c.sameQEMU {
			t.Errorf("%s: QEMU is process %d after %d", c.action, now, vm)
		}
		s.must("ipmitool mc info")
	}
}

func running(st *v1.NodeStatusResponse) bool { return st.VmLink && st.VmState == "running" }
