package rmcp

import (
	"container/list"
	"net/netip"
)

// maxHalfOpen is how many logins may be under way. It is large enough for one
// to live through a flood of others from its own source while a client sends
// its three messages.
const maxHalfOpen = 1024

// halfOpen are the logins under way, by source; those that are to go first are
// in front.
type halfOpen struct {
	count   int
	sources map[netip.Addr]*list.List
}

func (h *halfOpen) add(s *session) {
	l := h.sources[s.source]
	if l == nil {
		l = list.New()
		h.sources[s.source] = l
	}
	s.place = l.PushBack(s)
	h.count++
}

// remove takes a login out, which may be none any more.
func (h *halfOpen) remove(s *session) {
	l := h.sources[s.source]
	if s.place == nil || l == nil {
		return
	}
	l.Remove(s.place)
	s.place = nil
	if h.count--; l.Len() == 0 {
		delete(h.sources, s.source)
	}
}

// failed puts a login in front: nothing comes of it.
func (h *halfOpen) failed(s *session) {
	if l := h.sources[s.source]; s.place != nil && l != nil {
		l.MoveToFront(s.place)
	}
}

// victim is the first login of the source that has most of them, so that a
// source that fills the table crowds out itself; among equals the oldest. nil
// if there is none.
func (h *halfOpen) victim() *session {
	var out *session
	most := 0
	for _, l := range h.sources {
		first := l.Front().Value.(*session)
		if l.Len() > most || l.Len() == most && first.begun.Before(out.begun) {
			out, most = first, l.Len()
		}
	}
	return out
}
