package rmcp

import (
	"net/netip"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb/rate"
)

// What those who have no session are answered is limited for each socket, for
// each address, and in all: who floods the door keeps himself out first, and
// who names another's address as his own sends him little. An address from which
// somebody logged in lately has limits of its own, so that a flood from others
// does not keep its users out.
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
	wholeRate  = [limitKinds]float64{1000, 10000}
)

const (
	maxLimited = 4096 // sockets, and addresses
	maxKnown   = 256
	limitSaved = 1.4 // seconds
	stepsEach  = 3   // of a login
)

// limits are a door's.
type limits struct {
	mu      sync.Mutex
	sockets map[netip.AddrPort]*[limitKinds]rate.Tokens
	sources map[netip.Addr]*[limitKinds]rate.Tokens
	known   map[netip.Addr]time.Time
	whole   [limitKinds]rate.Tokens
}

func newLimits() *limits {
	return &limits{
		sockets: make(map[netip.AddrPort]*[limitKinds]rate.Tokens), sources: make(map[netip.Addr]*[limitKinds]rate.Tokens),
		known: make(map[netip.Addr]time.Time),
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
		return address[k].Take(now, knownRate[k], limitSaved)
	}
	return address[k].Take(now, sourceRate[k], limitSaved) && l.whole[k].Take(now, wholeRate[k], limitSaved)
}

// unsaid gives back what was taken for an answer that was not given.
func (l *limits) unsaid(k limitKind, from netip.AddrPort) {
	l.mu.Lock()
	defer l.mu.Unlock()
	limited(l.sockets, from)[k].Give(1)
	limited(l.sources, from.Addr())[k].Give(1)
	if _, ok := l.known[from.Addr()]; !ok {
		l.whole[k].Give(1)
	}
}

// limited gives what somebody has left. In a full table anyone makes room: he
// begins anew, but the wider limits do not.
func limited[K comparable](table map[K]*[limitKinds]rate.Tokens, who K) *[limitKinds]rate.Tokens {
	t := table[who]
	if t == nil {
		for other := range table {
			if len(table) < maxLimited {
				break
			}
			delete(table, other)
		}
		t = new([limitKinds]rate.Tokens)
		table[who] = t
	}
	return t
}

// loggedIn gives back what a login took: those that succeed are not limited.
func (l *limits) loggedIn(from netip.AddrPort, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	limited(l.sockets, from)[limitStep].Give(stepsEach)
	limited(l.sources, from.Addr())[limitStep].Give(stepsEach)
	if _, ok := l.known[from.Addr()]; !ok {
		l.whole[limitStep].Give(stepsEach)
		if len(l.known) >= maxKnown {
			forgetOldest(l.known, now, provenTime, itself)
		}
	}
	l.known[from.Addr()] = now
}
