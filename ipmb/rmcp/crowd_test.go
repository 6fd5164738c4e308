package rmcp

import (
	"testing"
	"time"
)

// fill gives a user all sessions that there are.
func (s *site) fill(user, pass string) (list []*session) {
	s.t.Helper()
	for s.Open() < MaxSessions {
		c := s.client(s.cfg.Suites[1], user, pass, 0x12)
		if got := c.login(nil); got != StatusOK {
			s.t.Fatal(got)
		}
		list = append(list, s.all[c.id])
	}
	return list
}

// One user may have all sessions while nobody else wants one; then the one that said nothing for the longest time
// ends, but none that is in use. Who has most, or hardly less, gets none of another's.
func TestFullTableIsShared(t *testing.T) {
	s := newSite(t)
	list := s.fill("tom", "sixteen")
	now := time.Now()
	for i, one := range list {
		one.last = now.Add(-time.Duration(i) * 100 * time.Millisecond)
	}
	last := len(list) - 1
	list[last].busy = 1
	list[last-1].state = stateKeeping
	newActiveSOL(list[last-2], solTiming{}, nil)
	over := newActiveSOL(list[last-3], solTiming{}, nil)
	over.stop(true)

	login := func(user, pass string) Status { return s.client(s.cfg.Suites[1], user, pass, 0x12).login(nil) }
	if got := login("tom", "sixteen"); got != StatusNoResources {
		t.Errorf("who has all got another: %02x", got)
	}
	gone := func() (n int) {
		for _, one := range list {
			if s.all[one.id] != one {
				n++
			}
		}
		return n
	}
	if got := login("admin", "secret"); got != StatusOK || gone() != 1 || s.all[list[last-3].id] != nil {
		t.Errorf("%02x, %d ended", got, gone())
	}
	if _, err := list[last-3].unseal(packet{}); err == nil || list[last-3].keys != nil {
		t.Error("one that ended has its keys")
	}
	for range MaxSessions/2 - 1 {
		if got := login("admin", "secret"); got != StatusOK {
			t.Fatalf("%02x", got)
		}
	}
	if got := login("admin", "secret"); got != StatusNoResources || gone() != MaxSessions/2 {
		t.Errorf("beyond his share: %02x, %d of the other's ended", got, gone())
	}
	if got := login("tom", "sixteen"); got != StatusNoResources {
		t.Errorf("two take it from each other: %02x", got)
	}
	if got := login("bob", "builder"); got != StatusOK {
		t.Errorf("a third one: %02x", got)
	}
	if n := s.Open(); n != MaxSessions {
		t.Errorf("%d sessions", n)
	}
}

// Where nothing may end nothing does.
func TestFullTableInUse(t *testing.T) {
	s := newSite(t)
	for _, one := range s.fill("tom", "sixteen") {
		one.busy = 1
	}
	if got := s.client(s.cfg.Suites[1], "admin", "secret", 0x14).login(nil); got != StatusNoResources {
		t.Errorf("%02x", got)
	}
}

// The store never has two sessions of one handle: the one that ended leaves it with the same change.
func TestCrowdedOutLeavesStore(t *testing.T) {
	f := newFakeStore()
	s := storing(t, f)
	for range MaxSessions {
		if got := s.dial(s.cfg.Suites[1], "tom", "sixteen", 0x12).login(nil); got != StatusOK {
			t.Fatal(got)
		}
	}
	c := s.dial(s.cfg.Suites[1], "admin", "secret", 0x14)
	if got := c.login(nil); got != StatusOK {
		t.Fatal(got)
	}
	handles := make(map[uint8]uint32)
	for _, k := range f.list() {
		if other, ok := handles[k.Handle]; ok {
			t.Errorf("%x and %x have handle %d", k.ID, other, k.Handle)
		}
		handles[k.Handle] = k.ID
	}
	if len(handles) != MaxSessions {
		t.Errorf("%d are stored", len(handles))
	}
	next := storing(t, f)
	c.moves(next)
	c.want("goes on elsewhere", c.do(6, 1), 0, 1)
}
