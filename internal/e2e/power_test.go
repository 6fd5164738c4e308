//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// vmState waits until a VM is in one of these states.
func (s *shelf) vmState(t *testing.T, node string, want ...string) {
	t.Helper()
	eventually(t, bootLimit, fmt.Sprintf("the VM of %s is %v", node, want), func() error {
		st, err := s.NodeStatus(t.Context(), node)
		if err == nil && !slices.Contains(want, st.VmState) {
			err = errors.New("it is " + st.VmState)
		}
		return err
	})
}

// TestPowerOff has Linux switch a blade off, and reboots the other meanwhile.
func TestPowerOff(t *testing.T) {
	s := blades.up(t)
	s.guest(t, "blade1", "poweroff </dev/null >/dev/null 2>&1 &")
	s.vmState(t, "blade1", "off", "shutdown")
	s.do(t, "wait", "blade1", "--for", "power=off")
	s.chassis(t, "blade1", "0 1", isOff)

	vm, boot := s.node(t, "blade2").VmPid, s.bootID(t, "blade2")
	s.guest(t, "blade2", "reboot </dev/null >/dev/null 2>&1 &")
	eventually(t, bootLimit, "blade2 has booted again", func() error {
		r, err := command(t.Context(), "--shelf", s.Name, "exec", "blade2", "--timeout", "10s", "--", "cat", "/proc/sys/kernel/random/boot_id", "/run/ready")
		if err == nil && (r.code != 0 || r.out == boot) {
			err = errors.New(r.String())
		}
		return err
	})
	if now := s.node(t, "blade2").VmPid; now != vm {
		t.Errorf("a reboot made process %d of %d", now, vm)
	}
	s.expect(t, "blade2", []says{
		{"ipmitool chassis restart_cause", 0, `soft reset`},
		{"ipmitool -b 0 -t 0x82 mc info", 0, ``}, // the controller of the blade that is off
	})
	s.kernelLog(t, "blade2")

	if st := s.node(t, "blade1"); st.VmState != "off" && st.VmState != "shutdown" {
		t.Errorf("blade1 was switched off and is %s", st.VmState)
	}
	s.do(t, "start", "vm/blade1")
	s.do(t, "wait", "blade1", "--timeout", "5m")
	s.expect(t, "blade1", []says{{"ipmitool mc info", 0, ``}, {"ipmitool -b 0 -t 0x84 mc info", 0, ``}})
	s.kernelLog(t, "blade1")
}
