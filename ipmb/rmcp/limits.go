package rmcp

import (
	"net/netip"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb/rate"
)

// What those who have no session are answered is limited for each socket, for
// each address, and in all: who floods the door keeps himself out first, and
// who names another's address as his own sends him little. What an address says
// first, as much as a login and some more, has another limit in all, which
// addresses that say much do not use up. An address from which somebody logged in
// lately has limits of its own, so that a flood from others does not keep its
// users out.
type limitKind int

const (
	limitBare limitKind = iota // what may be asked without a session
	limitStep                  // steps of logins
	limitKinds
)

// Rates, in answers a second.
var (
	socketRate = [limitKinds]float64{500, 3000}
	sourceRate = [limitKinds]float64{800, 6000}
	knownRate  = [limitKinds]float64{5000, 20000}
	fewRate    = [limitKinds]float64{10, 10}      // of an address that says little
	wholeRate  = [limitKinds]float64{1000, 10000} // of all that say little, and of all others
)

const (
	maxLimited = 4096 // sockets, and addresses
	maxKnown   = 256
	limitSaved = 1.4 // seconds
	fewSaved   = 2.0
	stepsEach  = 3 // of a login
)

// tokens are of each kind of answer.
type tokens [limitKinds]rate.Tokens

// allowance is what an address has left.
type allowance struct{ few, many tokens }

// limits are a door's.
type limits struct {
	mu        sync.Mutex
	sockets   map[netip.AddrPort]*tokens
	sources   map[netip.Addr]*allowance
	known     map[netip.Addr]time.Time
	few, many tokens // of all that are not known
}

func newLimits() *limits {
	return &limits{
		sockets: make(map[netip.AddrPort]*tokens), sources: make(map[netip.Addr]*allowance), known: make(map[netip.Addr]time.Time),
	}
}

// take reports whether somebody may be answered. The narrower limit comes
// first: what it refuses costs the wider one nothing.
func (l *limits) take(k limitKind, from netip.AddrPort, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !limited(l.sockets, from)[k].Take(now, socketRate[k], limitSaved) {
		return false
	}
	address := limited(l.sources, from.Addr())
	if at, ok := l.known[from.Addr()]; ok && now.Sub(at) < provenTime {
		return address.many[k].Take(now, knownRate[k], limitSaved)
	}
	return address.few[k].Take(now, fewRate[k], fewSaved) && l.few[k].Take(now, wholeRate[k], limitSaved) ||
		address.many[k].Take(now, sourceRate[k], limitSaved) && l.many[k].Take(now, wholeRate[k], limitSaved)
}

// unsaid gives back what was taken for an answer that was not given.
func (l *limits) unsaid(k limitKind, from netip.AddrPort) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.give(k, from, 1)
}

// give gives back. An address that is not known has it as the little that it may
// say, of which it has no more for that than it may save.
func (l *limits) give(k limitKind, from netip.AddrPort, n float64) {
	limited(l.sockets, from)[k].Give(n)
	address := limited(l.sources, from.Addr())
	if _, ok := l.known[from.Addr()]; ok {
		address.many[k].Give(n)
		return
	}
	address.few[k].Give(n)
	l.few[k].Give(n)
}

// limited gives what somebody has left. In a full table anyone makes room: he
// begins anew, but the wider limits do not.
func limited[K comparable, V any](table map[K]*V, who K) *V {
	t := table[who]
	if t == nil {
		for other := range table {
			if len(table) < maxLimited {
				break
			}
			delete(table, other)
		}
		t = new(V)
		table[who] = t
	}
	return t
}

// loggedIn gives back what a login took: those that succeed are not limited.
func (l *limits) loggedIn(from netip.AddrPort, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.give(limitStep, from, stepsEach)
	if _, ok := l.known[from.Addr()]; !ok && len(l.known) >= maxKnown {
		forgetOldest(l.known, now, provenTime, itself)
	}
	l.known[from.Addr()] = now
}
