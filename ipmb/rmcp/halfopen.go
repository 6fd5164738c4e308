package rmcp

import (
	"container/list"
	"net/netip"
	"time"
)

// maxHalfOpen is how many logins may be under way.
const maxHalfOpen = 8192

// fairShare is how many of one source may be before what it begins costs it its own.
const fairShare = 64

// spared is how many logins are passed over to find one that goes.
const spared = 8

// halfOpen are the logins under way, all of them and by source; those that are to go first are in front.
type halfOpen struct {
	all     list.List
	sources map[netip.Addr]*list.List
}

// turn is a login's place in both queues; nil: it has none.
type turn struct{ all, own *list.Element }

func (h *halfOpen) add(s *session) {
	own := h.sources[s.source]
	if own == nil {
		own = list.New()
		h.sources[s.source] = own
	}
	s.turn = &turn{h.all.PushBack(s), own.PushBack(s)}
}

// remove takes a login out, which may be none any more.
func (h *halfOpen) remove(s *session) {
	own := h.sources[s.source]
	if s.turn == nil || own == nil {
		return
	}
	h.all.Remove(s.turn.all)
	own.Remove(s.turn.own)
	s.turn = nil
	if own.Len() == 0 {
		delete(h.sources, s.source)
	}
}

// failed puts a login in front: nothing comes of it.
func (h *halfOpen) failed(s *session) {
	if own := h.sources[s.source]; s.turn != nil && own != nil {
		h.all.MoveToFront(s.turn.all)
		own.MoveToFront(s.turn.own)
	}
}

// delay puts a login at the end, whose proof was put off: its client goes on with it.
func (h *halfOpen) delay(s *session, now time.Time) {
	if own := h.sources[s.source]; s.turn != nil && own != nil {
		s.login.alive = now
		h.all.MoveToBack(s.turn.all)
		own.MoveToBack(s.turn.own)
	}
}

// many reports whether a source has more logins under way than its share.
func (h *halfOpen) many(source netip.Addr) bool {
	own := h.sources[source]
	return own != nil && own.Len() >= fairShare
}

// victim is the login that makes room for one from source. Who has many crowds out himself; for others one of
// those goes who have, or else of all, but of those from where somebody logged in lately only as a last resort.
func (h *halfOpen) victim(source netip.Addr, proven func(netip.Addr) bool) *session {
	if h.many(source) {
		return h.ownVictim(h.sources[source])
	}
	var out *session
	for range spared {
		first := h.all.Front()
		s := first.Value.(*session)
		if h.many(s.source) {
			return s
		}
		if out == nil && !proven(s.source) {
			out = s
		}
		h.all.MoveToBack(first)
	}
	if out == nil {
		out = h.all.Front().Value.(*session)
	}
	return out
}

// ownVictim passes over those who sent their proof again, as FreeIPMI does after one second and after two.
func (h *halfOpen) ownVictim(own *list.List) *session {
	for range spared {
		s := own.Front().Value.(*session)
		if s.login.patience == 0 || s.login.failed {
			return s
		}
		own.MoveToBack(own.Front())
	}
	return own.Front().Value.(*session)
}

// room reports whether there is room for a login, after another one had to go for it. While the oldest may yet
// go on a new one must wait, but for that of a client that has waited already, and that of a source that has
// few if another has many or somebody logged in from there.
func (t *Sessions) room(s *session, from netip.AddrPort) bool {
	if t.halfOpen.all.Len() < maxHalfOpen {
		return true
	}
	proven := t.guard.provenAt(s.login.begun)
	v := t.halfOpen.victim(s.source, proven)
	first := !t.halfOpen.many(s.source) && (t.halfOpen.many(v.source) || proven(s.source))
	if !first && !v.login.failed && s.login.begun.Sub(v.login.alive) < againLast && t.guard.refused.tier(from, s.login.begun) == 0 {
		t.guard.refused.add(from, s.login.begun)
		return false
	}
	t.remove(v)
	return true
}
