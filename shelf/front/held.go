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

// add holds a datagram, in the place of the oldest if there are too many.
func (h *held) add(d datagram, now time.Time) {
	h.age(now)
	if len(h.list) >= h.limit {
		h.list = slices.Delete(h.list, 0, 1)
	}
	h.list = append(h.list, heldDatagram{d, now})
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
