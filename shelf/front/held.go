package front

import (
	"net/netip"
	"slices"
	"time"
)

// Bounds of what a front holds for the next leader.
const (
	holdTime     = 3 * time.Second // later the client has asked again itself
	holdSessions = 512             // datagrams of sessions
	holdOthers   = 64              // of those who have none: they crowd out each other only
)

// held are datagrams that nobody has answered yet, oldest first.
type held struct {
	limit int
	list  []heldDatagram
}

type heldDatagram struct {
	datagram
	at time.Time
}

// add holds a datagram. If there are too many it takes the place of the oldest, of its own address where that has more
// than its share.
func (h *held) add(d datagram, now time.Time) {
	h.age(now)
	if len(h.list) >= h.limit {
		at := h.oldestOf(d.peer.Addr())
		h.list = slices.Delete(h.list, at, at+1)
	}
	h.list = append(h.list, heldDatagram{d, now})
}

// heldShare is the part of what is held that one address may have while others want it, too.
const heldShare = 8

// oldestOf gives the first of an address, of all where that has no more than its share.
func (h *held) oldestOf(a netip.Addr) int {
	first, n := 0, 0
	for i := len(h.list) - 1; i >= 0; i-- {
		if h.list[i].peer.Addr() == a {
			first, n = i, n+1
		}
	}
	if n*heldShare <= h.limit {
		return 0
	}
	return first
}

// age lets go what is too old.
func (h *held) age(now time.Time) {
	n := 0
	for n < len(h.list) && now.Sub(h.list[n].at) > holdTime {
		n++
	}
	h.list = slices.Delete(h.list, 0, n)
}

// answered lets go what a client asked: it has an answer.
func (h *held) answered(peer netip.AddrPort) {
	h.list = slices.DeleteFunc(h.list, func(d heldDatagram) bool { return d.peer == peer })
}
