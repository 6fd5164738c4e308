//go:build e2e

package e2e_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestBadBMC has Linux meet a BMC that misbehaves, and states what it does.
func TestBadBMC(t *testing.T) {
	s := blades.up(t)
	const ask = "midplane-guest raw --timeout 60s 6 1"
	known := []struct {
		fault string
		code  int
		says  string
		least time.Duration // of the guest's time
	}{
		{"delay 2s", 0, "cc 00: 20", 2 * time.Second},                 // waited for
		{"delay 5s", 1, "cc c3", 4 * time.Second},                     // QEMU's patience ends
		{"drop", 1, "cc c3", 4 * time.Second},                         // as above
		{"bad-checksum", 1, "cc c3", 4 * time.Second},                 // QEMU drops it
		{"cc 0xc0", 1, "cc c0", 0},                                    // the user's to deal with
		{"truncate 0", 0, "cc 00:\n", 0},                              // lengths are the user's business
		{"truncate 3", 0, "cc 00: 20 81 [0-9a-f][0-9a-f]\n", 0},       // as above
		{"wrong-seq", -1, "cc (00: 20|d2|c0|ff)", 5 * time.Second},    // see below
		{"cc 0xd5 --match 0x0a/0x40 --count 1", 0, "cc 00: 20 81", 0}, // another command
	}
	for _, blade := range []string{"blade1", "blade2"} {
		t.Run(blade, func(t *testing.T) {
			t.Parallel()
			for _, k := range known {
				fault := k.fault
				if !strings.Contains(fault, "--match") {
					fault += " --match 6/1 --count 1"
				}
				s.do(t, append([]string{"fault", "bmc", blade}, strings.Fields(fault)...)...)
				got := s.guest(t, blade, ask)[0]
				// What wrong-seq comes to depends on the driver: KCS sends the request again,
				// BT gives it up. That the interface works afterwards is what counts.
				if k.code >= 0 && got.code != k.code || got.took < k.least || !regexp.MustCompile(k.says).MatchString(got.out) {
					t.Errorf("%s: want %q, exit code %d, after %v: %s took %v", k.fault, k.says, k.code, k.least, got, got.took)
				}
				s.expect(t, blade, []says{{ask, 0, "cc 00: 20 81"}})
			}
			s.do(t, "fault", "heal", blade)
			if left := okJSON[[]struct{ Fault string }](t, "--shelf", s.Name, "fault", "ls", blade); len(left) != 0 {
				t.Errorf("left: %+v", left)
			}
		})
	}
}

// TestAttentionStuck: a KCS driver asks for the flags again and again while the
// line is up for nothing; a BT driver lowers the line itself and asks once.
func TestAttentionStuck(t *testing.T) {
	s := blades.up(t)
	for blade, storm := range map[string]bool{"blade1": true, "blade2": false} {
		asks := func(during string) int {
			return strings.Count(s.do(t, "trace", blade, "--for", during), "Get Message Flags")
		}
		s.do(t, "fault", "bmc", blade, "attn-stuck")
		asked := asks("2s")
		if !storm && asked > 200 {
			t.Errorf("%s: asked for its flags %d times", blade, asked)
		}
		eventually(t, patience, blade+" asks on and on", func() error { // on a slow machine a storm takes its time
			if !storm || asked > 200 {
				return nil
			}
			asked += asks("2s")
			return fmt.Errorf("asked %d times", asked)
		})
		s.expect(t, blade, []says{{"ipmitool mc info", 0, `IPMI Version +: 2\.0`}})
		s.do(t, "fault", "heal", blade)
		eventually(t, patience, blade+" is healed", func() error {
			if asked := asks("1s"); asked > 20 {
				return fmt.Errorf("still asks: %d times", asked)
			}
			return nil
		})
	}
}

// TestQueueNeverEmpty: Linux 6.1 fetches messages for as long as there are any,
// and answers those that nobody is registered for; its users are served besides.
func TestQueueNeverEmpty(t *testing.T) {
	s := blades.up(t)
	const count = 50
	s.do(t, "fault", "bmc", "blade1", "queue-never-empty", "--count", fmt.Sprint(count))
	eventually(t, patience, "all messages are fetched", func() error {
		if left := okJSON[[]struct{ Hits int }](t, "--shelf", s.Name, "fault", "ls", "blade1"); len(left) > 0 {
			return fmt.Errorf("%d of %d", left[0].Hits, count)
		}
		return nil
	})
	s.expect(t, "blade1", []says{
		{"ipmitool mc info", 0, `IPMI Version +: 2\.0`},
		{"ipmitool -b 0 -t 0x84 mc info", 0, `IPMI Version +: 2\.0`},
	})
}
