//go:build e2e

package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lines has blades whose guests reach their controllers by ttyS1 as well.
var lines = &fixture{name: "l", yaml: `
replicas: 1
nodes:
  - {slot: 1, name: term, serial: [{mode: terminal, listen: guest}]}
  - {slot: 2, name: basic, interface: bt, lan: {v15: [md5]}, serial: [{mode: basic, listen: guest}, {mode: terminal, listen: "pty:t.tty", privilege: operator}]}
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
		{onTerminal + "-B 0 -T 0x84 -b 0 -t 0x20 picmg addrinfo", 0, `IPMB-0 Address +: 0x20`},
		{onTerminal + "-b 0 -t 0x84 mc reset cold", 1, `nsufficient privilege`}, // no more than its system interface may
		{"ipmitool mc info", 0, `IPMI Version +: 2\.0`},
	}
	s.expect(t, "term", asks)
	s.kill(t, "node/term")
	s.do(t, "start", "node/term")
	s.do(t, "wait", "term", "--timeout", "2m")
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
		{onBasic + "-B 0 -T 0x82 -b 0 -t 0x20 picmg addrinfo", 0, `IPMB-0 Address +: 0x20`},
		{onBasic + "channel info 2", 0, `Session Support +: single-session`},
		{onBasic + "channel info 3", 0, `Channel Protocol Type +: TMode`},
	})
}

// TestSerialSoftware has whoever is on a serial line of a node ask the guest's
// software, by LUN 2, and Linux carry its answer back to the line.
func TestSerialSoftware(t *testing.T) {
	s := lines.up(t)
	s.one(t, "basic", `midplane-guest respond --netfn 0x30 --cmd 1 --count 2 --for 3m </dev/null >/tmp/heard 2>&1 &
		until grep -q answering /tmp/heard; do sleep 0.05; done`)
	path := filepath.Join(home, "t.tty")
	tty, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	say := func(ask, want string) {
		t.Helper()
		if _, err := tty.WriteString(ask + "\r"); err != nil {
			t.Fatal(err)
		}
		_ = tty.SetReadDeadline(time.Now().Add(patience)) // no answer is a failure, not a hang
		var got []byte
		for b := make([]byte, 1); !strings.HasSuffix(string(got), "\n"); got = append(got, b[0]) {
			if _, err := tty.Read(b); err != nil {
				t.Fatalf("%s: %v after %q", ask, err, got)
			}
		}
		if string(got) != want+"\r\n" {
			t.Errorf("%s: %q, want %s", ask, got, want)
		}
	}
	say("[C2 14 01 AA 55]", "[C6 14 01 00 AA 55]")
	say("[18 18 01]", "[1C 18 01 00 "+deviceIDOf(t, s, "basic")+"]") // the controller itself, between them
	say("[C2 1C 01]", "[C6 1C 01 00]")
	heard := s.one(t, "basic", "until ! pidof midplane-guest >/dev/null; do sleep 0.05; done; cat /tmp/heard")
	if strings.Count(heard, "from channel 3 privilege 3 session 00: 30/01") != 2 || !strings.Contains(heard, "[aa 55]") {
		t.Errorf("the guest heard:\n%s", heard)
	}
	if err := tty.Close(); err != nil {
		t.Error(err)
	}
	// The same terminal, by ipmitool on the host.
	out, err := exec.Command("ipmitool", "-I", "serial-terminal", "-D", path+":115200", "-b", "0", "-t", "0x82", "picmg", "addrinfo").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "IPMB-0 Address   : 0x82") {
		t.Errorf("ipmitool on the host: %v\n%s", err, out)
	}
}

// deviceIDOf is what a guest's controller answers to Get Device ID, as terminal
// mode has it.
func deviceIDOf(t *testing.T, s *shelf, node string) string {
	t.Helper()
	return strings.ToUpper(strings.Join(strings.Fields(s.one(t, node, "ipmitool raw 6 1")), " "))
}
