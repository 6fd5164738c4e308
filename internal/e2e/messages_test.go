//go:build e2e

package e2e_test

import (
	"fmt"
	"strings"
	"testing"
)

// blade is one side of the tests that run from both blades.
type blade struct{ name, addr, other, otherName string }

// sides are the KCS and the BT blade.
var sides = []blade{
	{"blade1", "0x82", "0x84", "blade2"},
	{"blade2", "0x84", "0x82", "blade1"},
}

// TestMessages sends what ipmitool sends, from both blades, to the own
// controller, the other one and the shelf manager.
func TestMessages(t *testing.T) {
	s := blades.up(t)
	for _, b := range sides {
		t.Run(b.name, func(t *testing.T) {
			address := func(addr string) string { return `IPMB-0 Address +: ` + addr }
			s.expect(t, b.name, []says{
				{"ipmitool mc info", 0, `IPMI Version +: 2\.0.*SEL Device.*IPMB Event Generator`},
				{"ipmitool mc guid", 0, `GUID`},
				{"ipmitool mc selftest", 0, `Selftest: passed`},
				{"ipmitool sel info", 0, `Entries`},
				{"ipmitool picmg addrinfo", 0, address(b.addr)},
				{"ipmitool picmg properties", 0, `PICMG Ext\. Version : 2\.3`},
				{"ipmitool -b 0 -t " + b.other + " mc info", 0, `IPMI Version +: 2\.0`},
				{"ipmitool -b 0 -t " + b.other + " picmg addrinfo", 0, address(b.other)},
				{"ipmitool -b 0 -t 0x20 mc info", 0, `IPMI Version +: 2\.0.*SDR Repository Device`},
				{"ipmitool -b 0 -t 0x20 picmg addrinfo", 0, address("0x20")},
				{"ipmitool -b 0 -t 0x20 sel info", 0, `Entries`},
				// From one controller to the next to the last: what answers is the shelf manager.
				{"ipmitool -T " + b.other + " -B 0 -t 0x20 -b 0 picmg addrinfo", 0, address("0x20")},
				{"ipmitool -b 0 -t 0x90 mc info", 1, `Destination unavailable`},
				{"ipmitool -b 7 -t 0x20 mc info", 1, ``},
				{"bmc-info --get-device-guid", 0, ``},
			})
			s.toldAtOnce(t, b.name)
			s.kernelLog(t, b.name)
		})
	}
}

// toldAtOnce asks a controller that is not there. Linux is told so by the answer to its
// first Send Message; otherwise it would send five.
func (s *shelf) toldAtOnce(t *testing.T, node string) {
	t.Helper()
	const tells, last = "18340090", "1808" // Send Message to 0x90; Get Device GUID
	watch := s.trace(t, node)
	s.expect(t, node, []says{{"midplane-guest send --target 0x90 6 1", 1, `^cc d3:\n$`}, {"midplane-guest raw 6 8", 0, ``}})
	tries := 0
	for e := watch.next(t); e.Kind != "system" || !strings.HasPrefix(e.Bytes, last); e = watch.next(t) {
		if e.Kind == "system" && strings.HasPrefix(e.Bytes, tells) {
			tries++
		}
	}
	if tries != 1 {
		t.Errorf("%s: Linux sent %d times", node, tries)
	}
}

// TestGuestSoftware has programs in the guests speak to each other by LUN 2.
func TestGuestSoftware(t *testing.T) {
	s := blades.up(t)
	for _, b := range sides {
		t.Run(b.name+" to "+b.otherName, func(t *testing.T) {
			s.one(t, b.otherName, `midplane-guest respond --netfn 0x30 --cmd 1 --count 2 --for 3m </dev/null >/tmp/heard 2>&1 &
				until grep -q answering /tmp/heard; do sleep 0.05; done`)
			s.expect(t, b.name, []says{
				{"midplane-guest send --target " + b.other + " --lun 2 0x30 1 1 2 3", 0, `^cc 00: 01 02 03\n$`},
				{"midplane-guest send --target " + b.other + " --lun 2 0x30 1 0xff 0xa0", 0, `^cc 00: ff a0\n$`},
				// Linux itself refuses what nobody registered for.
				{"midplane-guest send --target " + b.other + " --lun 2 0x30 2", 1, `^cc c1:\n$`},
			})
			heard := s.one(t, b.otherName, "until ! pidof midplane-guest >/dev/null; do sleep 0.05; done; cat /tmp/heard")
			from := fmt.Sprintf("from %s lun", b.addr[2:])
			if strings.Count(heard, from) != 2 || !strings.Contains(heard, "[01 02 03]") || !strings.Contains(heard, "[ff a0]") {
				t.Errorf("%s heard:\n%s", b.otherName, heard)
			}
		})
	}
}
