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
)

// Linux's own driver feeds the timer, sees each kind of warning, and is reset
// when it stops feeding. The node is killed in between, and its successor has
// the deadline.
func TestE2EWatchdog(t *testing.T) {
	for _, iface := range []string{"kcs", "bt"} {
		t.Run(iface, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, node.ProfileServer, iface, "")
			s.testsItsNMI()
			s.isResetUnlessFed()
		})
	}
}

// testsItsNMI loads the driver with an NMI as warning. It then has the timer
// send one, and complains if none comes.
func (s *site) testsItsNMI() {
	s.t.Helper()
	s.must("modprobe ipmi_watchdog action=reset preaction=pre_nmi preop=preop_none timeout=60 pretimeout=5")
	log := s.must("dmesg | grep -iE 'ipmi|nmi'")
	for _, bad := range []string{"didn't seem to occur", "likely not work", "Unable to register", "uhhuh"} {
		if strings.Contains(log, bad) {
			s.t.Errorf("the driver says:\n%s", log)
		}
	}
	s.must("rmmod ipmi_watchdog")
	if got := s.must("ipmitool sel list"); !strings.Contains(got, "Timer interrupt") {
		s.t.Errorf("no warning in the log:\n%s", got)
	}
}

// isResetUnlessFed feeds the timer for longer than its countdown, and stops.
func (s *site) isResetUnlessFed() {
	s.t.Helper()
	s.must("ipmitool sel clear")
	s.must("modprobe ipmi_watchdog action=reset preaction=pre_int preop=preop_give_data timeout=15 pretimeout=10")
	boot, vm := s.must("cat /proc/sys/kernel/random/boot_id"), s.status("the VM runs", running).VmPid
	s.must(`(exec 3<>/dev/watchdog
		(dd bs=1 count=1 <&3 >/run/warned 2>/dev/null; sleep 1000) & # a close would feed it
		while echo >&3; do sleep 1; done) >/dev/null 2>&1 </dev/null &
		echo $! >/run/feeder`)
	time.Sleep(20 * time.Second) // for a timer that is not fed
	if now := s.must("cat /proc/sys/kernel/random/boot_id"); now != boot {
		s.t.Fatal("the guest was reset while it fed the timer")
	}
	if got := s.must("ipmitool mc watchdog get"); !strings.Contains(got, "SMS/OS") || !strings.Contains(got, "Started/Running") {
		s.t.Errorf("timer:\n%s", got)
	}
	s.must("kill -KILL $(cat /run/feeder)")
	s.killNode()
	s.eventually("the guest is warned", patience, func() error { return s.quick("test -s /run/warned") })
	s.eventually("the guest boots again", bootLimit, func() error {
		return s.quick("test -e /run/ready -a $(cat /proc/sys/kernel/random/boot_id) != " + strings.TrimSpace(boot))
	})
	if now := s.status("the VM runs", running).VmPid; now != vm {
		s.t.Errorf("QEMU is process %d after %d", now, vm)
	}
	log := s.must("ipmitool sel list")
	for _, want := range []string{"Timer interrupt", "Hard reset"} {
		if strings.Count(log, want) != 1 {
			s.t.Errorf("not one %q in the log:\n%s", want, log)
		}
	}
	if got := s.must("ipmitool mc watchdog get"); strings.Contains(got, "Started/Running") {
		s.t.Errorf("timer after the reset:\n%s", got)
	}
}

// quick runs a command line in a guest that may not be there.
func (s *site) quick(line string) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	r, err := s.agent.Exec(ctx, agent.Command{Path: "/bin/sh", Args: []string{"-c", line}})
	if err == nil && r.ExitCode != 0 {
		err = errors.New("not yet")
	}
	return err
}
