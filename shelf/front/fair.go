package front

import (
	"net/netip"
	"time"

	"github.com/midplane-project/midplane/ipmb/rate"
)

// What passes is limited for each socket, for each address, and in all, so that who floods the front keeps himself
// out first. An address says little before it floods: for its first datagrams there is another limit in all, which
// those that say much do not use up. An address to which the leader spoke in a session has a limit of its own, and
// so do the sessions there.
const (
	socketRate = 1000 // datagrams a second
	sourceRate = 4000
	fewRate    = 20 // of a source that says little
	knownRate  = 20000
	wholeRate  = 5000 // of all that say little, and of all others
)

const (
	saved      = 0.1 // seconds of a rate: more at once than that does not fit into a stream
	savedFew   = 2.0 // a client's login, and some more
	maxLimited = 4096
	maxKnown   = 256
	knownTime  = 24 * time.Hour
)

// source is what an address has left.
type source struct{ few, many rate.Tokens }

// limits are a front's.
type limits struct {
	sockets   map[netip.AddrPort]*rate.Tokens
	sources   map[netip.Addr]*source
	known     map[netip.Addr]*knownSource
	few, many rate.Tokens
}

type knownSource struct {
	at   time.Time // when the leader last spoke to a session there
	left rate.Tokens
}

func newLimits() *limits {
	return &limits{
		sockets: make(map[netip.AddrPort]*rate.Tokens), sources: make(map[netip.Addr]*source), known: make(map[netip.Addr]*knownSource),
	}
}

// take reports whether a datagram may pass. The narrower limit comes first: what it refuses costs the wider one nothing.
func (l *limits) take(peer netip.AddrPort, session bool, now time.Time) bool {
	known := l.known[peer.Addr()]
	if known != nil && now.Sub(known.at) > knownTime {
		known = nil
	}
	if !(session && known != nil) && !entry(l.sockets, peer).Take(now, socketRate, saved) {
		return false
	}
	if known != nil {
		return known.left.Take(now, knownRate, saved)
	}
	s := entry(l.sources, peer.Addr())
	return s.few.Take(now, fewRate, savedFew) && l.few.Take(now, wholeRate, saved) ||
		s.many.Take(now, sourceRate, saved) && l.many.Take(now, wholeRate, saved)
}

// spoken notes that the leader spoke to a session at an address.
func (l *limits) spoken(to netip.Addr, now time.Time) {
	one := l.known[to]
	if one == nil {
		if len(l.known) >= maxKnown {
			l.forget()
		}
		one = new(knownSource)
		l.known[to] = one
	}
	one.at = now
}

// forget makes room for another address that is known.
func (l *limits) forget() {
	var oldest netip.Addr
	for a, one := range l.known {
		if old := l.known[oldest]; old == nil || one.at.Before(old.at) {
			oldest = a
		}
	}
	delete(l.known, oldest)
}

// entry gives somebody's, new if there is none. In a full table anyone makes room: he begins anew, but what all have
// does not.
func entry[K comparable, V any](table map[K]*V, who K) *V {
	v := table[who]
	if v == nil {
		for other := range table {
			if len(table) < maxLimited {
				break
			}
			delete(table, other)
		}
		v = new(V)
		table[who] = v
	}
	return v
}
