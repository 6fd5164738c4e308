//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"testing"
)

var fanned = &fixture{name: "f", args: []string{"--compact"}, yaml: `
replicas: 1
nodes:
  - {slot: 1, name: blade1}
  - {slot: 9, name: fans1, profile: fan-tray}
`}

// TestFanTray turns the fans of a shelf up: its guest sees them turn, and not
// those that it would set itself, and its own blade gets cooler.
func TestFanTray(t *testing.T) {
	s := fanned.up(t)
	raw := func(args ...string) string { return s.do(t, append([]string{"raw"}, args...)...) }
	raw("fans1", "0x2c", "0x15", "0", "0", "0x14")
	turn := func(rpm, level string) {
		t.Helper()
		eventually(t, patience, "a fan turns at "+rpm, func() error {
			if out := s.one(t, "blade1", "ipmitool -t 0x92 -b 0 sdr elist"); !regexp.MustCompile(`Fan 3 .* ` + rpm + ` RPM`).MatchString(out) {
				return errors.New(out)
			}
			return nil
		})
		s.expect(t, "blade1", []says{
			{"ipmitool -t 0x92 -b 0 picmg addrinfo", 0, `Site Type +: Fan Tray`},
			{"ipmitool -t 0x92 -b 0 raw 0x2c 0x16 0 0", 0, `^ 00 ` + level + ` 32 00`},
			{"ipmitool -t 0x92 -b 0 raw 0x2c 0x15 0 0 30", 1, `rsp=0xd4`},
			{"ipmitool -t 0x92 -b 0 chassis status", 1, `Invalid command`},
		})
	}
	outlet := regexp.MustCompile(`Outlet Temp .* ([0-9.]+) degrees`)
	temperature := func() float64 {
		t.Helper()
		m := outlet.FindStringSubmatch(s.one(t, "blade1", "ipmitool sdr elist"))
		if m == nil {
			t.Fatal("no outlet temperature")
		}
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	turn("2000", "14")
	warm := temperature()
	raw("fans1", "0x2c", "0x15", "0", "0", "0x64")
	turn("(9900|9950|10000)", "64")
	eventually(t, patience, "the air leaves cooler", func() error { // the board may have been cold, and busy since
		if cool := temperature(); cool >= warm {
			return fmt.Errorf("%g °C with full fans, and %g with slow ones", cool, warm)
		}
		return nil
	})
}
