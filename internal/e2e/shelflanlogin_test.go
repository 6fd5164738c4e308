//go:build e2e

package e2e_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Answers to the steps of a login (IPMI 2.0 §13.27.3).
const (
	openResponse = 0x11
	rakp2        = 0x13
	rakp4        = 0x15
)

// relay is the network between a client and a door. It holds up the first answer of
// a kind until it may go on.
type relay struct {
	addr          netip.AddrPort
	reached, goOn chan struct{}
}

func newRelay(t *testing.T, door netip.AddrPort, kind byte) *relay {
	t.Helper()
	near, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	far, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(door))
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{addr: near.LocalAddr().(*net.UDPAddr).AddrPort(), reached: make(chan struct{}), goOn: make(chan struct{})}
	var client atomic.Pointer[netip.AddrPort]
	var group sync.WaitGroup
	over := make(chan struct{})
	group.Go(func() {
		for buf := make([]byte, 1500); ; {
			n, from, err := near.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			client.Store(&from)
			_, _ = far.Write(buf[:n]) // a front that is not there loses it, as a network does
		}
	})
	group.Go(func() {
		held := false
		for buf := make([]byte, 1500); ; {
			n, err := far.Read(buf)
			select {
			case <-over:
				return
			default:
			}
			if err != nil {
				continue
			}
			if !held && n > 5 && buf[4] == 6 && buf[5] == kind {
				held = true
				close(r.reached)
				select {
				case <-r.goOn:
				case <-over:
				}
			}
			_, _ = near.WriteToUDPAddrPort(buf[:n], *client.Load())
		}
	})
	t.Cleanup(func() {
		close(over)
		_ = near.Close()
		_ = far.Close()
		group.Wait()
	})
	return r
}

// TestShelfLANLogin takes the leader away from a login of FreeIPMI, which does not
// begin one anew, after each of its steps. MIDPLANE_LOGINS says how often.
func TestShelfLANLogin(t *testing.T) {
	rounds := 2
	if text := os.Getenv("MIDPLANE_LOGINS"); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil || rounds < 1 {
			t.Fatalf("MIDPLANE_LOGINS=%s: want a number from 1", text)
		}
	}
	s := upLAN(t)
	conf, err := s.FreeIPMI(s.door)
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		name string
		kind byte
	}{{"RAKP 2", rakp2}, {"Open Session", openResponse}, {"RAKP 4", rakp4}}
	for i := range rounds {
		step, kill := steps[i%len(steps)], i%2 == 0
		t.Run(fmt.Sprintf("%d after %s", i, step.name), func(t *testing.T) {
			s.healthy(t)
			old := s.leader(t)
			r := newRelay(t, s.door.Address, step.kind)
			var out []byte
			ended := make(chan error, 1)
			go func() {
				var err error
				out, err = exec.CommandContext(t.Context(), "ipmi-raw", "--config-file", conf, "-h", r.addr.String(), "0", "6", "1").CombinedOutput()
				ended <- err
			}()
			select {
			case <-r.reached:
			case err := <-ended:
				t.Fatalf("ended before it was so far: %v\n%s", err, out)
			}
			if kill {
				s.kill(t, old)
			} else {
				s.do(t, "stop", old)
				t.Cleanup(func() { s.atEnd("resume", old) })
			}
			began := time.Now()
			close(r.goOn)
			if err := <-ended; err != nil || !strings.Contains(string(out), "rcvd: 01 00 20 01") {
				t.Errorf("%v\n%s", err, out)
			}
			t.Logf("%s killed %v: answered %v later", old, kill, time.Since(began).Round(time.Millisecond))
			if now := s.leader(t); now == old {
				t.Errorf("%s leads still", old)
			}
		})
	}
}
