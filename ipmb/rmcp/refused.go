package rmcp

import (
	"net/netip"
	"time"
)

// maxRefused is how many sockets are remembered whose proof was not looked at.
const maxRefused = 8192

// Clients try again each second, four times in all.
const (
	tiers      = 4
	againFirst = 500 * time.Millisecond // sooner is no client's second try
	againLast  = 3 * time.Second
)

// refusal is of one socket.
type refusal struct {
	tries int
	last  time.Time
}

// refused are the sockets whose proof was not looked at. The oldest makes room.
type refused struct {
	sockets map[netip.AddrPort]refusal
	order   []netip.AddrPort // a ring
	next    int
}

// tier is how often a socket has tried as a client does, 0 for a new one.
func (r *refused) tier(from netip.AddrPort, now time.Time) int {
	one := r.sockets[from]
	if since := now.Sub(one.last); since < againFirst || since > againLast {
		return 0
	}
	return min(one.tries, tiers-1)
}

func (r *refused) add(from netip.AddrPort, now time.Time) {
	one, ok := r.sockets[from]
	switch since := now.Sub(one.last); {
	case !ok:
		r.remember(from)
	case since < againFirst:
		return
	case since > againLast:
		one.tries = 0
	}
	r.sockets[from] = refusal{one.tries + 1, now}
}

func (r *refused) remember(from netip.AddrPort) {
	if len(r.order) < maxRefused {
		r.order = append(r.order, from)
		return
	}
	delete(r.sockets, r.order[r.next])
	r.order[r.next] = from
	r.next = (r.next + 1) % maxRefused
}

// remove forgets how often a socket tried. Its place in the ring stays.
func (r *refused) remove(from netip.AddrPort) {
	if _, ok := r.sockets[from]; ok {
		r.sockets[from] = refusal{}
	}
}
