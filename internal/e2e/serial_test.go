//go:build e2e

package e2e_test

import "testing"

// lines has blades whose guests reach their controllers by ttyS1 as well.
var lines = &fixture{name: "l", yaml: `
replicas: 1
nodes:
  - {slot: 1, name: term, serial: [{mode: terminal, listen: guest}]}
  - {slot: 2, name: basic, interface: bt, serial: [{mode: basic, listen: guest}, {mode: terminal, listen: "unix:t.tty"}]}
`}

const (
	onTerminal = "ipmitool -I serial-terminal -D /dev/ttyS1:115200 "
	onBasic    = "ipmitool -I serial-basic -D /dev/ttyS1:115200 "
)

// TestSerial has ipmitool in a guest ask its controller, and others through it,
// by a serial port, also after the node has been killed.
func TestSerial(t *testing.T) {
	s := lines.up(t)
	asks := []says{
		{onTerminal + "mc info", 0, `IPMI Version +: 2\.0`},
		{onTerminal + "chassis status", 0, `System Power +: on`},
		{onTerminal + "fru print 0", 0, `Board Mfg`},
		{onTerminal + "channel info 2", 0, `Session Support +: single-session`},
		{onTerminal + "-b 0 -t 0x84 mc info", 0, `IPMI Version +: 2\.0`},
		{onTerminal + "-b 0 -t 0x84 picmg addrinfo", 0, `IPMB-0 Address +: 0x84`},
		{onTerminal + "-b 0 -t 0x20 mc info", 0, `SDR Repository`},
		{onTerminal + "-b 0 -t 0x84 mc reset cold", 1, `nsufficient privilege`}, // no more than its system interface may
		{"ipmitool mc info", 0, `IPMI Version +: 2\.0`},
	}
	s.expect(t, "term", asks)
	s.kill(t, "node/term")
	s.do(t, "start", "node/term")
	s.do(t, "wait", "term", "--timeout", "60s")
	s.expect(t, "term", asks[:1])
}

// TestSerialBasic is the same in basic mode, between blades of two modes.
func TestSerialBasic(t *testing.T) {
	s := lines.up(t)
	s.expect(t, "basic", []says{
		{onBasic + "mc info", 0, `IPMI Version +: 2\.0`},
		{onBasic + "fru print 0", 0, `Board Mfg`},
		{onBasic + "-b 0 -t 0x82 mc info", 0, `IPMI Version +: 2\.0`},
		{onBasic + "-b 0 -t 0x82 fru print 0", 0, `Board Mfg`},
		{onBasic + "channel info 2", 0, `Session Support +: single-session`},
		{onBasic + "channel info 3", 0, `Channel Protocol Type +: TMode`},
	})
}
