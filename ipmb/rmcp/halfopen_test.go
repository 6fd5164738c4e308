package rmcp

import (
	"net/netip"
	"testing"
	"time"
)

// floodSize is of one that comes at once, of sockets none of which is in the one before.
const floodSize = maxHalfOpen + 1000

// open begins many logins, from sources as they are given.
func (g *guesser) open(flood int, from func(i int) netip.AddrPort) {
	for i := range floodSize {
		g.step(PayloadOpenRequest, openBytes(0, 3, 4, 1), from(flood%2*floodSize+i))
	}
}

// socketsOf are those of one address, sourcesOf one of each of many addresses.
func socketsOf(addr string) func(int) netip.AddrPort {
	return func(i int) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(addr), uint16(i)) }
}

func sourcesOf(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 9)
}

// S12: those who begin and do not go on crowd out themselves alone. Where they
// cannot be told from a user he gets in at his second try, and what he began is
// not taken from him before his client gives up.
func TestHalfOpen(t *testing.T) {
	here, user := "198.51.100.1", netip.MustParseAddrPort("198.51.100.1:60000")
	for name, c := range map[string]struct {
		flood func(int) netip.AddrPort
		from  netip.AddrPort
		known bool // somebody logged in from there
		tries int
	}{
		"one source, another user":               {socketsOf(here), source, false, 1},
		"many sources, another user":             {sourcesOf, source, false, 2},
		"many sources, a user from where one is": {sourcesOf, source, true, 1},
		"the user's own address":                 {socketsOf(here), user, false, 2},
		"his own, from where he logged in":       {socketsOf(here), user, true, 2},
	} {
		t.Run(name, func(t *testing.T) {
			g := &guesser{s: newSite(t), t: t, now: time.Now()}
			if c.known {
				if status, ok := g.prove(g.attempt("secret", c.from), c.from); !ok || status != StatusOK {
					t.Fatal(status, ok)
				}
			}
			const again = 1007 * time.Millisecond
			g.open(0, c.flood)
			tries := 1
			for ; g.step(PayloadOpenRequest, openBytes(0, 3, 4, 1), c.from).body == nil && tries < 9; tries++ {
				g.now = g.now.Add(again)
				g.open(tries, c.flood)
			}
			if tries != c.tries {
				t.Errorf("%d tries, not %d", tries, c.tries)
			}
			proof := g.attempt("secret", c.from)
			g.now = g.now.Add(again)
			g.open(tries, c.flood)
			if status, ok := g.prove(proof, c.from); !ok || status != StatusOK {
				t.Errorf("after a flood: %02x, %v", status, ok)
			}
			if n := g.s.halfOpen.all.Len(); n > maxHalfOpen || len(g.s.all) > maxHalfOpen+MaxSessions {
				t.Errorf("%d under way, %d in all", n, len(g.s.all))
			}
		})
	}
}

// FreeIPMI sends one proof again, after one second, two, and four. Sooner, or
// with another proof, it is a new one.
func TestPutOff(t *testing.T) {
	g := &guesser{s: newSite(t), t: t, now: time.Now()}
	s := session{login: new(login)}
	for i, step := range []struct {
		after time.Duration
		proof string
		tier  int
	}{{0, "a", 0}, {time.Second, "a", 2}, {0, "a", 0}, {time.Second, "a", 3}, {2 * time.Second, "a", 3}, {time.Second, "b", 0}, {time.Second, "b", 2}} {
		g.now = g.now.Add(step.after)
		if got := s.tier([]byte(step.proof), g.now); got != step.tier {
			t.Errorf("step %d: tier %d, not %d", i, got, step.tier)
		}
		g.s.putOff(&s, []byte(step.proof), g.now)
		s.login.alive = g.now // as in a table
	}
}

// A socket that tries in a client's rhythm is known by it.
func TestRhythm(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		pauses []time.Duration
		tier   int
	}{
		"new":             {nil, 0},
		"ipmitool":        {[]time.Duration{1007 * ms, 1014 * ms, 1009 * ms}, 3},
		"a slow machine":  {[]time.Duration{1200 * ms, 1350 * ms, 1200 * ms}, 3},
		"too soon":        {[]time.Duration{1000 * ms, 1000 * ms, 500 * ms}, 0},
		"too late":        {[]time.Duration{1000 * ms, 1000 * ms, 1700 * ms}, 0},
		"another rhythm":  {[]time.Duration{1000 * ms, 1000 * ms, 1300 * ms}, 1},
		"begins anew":     {[]time.Duration{1000 * ms, 1300 * ms, 1310 * ms}, 2},
		"another's port":  {[]time.Duration{1401 * ms, 1008 * ms, 1010 * ms, 1013 * ms}, 3}, // whose last try was 1.4 s before ipmitool's first
		"its second try":  {[]time.Duration{1500 * ms}, 1},
		"its sixth, late": {[]time.Duration{1000 * ms, 1000 * ms, 1000 * ms, 1000 * ms, 1000 * ms}, 3},
	} {
		r, now := newGuard().refused, time.Now()
		for _, pause := range c.pauses {
			r.add(source, now)
			now = now.Add(pause)
		}
		if got := r.tier(source, now); got != c.tier {
			t.Errorf("%s: tier %d, not %d", name, got, c.tier)
		}
	}
}
