//go:build e2e

package e2e_test

import (
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestExecInterrupted leaves nothing of an interrupted command in the guest.
func TestExecInterrupted(t *testing.T) {
	s := blades.up(t)
	s.one(t, "blade1", "rm -f /tmp/began /tmp/went-on")
	cmd := exec.CommandContext(t.Context(), bin, "--shelf", s.Name, "exec", "blade1", "--",
		"sh", "-c", `sh -c 'echo $$ >/tmp/began; sleep 1000; :'; touch /tmp/went-on`)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var child string
	eventually(t, patience, "the command runs", func() error {
		child = strings.TrimSpace(s.one(t, "blade1", "cat /tmp/began 2>/dev/null || :"))
		if child == "" {
			return errors.New("it does not")
		}
		return nil
	})
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 125 {
		t.Errorf("interrupted: %v", err)
	}
	eventually(t, patience, "what it started has ended", func() error {
		if s.one(t, "blade1", "test -e /proc/"+child+" && echo runs || :") != "" {
			return errors.New("it runs")
		}
		return nil
	})
	s.expect(t, "blade1", []says{{"test -e /tmp/went-on", 1, ""}})
}
