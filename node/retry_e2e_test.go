//go:build e2e

package node

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
)

// lossy carries a client's datagrams to a door and back, but for one of those
// that come back.
type lossy struct {
	at   netip.AddrPort
	lost int // the number of the one, from 0; -1: none

	mu   sync.Mutex
	back int // how many came
}

// newLossy works until the test ends.
func newLossy(t *testing.T, door netip.AddrPort, lost int) *lossy {
	t.Helper()
	near, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	far, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(door))
	if err != nil {
		t.Fatal(err)
	}
	l := &lossy{at: near.LocalAddr().(*net.UDPAddr).AddrPort(), lost: lost}
	var group sync.WaitGroup
	client := make(chan netip.AddrPort, 1)
	group.Go(func() {
		buf := make([]byte, 2000)
		known := false
		for {
			n, from, err := near.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if !known {
				client <- from
				known = true
			}
			_, _ = far.Write(buf[:n])
		}
	})
	group.Go(func() {
		buf := make([]byte, 2000)
		var to netip.AddrPort
		for {
			n, err := far.Read(buf)
			if err != nil {
				return
			}
			if !to.IsValid() {
				to = <-client
			}
			if l.passes() {
				_, _ = near.WriteToUDPAddrPort(buf[:n], to)
			}
		}
	})
	t.Cleanup(func() {
		_ = near.Close()
		_ = far.Close()
		group.Wait()
	})
	return l
}

func (l *lossy) passes() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.back++
	return l.back-1 != l.lost
}

func (l *lossy) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.back
}

// tagged adds a record to a log that can be told from others, by ipmitool or,
// behind -h, by FreeIPMI.
func (r *bridgeRig) tagged(at netip.AddrPort, way string, n int) {
	r.t.Helper()
	add := fmt.Sprintf("0x44 0 0 0xe0 0x4d 0x50 0x4c %#02x 0 0 0 0 0 0 0 0 0", n)
	freeipmi, ok := strings.CutPrefix(way, "-h")
	if !ok {
		r.want(at, "\n", strings.Fields("-C 17 "+way+" raw 0x0a "+add)...)
		return
	}
	args := fmt.Sprintf("-h %v -u %s -p %s -D LAN_2_0 --session-timeout=60000 --retransmission-timeout=15000 -I 17 %s 0 0x0a %s", at, LANUser, r.password, freeipmi, add)
	if out, err := exec.Command("ipmi-raw", strings.Fields(args)...).CombinedOutput(); err != nil {
		r.t.Errorf("ipmi-raw%s: %v\n%s", freeipmi, err, out)
	}
}

// tags counts the records of tagged in a board's log.
func (b *board) tags() map[byte]int {
	b.t.Helper()
	out := make(map[byte]int)
	for id := "00 00"; id != "ff ff"; {
		e := unhex(b.t, b.guest("0a 43 00 00 "+id+" 00 ff"))
		if len(e) != 19 {
			b.t.Fatalf("record %s: % x", id, e)
		}
		if e[5] == 0xE0 && string(e[6:9]) == "MPL" {
			out[e[9]]++
		}
		id = fmt.Sprintf("%02x %02x", e[1], e[2])
	}
	return out
}

// TestE2ERetries loses each of a conversation's answers in turn: ipmitool asks
// again, and what it asked for is done once, here and behind the bridge, and
// whatever was lost of a login. FreeIPMI repeats a command with another sequence
// number, so that it is a new one: for it only its login's answers are lost, and it
// waits long enough not to repeat what is only slow.
func TestE2ERetries(t *testing.T) {
	const login = 4 // capabilities, Open Session, two RAKP messages
	for name, c := range map[string]struct {
		style ipmb.BridgeStyle
		way   string
		log   func(*bridgeRig) *board
	}{
		"own":      {ipmb.BridgeSplit, "", func(r *bridgeRig) *board { return r.first }},
		"split":    {ipmb.BridgeSplit, "-t 0x84 -b 0", func(r *bridgeRig) *board { return r.second }},
		"embedded": {ipmb.BridgeEmbedded, "-t 0x84 -b 0", func(r *bridgeRig) *board { return r.second }},
		"freeipmi": {ipmb.BridgeSplit, "-h", func(r *bridgeRig) *board { return r.first }},
		"double":   {ipmb.BridgeSplit, "-T 0x84 -B 0 -t 0x86 -b 0", func(r *bridgeRig) *board { return r.third }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newBridgeRig(t, c.style)
			add := func(lost int) int {
				p := newLossy(t, r.door, lost)
				r.tagged(p.at, c.way, lost+1)
				return p.count()
			}
			answers := add(-1)
			if name == "freeipmi" {
				answers = login
			}
			var group sync.WaitGroup
			for lost := range answers {
				group.Go(func() { add(lost) })
			}
			group.Wait()
			found := c.log(r).tags()
			for n := range answers + 1 {
				if found[byte(n)] != 1 {
					t.Errorf("without answer %d of %d: %d records", n, answers, found[byte(n)])
				}
			}
		})
	}
}

// TestE2ERetriedPower loses the answer to a power command.
func TestE2ERetriedPower(t *testing.T) {
	r := newBridgeRig(t, ipmb.BridgeSplit)
	power := func(lost int) int {
		p := newLossy(t, r.door, lost)
		r.want(p.at, "Chassis Power Control: Cycle", strings.Fields("-C 17 chassis power cycle")...)
		if calls := r.first.vm.took(); len(calls) != 1 || calls[0] != "cycle" {
			t.Errorf("without answer %d: did %q", lost, calls)
		}
		return p.count()
	}
	answers := power(-1)
	const afterIt = 1 // Close Session
	if again := power(answers - 1 - afterIt); again <= answers {
		t.Errorf("%d answers, before %d: nothing was asked again", again, answers)
	}
}
