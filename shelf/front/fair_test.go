package front

import (
	"net/netip"
	"testing"
	"time"
)

var (
	openBytes = []byte{rmcpVersion, 0, 0xFF, classIPMI, authPlus, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	flooding  = netip.MustParseAddr("192.0.2.66")
	elsewhere = netip.MustParseAddrPort("192.0.2.1:4000")
)

// passes reports whether a datagram passes.
func (f *Front) passes(b []byte, peer netip.AddrPort, now time.Time) bool {
	h := &f.others
	if inSession(b) {
		h = &f.sessions
	}
	h.answered(peer)
	f.take(datagram{data: b, peer: peer}, now)
	return len(h.list) > 0 && h.list[len(h.list)-1].peer == peer
}

// Who floods crowds out himself, whatever he sends: by one socket those of his own address do not suffer, by many
// nobody at another does, and from many addresses nobody who is logged in.
func TestFlood(t *testing.T) {
	oneSocket := func(int) netip.AddrPort { return netip.AddrPortFrom(flooding, 1) }
	sockets := func(i int) netip.AddrPort { return netip.AddrPortFrom(flooding, uint16(i%60000+1)) }
	fewSources := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i % 50)}), uint16(i))
	}
	sources := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 1)
	}
	for name, c := range map[string]struct {
		from  func(i int) netip.AddrPort
		user  netip.AddrPort
		known bool
	}{
		"one socket, a user at the address":      {oneSocket, netip.AddrPortFrom(flooding, 2), false},
		"one address, a user at another":         {sockets, elsewhere, false},
		"fifty addresses, a user at another":     {fewSources, elsewhere, false},
		"all addresses, a user who is logged in": {sources, elsewhere, true},
	} {
		for what, b := range map[string][]byte{"logins": openBytes, "sessions that there are not": inside("x")} {
			f, now := newFront(), time.Now()
			if c.known {
				f.limits.spoken(c.user.Addr(), now)
			}
			passed := 0
			const seconds, each = 1, 20000
			for i := range seconds * each {
				at := now.Add(time.Duration(i) * time.Second / each)
				if f.limits.take(c.from(i), inSession(b), at) {
					passed++
				}
			}
			now = now.Add(seconds * time.Second)
			for range 10 { // as many as a login has
				if !f.passes(openBytes, c.user, now) {
					t.Errorf("%s, %s: a login does not pass", name, what)
					break
				}
			}
			if most := int(2*wholeRate*(seconds+saved)) + 1; passed > most {
				t.Errorf("%s, %s: %d passed of %d", name, what, passed, most)
			}
			if n := max(len(f.limits.sockets), len(f.limits.sources)); n > maxLimited {
				t.Errorf("%d are remembered", n)
			}
		}
	}
}

// A session says as much as it likes once the leader has spoken to it; whoever has none crowds none out of what is held.
func TestSessionsPass(t *testing.T) {
	f, now := newFront(), time.Now()
	if !f.passes(inside("good"), elsewhere, now) {
		t.Fatal("the first does not pass")
	}
	for range holdOthers + 5 {
		f.take(datagram{data: openBytes, peer: netip.AddrPortFrom(flooding, 1)}, now)
	}
	f.take(datagram{data: []byte("nonsense"), peer: elsewhere}, now)
	if len(f.sessions.list) != 1 || len(f.others.list) != holdOthers {
		t.Errorf("%d of sessions, %d others held", len(f.sessions.list), len(f.others.list))
	}
	f.limits.spoken(elsewhere.Addr(), now)
	for i := range 3 * socketRate {
		if at := now.Add(time.Duration(i) * time.Second / knownRate); !f.limits.take(elsewhere, true, at) {
			t.Fatalf("%d of a session's passed", i)
		}
	}
}

// Only so many addresses are known; those that were not spoken to for the longest time are forgotten.
func TestKnownAddresses(t *testing.T) {
	l, now := newLimits(), time.Now()
	for i := range 2 * maxKnown {
		l.spoken(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), now.Add(time.Duration(i)*time.Second))
	}
	if len(l.known) != maxKnown || l.known[netip.AddrFrom4([4]byte{10, 0, 1, 0})] == nil {
		t.Errorf("%d are known", len(l.known))
	}
}
