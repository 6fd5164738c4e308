//go:build e2e

package e2e_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Payload types of a login, and what stands before a payload (IPMI 2.0 §13.6, §13.27.3).
const (
	openRequest = 0x10
	rakp1       = 0x12
	rakp3       = 0x14
	bareHead    = 16
)

func loginPacket(kind byte, payload []byte) []byte {
	b := []byte{6, 0, 0xFF, 7, 6, kind, 0, 0, 0, 0, 0, 0, 0, 0}
	return append(binary.LittleEndian.AppendUint16(b, uint16(len(payload))), payload...)
}

// openSession asks for suite 17 (IPMI 2.0 §13.17).
func openSession() []byte {
	return loginPacket(openRequest, []byte{
		0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 8, 4, 0, 0, 0, 2, 0, 0, 8, 1, 0, 0, 0,
	})
}

// guess is one wrong password of admin's by a new socket. It does not wait for the outcome.
func (s *lanShelf) guess() bool {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.door.Address))
	if err != nil {
		return false
	}
	defer conn.Close()
	ask := func(b []byte) []byte {
		if _, err := conn.Write(b); err != nil {
			return nil
		}
		buf := make([]byte, 500)
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond)) // what is dropped must not hold the flood up
		if n, err := conn.Read(buf); err == nil && n > bareHead {
			return buf[bareHead:n]
		}
		return nil
	}
	b := ask(openSession())
	if len(b) < 12 {
		return false
	}
	id, proof := b[8:12], make([]byte, 32)
	_, _ = rand.Read(proof) // does not fail
	first := append(append([]byte{0, 0, 0, 0}, id...), proof[:16]...)
	if b = ask(loginPacket(rakp1, append(append(first, 0x14, 0, 0, byte(len(s.door.User))), s.door.User...))); len(b) < 24 {
		return false
	}
	_, err = conn.Write(loginPacket(rakp3, append(append([]byte{0, 0, 0, 0}, id...), proof...)))
	return err == nil
}

// fire sends the beginnings of logins from an address, 30,000 a second where the machine can: the flood, not the lack
// of a processor, is what is tested.
func (s *lanShelf) fire(ctx context.Context, from string, sent *atomic.Int64) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		conn, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, net.UDPAddrFromAddrPort(s.door.Address))
		if err != nil {
			continue
		}
		for range 150 {
			if _, err := conn.Write(openSession()); err == nil {
				sent.Add(1)
			}
		}
		_ = conn.Close()
	}
}

// The administrator gets in at the shelf's door, with ipmitool and FreeIPMI, while others guess his password from
// his own address as fast as they can, and while others from elsewhere use up what the front lets through.
func TestShelfLANLoginUnderAttack(t *testing.T) {
	s := upLAN(t)
	conf, err := s.FreeIPMI(s.door)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		many   int // do so at once
		attack func(ctx context.Context, count *atomic.Int64)
	}{
		{"a flood from another address", 1, func(ctx context.Context, count *atomic.Int64) { s.fire(ctx, "127.0.0.9", count) }},
		{"guesses from his own", 8, func(ctx context.Context, count *atomic.Int64) {
			for ctx.Err() == nil {
				if s.guess() {
					count.Add(1)
				}
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			var count atomic.Int64
			var group sync.WaitGroup
			for range c.many {
				group.Go(func() { c.attack(ctx, &count) })
			}
			defer group.Wait()
			defer cancel()
			eventually(t, patience, "the attack is under way", func() error {
				if n := count.Load(); n < 200 {
					return fmt.Errorf("%d sent", n)
				}
				return nil
			})
			for _, line := range [][]string{
				s.client("raw", "6", "1"),
				{"ipmi-raw", "--config-file", conf, "-h", s.door.Address.String(), "0", "6", "1"},
			} {
				for range 3 {
					before, began := count.Load(), time.Now()
					out, err := exec.Command(line[0], line[1:]...).CombinedOutput()
					if err != nil {
						t.Errorf("%s: %v\n%s", line[0], err, out)
					}
					t.Logf("%s: %d of the attack were sent meanwhile, in %v", line[0], count.Load()-before, time.Since(began))
				}
			}
		})
	}
}
