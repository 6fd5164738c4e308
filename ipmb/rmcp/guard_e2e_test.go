//go:build e2e

package rmcp

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// flood guesses admin's password without a pause and without waiting for its
// outcome, with a new socket each time, until ctx ends.
func (s *site) flood(ctx context.Context, guesses *atomic.Int64) {
	for ctx.Err() == nil {
		if s.fire() {
			guesses.Add(1)
		}
	}
}

func (s *site) fire() bool {
	conn, err := net.Dial("udp", s.addr.String())
	if err != nil {
		return false
	}
	defer conn.Close()
	c := s.client(s.cfg.Suites[1], "admin", "guess", 0x14)
	ask := func(kind PayloadType, b []byte) []byte {
		if _, err := conn.Write(appendBare(nil, true, kind, b)); err != nil {
			return nil
		}
		buf := make([]byte, 500)
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond)) // what the limits drop must not hold the flood up
		n, err := conn.Read(buf)
		if err != nil {
			return nil
		}
		p, err := parsePacket(buf[rmcpLen:n])
		if err != nil {
			return nil
		}
		return p.Payload
	}
	b := ask(PayloadOpenRequest, openBytes(0, c.suite.Auth, c.suite.Integrity, c.suite.Confidentiality))
	if len(b) < 12 {
		return false
	}
	c.id = binary.LittleEndian.Uint32(b[8:])
	if b = ask(PayloadRAKP1, c.first()); len(b) < 24 {
		return false
	}
	c.theirs = bytes.Clone(b[8:24])
	_, err = conn.Write(appendBare(nil, true, PayloadRAKP3, c.third()))
	return err == nil
}

// The administrator gets in with ipmitool and FreeIPMI while others guess his
// password from his own address as fast as they can.
func TestE2ELoginUnderAttack(t *testing.T) {
	s := newSite(t)
	s.open()
	host, port, err := net.SplitHostPort(s.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var guesses atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() { s.flood(ctx, &guesses) })
	}
	defer group.Wait()
	defer cancel()
	until(t, "the flood is on", func() bool { return guesses.Load() >= 200 })
	for _, line := range [][]string{
		{"ipmitool", "-I", "lanplus", "-H", host, "-p", port, "-U", "admin", "-P", "secret", "-C", "17", "raw", "6", "1"},
		{"ipmi-raw", "-D", "LAN_2_0", "-h", host + ":" + port, "-u", "admin", "-p", "secret", "-I", "17", "0", "6", "1"},
	} {
		for range 3 { // from the second on the address is known, and its rate is higher
			before, began := guesses.Load(), time.Now()
			out, err := exec.Command(line[0], line[1:]...).CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v\n%s", line[0], err, out)
			}
			t.Logf("%s: %d guesses were sent meanwhile, in %v", line[0], guesses.Load()-before, time.Since(began))
		}
	}
	if got := s.client(s.cfg.Suites[1], "admin", "guess", 0x14).login(nil); got != StatusIntegrity {
		t.Errorf("a guess from elsewhere: %02x", got)
	}
}
