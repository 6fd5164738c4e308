package front

import (
	"net/netip"
	"slices"
	"time"

	"github.com/midplane-project/midplane/ipmb/rmcp"
)

// Bounds of what a front holds for the next leader.
const (
	holdTime     = 3 * time.Second // later the client has asked again itself
	holdSessions = 512             // datagrams of sessions
	holdOthers   = 64              // of those who have none: they crowd out each other only

	loginTime  = 30 * time.Second // FreeIPMI repeats a step of a login for 20 s
	holdLogins = 256
)

// held are datagrams that nobody has answered yet, oldest first; or the last
// answers of the logins under way, one for each socket.
type held struct {
	limit int
	time  time.Duration
	list  []heldDatagram
}

type heldDatagram struct {
	datagram
	at   time.Time
	term uint64 // of an answer: of the leader that gave it
}

// add holds a datagram. If there are too many it takes the place of the oldest, of its own address where that has more
// than its share.
func (h *held) add(d datagram, term uint64, now time.Time) {
	h.age(now)
	if len(h.list) >= h.limit {
		at := h.oldestOf(d.peer.Addr())
		h.list = slices.Delete(h.list, at, at+1)
	}
	h.list = append(h.list, heldDatagram{d, now, term})
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
	for n < len(h.list) && now.Sub(h.list[n].at) > h.time {
		n++
	}
	h.list = slices.Delete(h.list, 0, n)
}

// answered lets go what is held of a client: it has an answer, or another one.
func (h *held) answered(peer netip.AddrPort) {
	h.list = slices.DeleteFunc(h.list, func(d heldDatagram) bool { return d.peer == peer })
}

// answeredBy is answered, but for what the leader did not have yet when it gave that
// answer: what a system says over LAN and what its user types cross. The first answer
// to packet n of an RMCP+ session has the number 2n−1 or a later one.
func (h *held) answeredBy(answer datagram) {
	number, plus := plusNumber(answer.data)
	h.list = slices.DeleteFunc(h.list, func(d heldDatagram) bool {
		asked, also := plusNumber(d.data)
		return d.peer == answer.peer && !(plus && also && int32(rmcp.AnswersPerPacket*(asked-1)-number) >= 0)
	})
}

// of gives the login that is under way at a socket, nil for one that has its last
// answer of this term's leader, which knows it better.
func (h *held) of(peer netip.AddrPort, term uint64, now time.Time) []byte {
	for _, d := range h.list {
		if d.peer == peer && d.term != term && now.Sub(d.at) <= h.time {
			return d.login
		}
	}
	return nil
}
