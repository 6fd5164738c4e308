package rmcp

import (
	"net/netip"
	"time"

	"github.com/midplane-project/midplane/ipmb/rate"
)

// A guard bounds how many passwords can be tried, and keeps nobody out by it.
// Whoever guesses from the administrator's own address cannot be told from him
// before his proof is looked at; so there is no time in which a right proof is
// refused. Instead, after a few wrong ones of a user from a source:
//
//   - A wrong proof is answered late, and the later the more of them there were.
//     Until then its socket is let in only as a client that tries again: another
//     one may have it by now, for those who guess leave their ports to others.
//   - Who takes a new socket for each guess shares a rate with all that do so.
//     What is above it is not looked at. Clients then try again by the same
//     socket, or send the same proof again, and each try has a rate of its own,
//     which those who only fire do not use up.
//   - All sources together have a rate too, those that guessed already another
//     one than the others. Users at a source where they logged in lately need
//     none of it.
//
// All this goes by names, whether there are such users or not.
const (
	freeFailures  = 2
	firstDelay    = 250 * time.Millisecond
	maxDelay      = 8 * time.Second
	maxDelayShift = 5
	forgetTime    = 5 * time.Minute
	provenTime    = 24 * time.Hour

	maxFailures = 1024 // users at sources that are remembered
	maxProven   = 256
	maxWaiting  = 1024 // sockets that wait for an answer

	firstRate   = 5  // proofs a second of a user at a source, by sockets that are new
	slowestRate = 1  // what long guessing makes of it
	slowing     = 50 // failures that halve it
	allRate     = 10 // of all sources, for each try
	keySaved    = 4  // seconds of a rate that may be saved up
	allSaved    = 10
)

// againRate is by sockets that try again, for each try: most for the third, which few come to by chance and which is
// not a client's last.
var againRate = [tiers]float64{1: 3, 2: 17, 3: 6}

// failureKey is who guesses whose password.
type failureKey struct {
	source netip.Addr
	name   string
}

type failure struct {
	count int
	last  time.Time
	tries [tiers]rate.Tokens
}

// wait is of a socket whose answer is held back.
type wait struct {
	until time.Time
	anew  bool // it began anew meanwhile
}

// guard is one table's.
type guard struct {
	failures map[failureKey]*failure
	proven   map[failureKey]time.Time
	waiting  map[netip.AddrPort]wait
	refused  refused
	all      [2][tiers]rate.Tokens // by whether the user failed at the source
}

func newGuard() guard {
	return guard{
		failures: make(map[failureKey]*failure), proven: make(map[failureKey]time.Time),
		waiting: make(map[netip.AddrPort]wait),
	}
}

// admit reports whether a proof may be looked at now, which its client sent again so often that it belongs to a
// tier. The socket of one that may not is remembered.
func (g *guard) admit(k failureKey, from netip.AddrPort, tier int, now time.Time) bool {
	tier = max(tier, g.refused.tier(from, now))
	w, waits := g.waiting[from]
	waits = waits && now.Before(w.until)
	if waits && tier == 0 || !g.take(k, tier, now) {
		if waits {
			w.anew = true
			g.waiting[from] = w
		}
		g.refused.add(from, now)
		return false
	}
	delete(g.waiting, from)
	g.refused.remove(from)
	return true
}

// unheard reports whether an answer that was held back so long is nothing to its socket any more: somebody began
// anew there, who would take it for his own.
func (g *guard) unheard(from netip.AddrPort, delay time.Duration) bool {
	w, ok := g.waiting[from]
	return delay == maxDelay && (!ok || w.anew)
}

func (g *guard) take(k failureKey, tier int, now time.Time) bool {
	failed := 0
	if f := g.failures[k]; f != nil && f.count > freeFailures && now.Sub(f.last) <= forgetTime {
		failed = 1
		if !f.take(tier, now) {
			return false
		}
	}
	if at, ok := g.proven[k]; ok && now.Sub(at) < provenTime {
		return true
	}
	return g.all[failed][tier].Take(now, allRate, allSaved)
}

func (f *failure) take(tier int, now time.Time) bool {
	rate := againRate[tier]
	if tier == 0 {
		rate = max(slowestRate, firstRate/(1+float64(f.count)/slowing))
	}
	return f.tries[tier].Take(now, rate, keySaved)
}

// wrong counts a wrong proof and gives the delay of its answer.
func (g *guard) wrong(k failureKey, from netip.AddrPort, now time.Time) time.Duration {
	f := g.failures[k]
	if f == nil {
		if len(g.failures) >= maxFailures {
			forgetOldest(g.failures, now, forgetTime, func(f *failure) time.Time { return f.last })
		}
		f = new(failure)
		g.failures[k] = f
	}
	if now.Sub(f.last) > forgetTime {
		f.count = 0
	}
	f.count, f.last = f.count+1, now
	if f.count <= freeFailures {
		return 0
	}
	delay := min(firstDelay<<min(f.count-freeFailures-1, maxDelayShift), maxDelay)
	if len(g.waiting) >= maxWaiting {
		forgetOldest(g.waiting, now, 0, func(w wait) time.Time { return w.until })
	}
	g.waiting[from] = wait{until: now.Add(delay)}
	return delay
}

// right notes a right proof, which gives back what it took. The failures stay:
// who has the password is not who guesses it.
func (g *guard) right(k failureKey, now time.Time) {
	if f := g.failures[k]; f != nil {
		giveBack(&f.tries)
	}
	for i := range g.all {
		giveBack(&g.all[i])
	}
	if _, ok := g.proven[k]; !ok && len(g.proven) >= maxProven {
		forgetOldest(g.proven, now, provenTime, itself)
	}
	g.proven[k] = now
}

func giveBack(all *[tiers]rate.Tokens) {
	for i := range all {
		all[i].Give(1)
	}
}

// provenAt tells of which addresses somebody logged in lately.
func (g *guard) provenAt(now time.Time) func(netip.Addr) bool {
	return func(source netip.Addr) bool {
		for k, at := range g.proven {
			if k.source == source && now.Sub(at) < provenTime {
				return true
			}
		}
		return false
	}
}

func itself(t time.Time) time.Time { return t }

// forgetOldest makes room in a full table: what is older than age goes, or else
// the oldest.
func forgetOldest[K comparable, V any](m map[K]V, now time.Time, age time.Duration, at func(V) time.Time) {
	var oldest K
	var when time.Time
	found := false
	for k, v := range m {
		t := at(v)
		if now.Sub(t) > age {
			delete(m, k)
			found = true
			continue
		}
		if when.IsZero() || t.Before(when) {
			oldest, when = k, t
		}
	}
	if !found {
		delete(m, oldest)
	}
}
