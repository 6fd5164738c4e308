package rmcp

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// guesser tries passwords of admin as fast as it is let, in a time that goes by
// as the test says.
type guesser struct {
	s      *site
	t      *testing.T
	now    time.Time
	looked int // guesses that were looked at: each got an answer, now or later
}

// step does one step of a login that comes from there.
func (g *guesser) step(kind PayloadType, b []byte, from netip.AddrPort) reply {
	r, _ := g.s.step(kind, b, nil, from, g.now)
	return r
}

// attempt is a login as far as its proof, which is given.
func (g *guesser) attempt(pass string, from netip.AddrPort) []byte {
	g.t.Helper()
	c := g.s.client(g.s.cfg.Suites[1], "admin", pass, 0x14)
	c.id = binary.LittleEndian.Uint32(g.step(PayloadOpenRequest, openBytes(0, c.suite.Auth, c.suite.Integrity, c.suite.Confidentiality), from).body[8:])
	c.theirs = bytes.Clone(g.step(PayloadRAKP1, c.first(), from).body[8:24])
	return c.third()
}

// prove sends a proof: none for one that was not looked at.
func (g *guesser) prove(proof []byte, from netip.AddrPort) (Status, bool) {
	b := g.step(PayloadRAKP3, proof, from).body
	if b == nil {
		return 0, false
	}
	return Status(b[1]), true
}

func (g *guesser) guess(from netip.AddrPort) {
	g.t.Helper()
	switch status, ok := g.prove(g.attempt("guess", from), from); {
	case ok && status != StatusIntegrity:
		g.t.Fatalf("a guess gets %02x", status)
	case ok:
		g.looked++
	}
}

// administrator logs in as ipmitool does: what gets no answer begins anew each
// second by the same socket, four times in all.
type administrator struct {
	g     *guesser
	from  netip.AddrPort
	next  time.Time
	tries int
	in    bool
}

func (a *administrator) act() {
	if a.in || a.g.now.Before(a.next) || a.tries == 4 {
		return
	}
	proof := a.g.attempt("secret", a.from)
	a.tries++
	a.next = a.g.now.Add(time.Second)
	if status, ok := a.g.prove(proof, a.from); ok {
		if status != StatusOK {
			a.g.t.Fatalf("the administrator gets %02x", status)
		}
		a.in = true
	}
}

// again is the rate of all that try again.
var again = int(againRate[1] + againRate[2] + againRate[3])

// Guesses have a rate, from one socket, from many, and from many sources; and
// the administrator, who comes from the same address in the middle of it, gets
// in with what patience clients have.
func TestGuessing(t *testing.T) {
	const seconds, perSecond = 60, 60
	here, random := netip.MustParseAddr("127.0.0.1"), rand.New(rand.NewPCG(1, 2))
	for name, c := range map[string]struct {
		from func(i int) netip.AddrPort
		most int // guesses in a minute
	}{
		"one socket":    {func(int) netip.AddrPort { return netip.AddrPortFrom(here, 1) }, 20},
		"a socket each": {func(i int) netip.AddrPort { return netip.AddrPortFrom(here, uint16(i)) }, 2 + firstRate*(seconds+keySaved)},
		// As five thousand a second draw from the ports that a system gives.
		"a socket each, of ports that come again": {func(int) netip.AddrPort {
			return netip.AddrPortFrom(here, uint16(1+random.IntN(5*perSecond)))
		}, 2 + (firstRate+again)*(seconds+keySaved)},
		"many sources": {func(i int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, byte(i >> 16), byte(i >> 8), byte(i)}), 1)
		}, 2 * allRate * (seconds + 1)},
		"a thousand sources": {func(i int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, byte(i / 250 % 4), byte(i%250 + 1)}), uint16(i))
		}, 2 * allRate * (seconds + 1)},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			g := &guesser{s: s, t: t, now: time.Now()}
			admins := []*administrator{
				{g: g, from: netip.AddrPortFrom(here, 50001), next: g.now.Add(10 * time.Second)},
				{g: g, from: netip.AddrPortFrom(here, 50002), next: g.now.Add(30 * time.Second)},
			}
			for i := range seconds * perSecond {
				g.guess(c.from(i))
				for _, a := range admins {
					a.act()
				}
				g.now = g.now.Add(time.Second / perSecond)
			}
			if g.looked > c.most || g.looked < 5 {
				t.Errorf("%d guesses a minute, at most %d", g.looked, c.most)
			}
			for _, a := range admins {
				if !a.in {
					t.Errorf("the administrator is kept out, after %d tries", a.tries)
				}
			}
			t.Logf("%d guesses a minute of %d; the administrator needed %d and %d tries", g.looked, seconds*perSecond, admins[0].tries, admins[1].tries)
		})
	}
}

// Guessers who are as patient as clients are share the rate of what comes again
// with the administrator, as forty of them do who begin anew, with a new socket,
// whenever they got an answer or gave up.
func TestPatientGuessers(t *testing.T) {
	const guessers, seconds = 40, 60
	g := &guesser{s: newSite(t), t: t, now: time.Now()}
	here, random := netip.MustParseAddr("127.0.0.1"), rand.New(rand.NewPCG(1, 2))
	admin := &administrator{g: g, from: netip.AddrPortFrom(here, 50001), next: g.now.Add(10 * time.Second)}
	type patient struct {
		from  netip.AddrPort
		proof []byte
		tries int
	}
	all, port := make([]patient, guessers), uint16(0)
	for range seconds * 10 {
		mine := random.IntN(guessers / 10)
		for i := range guessers / 10 { // each about once a second
			if i == mine {
				admin.act()
			}
			p := &all[random.IntN(guessers)]
			if p.tries++; p.proof == nil || p.tries > 4 {
				port++
				p.from, p.tries = netip.AddrPortFrom(here, port), 1
			}
			p.proof = g.attempt("guess", p.from)
			if _, ok := g.prove(p.proof, p.from); ok {
				g.looked++
				p.proof = nil
			}
		}
		g.now = g.now.Add(time.Second / 10)
	}
	if most := 2 + (firstRate+again)*(seconds+keySaved); g.looked > most || !admin.in {
		t.Errorf("%d guesses a minute, at most %d; the administrator is in: %v", g.looked, most, admin.in)
	}
	t.Logf("%d guesses a minute; the administrator needed %d tries", g.looked, admin.tries)
}

// A guesser whose socket waits for its answers waits longer and longer, and what
// it sends meanwhile is not looked at.
func TestLateAnswers(t *testing.T) {
	s := newSite(t)
	g := &guesser{s: s, t: t, now: time.Now()}
	var last time.Duration
	for i := range 12 {
		r := g.step(PayloadRAKP3, g.attempt("guess", source), source)
		if r.body == nil || r.after < last || i >= freeFailures && r.after == 0 || r.after > maxDelay {
			t.Errorf("guess %d waits %v after %v: % x", i, r.after, last, r.body)
		}
		last = r.after
		if last > 0 {
			g.now = g.now.Add(last - time.Millisecond)
			if _, ok := g.prove(g.attempt("secret", source), source); ok {
				t.Error("a socket that waits is let in")
			}
			g.now = g.now.Add(time.Millisecond)
		}
	}
	if last != maxDelay {
		t.Errorf("waits %v in the end", last)
	}
	if status, ok := g.prove(g.attempt("secret", source), source); !ok || status != StatusOK {
		t.Errorf("then: %02x, %v", status, ok)
	}
}

// The port of a guesser who is gone is somebody else's: he gets in as from any other port, and the guesser's answer
// is not said to him.
func TestGuessersPort(t *testing.T) {
	g := &guesser{s: newSite(t), t: t, now: time.Now()}
	for i := range 12 {
		g.guess(netip.AddrPortFrom(source.Addr(), uint16(i+1)))
		g.now = g.now.Add(time.Second)
	}
	if r := g.step(PayloadRAKP3, g.attempt("guess", source), source); r.after != maxDelay {
		t.Fatalf("the guess is answered after %v", r.after)
	}
	if g.s.unheard(source, maxDelay) {
		t.Error("the guesser is not answered")
	}
	admin := &administrator{g: g, from: source, next: g.now.Add(time.Second)}
	for range 5 {
		admin.act()
		g.now = g.now.Add(time.Second)
	}
	if !admin.in || admin.tries != 2 || !g.s.unheard(source, maxDelay) {
		t.Errorf("in: %v, after %d tries; the guesser's answer is not said: %v", admin.in, admin.tries, g.s.unheard(source, maxDelay))
	}
}

// A user at a source where he logged in before is not kept waiting by others.
func TestProvenSource(t *testing.T) {
	s := newSite(t)
	g := &guesser{s: s, t: t, now: time.Now()}
	if status, ok := g.prove(g.attempt("secret", source), source); !ok || status != StatusOK {
		t.Fatal(status, ok)
	}
	for i := range 2000 {
		g.guess(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1))
	}
	other := netip.MustParseAddrPort("192.0.2.99:1")
	if _, ok := g.prove(g.attempt("secret", other), other); ok {
		t.Error("there was no flood")
	}
	again := netip.AddrPortFrom(source.Addr(), 9)
	if status, ok := g.prove(g.attempt("secret", again), again); !ok || status != StatusOK {
		t.Errorf("%02x, %v", status, ok)
	}
}

// What the guard remembers is bounded, and a right proof costs no rate.
func TestGuardIsBounded(t *testing.T) {
	g, now := newGuard(), time.Now()
	for i := range 3 * maxFailures {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1)
		k := failureKey{from.Addr(), "admin"}
		for range freeFailures + 1 {
			g.wrong(k, from, now)
		}
		g.right(k, now)
		now = now.Add(time.Millisecond)
	}
	if len(g.failures) > maxFailures || len(g.waiting) > maxWaiting || len(g.proven) > maxProven {
		t.Errorf("%d failures, %d waiting, %d proven", len(g.failures), len(g.waiting), len(g.proven))
	}
	g = newGuard()
	for i := range 10 * allRate {
		k := failureKey{source.Addr(), string(rune('a' + i))}
		if !g.admit(k, source, 0, now) {
			t.Fatalf("right proof %d has to wait", i)
		}
		g.right(k, now)
	}
}
