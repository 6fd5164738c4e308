package rmcp

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// mouth is a socket that counts what is said by it.
type mouth struct {
	net.PacketConn
	said [][]byte
}

func (m *mouth) WriteTo(b []byte, _ net.Addr) (int, error) {
	m.said = append(m.said, bytes.Clone(b))
	return len(b), nil
}

// No message of somebody without a session has more than one answer, nor one
// that is much longer than it: RAKP 2, whose length the specification fixes, is
// the worst. What comes late counts as well.
func TestNoAmplification(t *testing.T) { synctest.Test(t, testNoAmplification) }

func testNoAmplification(t *testing.T) {
	const factor = 2.2
	s := site15(t, both15)
	m := &mouth{}
	d := NewDoor(DoorConfig{Sessions: s.Sessions, Handler: s.mux, Count: new(mc.LANCounters), Log: slog.New(slog.DiscardHandler)})
	d.socket = newSocket(m)
	c := s.client(s.cfg.Suites[1], "a", "guess", 0x14)
	worst := 0.0
	send := func(what string, b []byte) []byte {
		t.Helper()
		m.said = nil
		d.take(t.Context(), b, nil, source)
		d.group.Wait()
		out := 0
		for _, one := range m.said {
			out += len(one)
		}
		if len(m.said) > 1 || float64(out) > factor*float64(len(b))+float64(asfPongData) {
			t.Errorf("%s: %d answers, %d bytes for %d", what, len(m.said), out, len(b))
		}
		if what == "RAKP 3" && len(m.said) == 0 {
			t.Error("no answer to RAKP 3")
		}
		worst = max(worst, float64(out)/float64(len(b)))
		if len(m.said) == 0 {
			return nil
		}
		return m.said[0][16:]
	}
	for i, suite := range s.cfg.Suites {
		c.suite, c.name = suite, string(rune('a'+i)) // a third wrong password of one user is answered late
		c.a, _ = algorithmOf(suite)
		answer := send("Open Session", appendBare(nil, true, PayloadOpenRequest, openBytes(0, suite.Auth, suite.Integrity, suite.Confidentiality)))
		c.id = binary.LittleEndian.Uint32(answer[8:])
		c.theirs = send("RAKP 1", appendBare(nil, true, PayloadRAKP1, c.first()))[8:24]
		send("RAKP 1 again", appendBare(nil, true, PayloadRAKP1, c.first()))
		send("RAKP 3", appendBare(nil, true, PayloadRAKP3, c.third()))
		send("RAKP 3 again", appendBare(nil, true, PayloadRAKP3, c.third()))
	}
	send("ping", []byte{6, 0, 0xFF, classASF, 0, 0, 0x11, 0xBE, asfPing, 1, 0, 0})
	for cmd := range 256 {
		for _, data := range [][]byte{nil, {0x0E, 4}, {0x8E, 4}, {0x0E, 0, 0x80}, make([]byte, challengeLen), append([]byte{2}, make([]byte, 16)...)} {
			for _, plus := range []bool{false, true} {
				send("bare", appendBare(nil, plus, PayloadIPMI, c.frame(6, ipmb.Cmd(cmd), data...)))
			}
		}
	}
	t.Logf("at worst %.2f times as much", worst)
}

// Each socket, each address and all of them are limited, each after the other;
// who logged in lately is not kept out by others.
func TestLimits(t *testing.T) {
	now := time.Now()
	for kind := range limitKinds {
		l := newLimits()
		flood := func(n int, from func(i int) netip.AddrPort) (taken float64) {
			for i := range n {
				if l.take(kind, from(i), now) {
					taken++
				}
			}
			return taken
		}
		here := netip.MustParseAddr("192.0.2.1")
		one := func(int) netip.AddrPort { return source }
		sockets := func(i int) netip.AddrPort { return netip.AddrPortFrom(here, uint16(i+1)) }
		others := func(i int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 1)
		}
		for range 30000 {
			if !l.take(kind, source, now) {
				t.Fatal("what gets no answer costs something")
			}
			l.unsaid(kind, source)
		}
		most := socketRate[kind] * limitSaved
		if got := flood(30000, one); got != most {
			t.Errorf("one socket gets %v of %v", got, most)
		}
		each := sourceRate[kind]*limitSaved + fewRate[kind]*fewSaved
		if got := flood(30000, sockets); got+most != each {
			t.Errorf("one address gets %v", got+most)
		}
		second := func(i int) netip.AddrPort { return netip.AddrPortFrom(here.Next(), uint16(i+1)) }
		if got, most := flood(30000, second), 2*fewRate[kind]*fewSaved+wholeRate[kind]*limitSaved; got+each != most {
			t.Errorf("two addresses get %v of %v", got+each, most)
		}
		third := netip.AddrPortFrom(here.Next().Next(), 1)
		if got := flood(30, func(int) netip.AddrPort { return third }); got != fewRate[kind]*fewSaved {
			t.Errorf("a third address gets %v beside two that flood", got)
		}
		if got := flood(60000, others); got+3*fewRate[kind]*fewSaved != wholeRate[kind]*limitSaved {
			t.Errorf("all that say little get %v", got)
		}
		known := netip.MustParseAddrPort("192.0.2.77:1")
		if l.take(kind, known, now) {
			t.Error("there is no flood")
		}
		l.loggedIn(known, now)
		if !l.take(kind, netip.AddrPortFrom(known.Addr(), 2), now) {
			t.Error("who logged in is kept out")
		}
		if max(len(l.sockets), len(l.sources)) > maxLimited {
			t.Errorf("%d sockets and %d sources are remembered", len(l.sockets), len(l.sources))
		}
	}
	l := newLimits()
	for i := range 2 * maxKnown {
		l.loggedIn(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1), now)
	}
	if len(l.known) > maxKnown {
		t.Errorf("%d are known", len(l.known))
	}
}

// Who repeats the end of a login gets its answer again, and nothing else: neither are his limits relaxed, nor those
// of whom he says he is.
func TestRepeatedLoginIsNoLogin(t *testing.T) {
	s := newSite(t)
	m := &mouth{}
	d := NewDoor(DoorConfig{Sessions: s.Sessions, Handler: s.mux, Count: new(mc.LANCounters), Log: slog.New(slog.DiscardHandler)})
	d.socket = newSocket(m)
	c := s.client(s.cfg.Suites[1], "admin", "secret", 0x14)
	var third []byte
	c.ask = func(kind PayloadType, b []byte) []byte {
		third = appendBare(nil, true, kind, b)
		d.take(t.Context(), third, nil, source)
		return m.said[len(m.said)-1][16:]
	}
	if got := c.login(nil); got != StatusOK {
		t.Fatal(got)
	}
	at, ok := d.limits.known[source.Addr()]
	if !ok {
		t.Error("who logged in is not known")
	}
	for _, from := range []netip.AddrPort{source, netip.MustParseAddrPort("192.0.2.66:4000")} {
		said := len(m.said)
		d.take(t.Context(), third, nil, from)
		if len(m.said) != said+1 {
			t.Errorf("%s: %d answers", from, len(m.said)-said)
		}
	}
	if len(d.limits.known) != 1 || d.limits.known[source.Addr()] != at {
		t.Errorf("known are %v, and were since %v", d.limits.known, at)
	}
}
