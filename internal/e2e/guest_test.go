//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ran is a command that ran in a guest.
type ran struct {
	cmd, out string // both outputs
	code     int
	took     time.Duration // in the guest's time
}

func (r ran) String() string { return fmt.Sprintf("%s: exit code %d\n%s", r.cmd, r.code, r.out) }

// mark stands between the outputs of a batch.
const mark = "\x1e"

// guest runs shell commands in a guest, one after the other but in one call:
// starting a program under TCG is slow enough.
func (s *shelf) guest(t *testing.T, node string, cmds ...string) []ran {
	t.Helper()
	var script strings.Builder
	for _, c := range cmds {
		fmt.Fprintf(&script, "read -r t0 x </proc/uptime; { %s\n} 2>&1; rc=$?; read -r t1 x </proc/uptime\n", c)
		script.WriteString(`printf '\036%s %s %s\036' $rc $t0 $t1` + "\n")
	}
	out := s.do(t, "exec", node, "--", "sh", "-c", script.String())
	parts := strings.Split(out, mark)
	if len(parts) != 2*len(cmds)+1 {
		t.Fatalf("%s: cannot read the output of %d commands:\n%s", node, len(cmds), out)
	}
	all := make([]ran, len(cmds))
	for i, c := range cmds {
		var from, to float64
		all[i] = ran{cmd: node + ": " + c, out: parts[2*i]}
		if _, err := fmt.Sscan(parts[2*i+1], &all[i].code, &from, &to); err != nil {
			t.Fatalf("%s: %v in %q", node, err, parts[2*i+1])
		}
		all[i].took = time.Duration((to - from) * float64(time.Second))
	}
	return all
}

// one is guest for a single command that must succeed.
func (s *shelf) one(t *testing.T, node, cmd string) string {
	t.Helper()
	r := s.guest(t, node, cmd)[0]
	if r.code != 0 {
		t.Fatal(r)
	}
	return r.out
}

// says is a command in a guest and what must come of it.
type says struct {
	cmd  string
	code int
	want string // regular expression; (?s) is set
}

// expect runs a batch and compares.
func (s *shelf) expect(t *testing.T, node string, all []says) []ran {
	t.Helper()
	cmds := make([]string, len(all))
	for i, c := range all {
		cmds[i] = c.cmd
	}
	got := s.guest(t, node, cmds...)
	for i, c := range all {
		if got[i].code != c.code || !regexp.MustCompile("(?s)"+c.want).MatchString(got[i].out) {
			t.Errorf("want exit code %d and %q; got %s", c.code, c.want, got[i])
		}
	}
	return got
}

// job is a command in a guest that goes on while the test does other things.
type job struct {
	t    *testing.T
	what string
	done chan struct{}
	r    result
	err  error
}

// begin starts a command in a guest.
func (s *shelf) begin(t *testing.T, node string, argv ...string) *job {
	j := &job{t: t, what: strings.Join(argv, " "), done: make(chan struct{})}
	args := append([]string{"--shelf", s.Name, "exec", node, "--"}, argv...)
	go func() {
		defer close(j.done)
		j.r, j.err = command(t.Context(), args...)
	}()
	return j
}

// wait waits for its end.
func (j *job) wait() result {
	j.t.Helper()
	<-j.done
	if j.err != nil {
		j.t.Fatalf("%s: %v", j.what, j.err)
	}
	return j.r
}

// bootID changes each time a guest's kernel starts.
func (s *shelf) bootID(t *testing.T, node string) string {
	t.Helper()
	return s.one(t, node, "cat /proc/sys/kernel/random/boot_id")
}

// usual are the lines of Linux 6.1's IPMI drivers when all is well.
var usual = []string{
	`IPMI message handler: version 39\.2`,
	`ipmi device interface`,
	`ipmi_si: IPMI System Interface driver`,
	`ipmi_si \S+: ipmi_platform: probing via (SMBIOS|ACPI)`,
	`ipmi_platform: ipmi_si: SMBIOS: io 0x\w+ regsize 1 spacing 1 irq \d+`,
	`ipmi_si: Adding (SMBIOS|ACPI|PCI)-specified (kcs|bt) state machine`,
	`ipmi_si IPI0001:00: ipmi_platform: \[io  0x\w+-0x\w+\] regsize 1 spacing 1 irq \d+`,
	`ipmi_si \S+: Removing SMBIOS-specified (kcs|bt) state machine in favor of ACPI`,
	`ipmi_si: Trying (SMBIOS|ACPI|PCI)-specified (kcs|bt) state machine at i/o address 0x\w+, slave address 0x\w+, irq \d+`,
	`ipmi_si \S+: req2rsp=10 secs retries=0`,
	`ipmi_si \S+: Using irq \d+`,
	`ipmi_(si|ssif) \S+: IPMI message handler: Found new BMC \(man_id: 0x000000, prod_id: 0x0000, dev_id: 0x20\)`,
	`ipmi_si \S+: IPMI (kcs|bt) interface initialized`,
	`ipmi_ssif: IPMI SSIF Interface driver`,
	`ipmi_poweroff: .*`, `IPMI poweroff: .*`,
}

// kernelLog fails the test for each line of the guest's IPMI drivers that is
// neither usual nor one of those that the caller knows.
func (s *shelf) kernelLog(t *testing.T, node string, known ...string) {
	t.Helper()
	var allowed []*regexp.Regexp
	for _, line := range append(usual, known...) {
		allowed = append(allowed, regexp.MustCompile(`^(\[ *[0-9.]+\] )?`+line+`$`))
	}
	lines := strings.Split(s.one(t, node, `dmesg | grep -i -E 'ipmi|bmc|\bkcs\b|B_BUSY' || :`), "\n")
lines:
	for _, line := range lines {
		if strings.Contains(line, "Command line:") || strings.TrimSpace(line) == "" {
			continue
		}
		for _, r := range allowed {
			if r.MatchString(strings.TrimRight(line, " \r")) {
				continue lines
			}
		}
		t.Errorf("%s: its kernel says: %s", node, line)
	}
}

// restarts is how often tests restart something: a number that the environment
// raises for long runs.
func restarts(t *testing.T) int {
	text := os.Getenv("MIDPLANE_E2E_RESTARTS")
	if text == "" {
		return 20
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("MIDPLANE_E2E_RESTARTS=%s: want a number from 1", text)
	}
	return n
}

// commandOutput is for cleaning up, when the test's context has ended.
func commandOutput(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, bin, args...).CombinedOutput()
	return string(out), err
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
