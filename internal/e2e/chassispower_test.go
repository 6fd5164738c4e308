//go:build e2e

package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// What Get Chassis Status says of a VM that is on, or off: bit 0 of the first byte.
const (
	isOn  = `(?m)^[0-9a-f][13579bdf] `
	isOff = `(?m)^[0-9a-f][02468ace] `
)

// bootLimit is enough for a guest on a busy machine.
const bootLimit = 5 * time.Minute

// chassis sends a request without the guest, which must be answered so.
func (s *shelf) chassis(t *testing.T, node, request, want string) {
	t.Helper()
	out := s.do(t, append([]string{"raw", node}, strings.Fields(request)...)...)
	if !regexp.MustCompile(want).MatchString(out) {
		t.Errorf("%s: %s: want %q, got %s", node, request, want, out)
	}
}

// booted waits until a guest is up that is not the one it was.
func (s *shelf) booted(t *testing.T, node, before string) {
	t.Helper()
	eventually(t, bootLimit, node+" has booted again", func() error {
		r, err := command(t.Context(), "--shelf", s.Name, "exec", node, "--timeout", "10s", "--", "cat", "/proc/sys/kernel/random/boot_id", "/run/ready")
		if err == nil && (r.code != 0 || strings.HasPrefix(r.out, strings.TrimSpace(before))) {
			err = errors.New(r.String())
		}
		return err
	})
	s.expect(t, node, []says{{"ipmitool mc info", 0, `IPMI Version`}})
}

// TestChassisPower does to the VM what Chassis Control says, and has Linux tell
// of its own end.
func TestChassisPower(t *testing.T) {
	s := blades.up(t)
	t.Run("in", func(t *testing.T) {
		t.Run("panic and cycle", func(t *testing.T) {
			t.Parallel()
			s.panicAndCycle(t, "blade1", 0x82)
		})
		t.Run("cycle, reset, soft, up", func(t *testing.T) {
			t.Parallel()
			s.cycleResetSoftUp(t, "blade2")
		})
	})
	s.kernelLog(t, "blade1")
	s.kernelLog(t, "blade2")
}

// panicAndCycle has Linux panic with panic_op=string: it tells its controller
// by Platform Event, and stores the text at its event receiver, 0x20, in
// records of type F0h: address of the sender, number of the part, 11 bytes.
//
// It is cycled, not reset: under TCG a VM that has run many programs boots after a
// reset many times slower than in a new process.
func (s *shelf) panicAndCycle(t *testing.T, node string, addr byte) {
	before, boot := s.lastID(t), s.bootID(t, node)
	s.guest(t, node, "ipmitool sel clear", "echo string >/sys/module/ipmi_msghandler/parameters/panic_op")
	s.begin(t, node, "sh", "-c", "echo c >/proc/sysrq-trigger") // nobody is left to answer
	eventually(t, patience, "the text of the panic is in the shelf's log", func() error {
		var text []byte
		for _, e := range s.log(t, before) {
			if r := e.Record; len(r) == 16 && r[2] == 0xF0 && r[3] == addr && byte(e.Source) == addr {
				text = append(text, r[5:]...)
			}
		}
		if !bytes.Contains(text, []byte("sysrq triggered crash")) {
			return fmt.Errorf("there is %q", text)
		}
		return nil
	})
	s.chassis(t, node, "0 1", isOn) // a VM that has panicked is on
	s.chassis(t, node, "0 2 2", ``)
	s.booted(t, node, boot)
	s.chassis(t, node, "0 7", `(?m)^01 00$`) // by Chassis Control on the IPMB
	s.expect(t, node, []says{
		{"ipmitool chassis restart_cause", 0, `chassis power control command`},
		{"ipmitool sel elist", 0, `OS Critical Stop #0x73 \| Run-time critical stop.*OS Critical Stop OS Stop \| Run-time critical stop|` +
			`OS Critical Stop OS Stop \| Run-time critical stop.*OS Critical Stop #0x73 \| Run-time critical stop`},
	})
}

// cycleResetSoftUp switches a VM off and on in the ways of Chassis Control; it
// cannot be asked for its own view while it is off.
func (s *shelf) cycleResetSoftUp(t *testing.T, node string) {
	s.guest(t, node, "ipmitool sel clear")
	boot := s.bootID(t, node)
	s.chassis(t, node, "0 2 2", ``)
	s.booted(t, node, boot)
	s.expect(t, node, []says{
		{"ipmitool chassis restart_cause", 0, `chassis power control command`},
		{"ipmitool chassis status", 0, `System Power +: on.*Last Power Event +: command`},
		{"ipmitool sel elist", 0, `Power Unit \| Power cycle \| Asserted.*Power Unit \| Power off/down \| Asserted.*` +
			`ACPI State \| S5/G2: soft-off \| Asserted.*Power Unit \| Power off/down \| Deasserted`},
	})
	vm, boot := s.node(t, node).VmPid, s.bootID(t, node)
	s.chassis(t, node, "0 2 3", ``)
	s.booted(t, node, boot)
	if now := s.node(t, node).VmPid; now != vm {
		t.Errorf("a reset made process %d of %d", now, vm)
	}
	boot = s.bootID(t, node)
	s.chassis(t, node, "0 2 5", ``)
	s.vmState(t, node, "off", "shutdown")
	s.chassis(t, node, "0 1", isOff)
	s.chassis(t, node, "0 2 1", ``)
	s.booted(t, node, boot)
	s.expect(t, node, []says{{"ipmitool power status", 0, `Power is on`}})
}
