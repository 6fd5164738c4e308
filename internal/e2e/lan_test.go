//go:build e2e

package e2e_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// sh runs a line in a shell that knows midplane and means this shelf.
func (s *shelf) sh(t *testing.T, line string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), cliLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", "set -e -o pipefail; "+line)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(bin)+":"+os.Getenv("PATH"), "MIDPLANE_SHELF="+s.Name)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// TestLANDoors pastes what midplane prints into a shell, and asks with the
// clients that people have.
func TestLANDoors(t *testing.T) {
	s := blades.up(t)
	for _, one := range []struct{ line, want string }{
		{`eval $(midplane env); $IPMITOOL -b 0 -t 0x84 picmg addrinfo`, `IPMB-0 Address +: 0x84`},
		{`midplane ipmi shelf -b 0 -t 0x82 chassis power status`, `Chassis Power is on`},
		{`midplane env --freeipmi | tail -n 1 | bash`, `Device SDRs +: unsupported`},
		{`midplane ps | grep shelf`, ` 127\.77\.[0-9]+\.0:(623|6230) +present`},
		{`eval $(midplane env blade1); $IPMITOOL mc info`, `Provides Device SDRs      : yes`},
		{`eval $(midplane env blade1); $IPMITOOL -b 0 -t 0x84 picmg addrinfo`, `IPMB-0 Address +: 0x84`},
		{`eval "$(midplane env blade2)"; $IPMITOOL picmg addrinfo`, `IPMB-0 Address +: 0x84`},
		{`midplane up | grep -o 'ipmitool -I .*# .*$' | bash`, `(?s)Device SDRs +: no.*Device SDRs +: yes`},
		{`midplane ipmi 0x82 chassis power status`, `Chassis Power is on`},
		{`midplane ipmi blade2 -v sdr get 'CPU Temp'`, `Sensor Type \(Threshold\)  : Temperature`},
		{`echo 'mc guid' | midplane ipmi 2 exec /dev/stdin`, `System GUID`},
		{`midplane env --freeipmi blade2 | tail -n 1 | bash`, `Device SDRs +: supported`},
		{`midplane ps | grep blade1`, ` 127\.77\.[0-9]+\.1:(623|6230) +present`},
	} {
		if out := s.sh(t, one.line); !regexp.MustCompile(one.want).MatchString(out) {
			t.Errorf("%s: want %s, got\n%s", one.line, one.want, out)
		}
	}
	fails(t, 1, []string{"Invalid command"}, "--shelf", s.Name, "ipmi", "blade1", "nonsense")
	password, err := s.Doors()[0].Password()
	if err != nil {
		t.Fatal(err)
	}
	for pid, line := range processes(password) {
		t.Errorf("process %s has the password: %s", pid, strings.ReplaceAll(line, password, "…"))
	}
}
