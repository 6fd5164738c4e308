package rmcp

import (
	"container/list"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// Limits of a table of sessions.
const (
	MaxSessions = 63               // Get Session Info has six bits for it
	loginTime   = 60 * time.Second // for one of them
	expireEach  = 100 * time.Millisecond
	IdleTime    = 60 * time.Second // IPMI 2.0 §6.12.15
)

// Config is what sessions are built on.
type Config struct {
	Channel uint8
	GUID    mc.GUID // the system's
	Suites  []mc.CipherSuite
	// Active gives the channel's setting that holds.
	Active func(channel uint8) (mc.ChannelSetting, bool)
	// Account finds who may log in; see [mc.Users.Account].
	Account func(channel uint8, name string, atLeast ipmb.Privilege) (mc.Account, error)
	// Standing tells what a user may who has logged in; see [mc.Users.Standing].
	// nil: users do not change.
	Standing func(channel, user uint8) (mc.Standing, bool)
	// Key gives one of the channel's keys; see [mc.ChannelKeys.Key].
	Key func(channel uint8, id mc.KeyID) ([]byte, error)
	// Store keeps the sessions beyond the process; nil: they are lost with it.
	Store Store
	// SharedKey is of all processes that share the store: by it one goes on with the
	// logins that another began. UserName gives a user's name. nil: there is nobody
	// else.
	SharedKey func() ([]byte, error)
	UserName  func(id uint8) string
	// SuiteLimit gives the highest privilege by a suite; nil: there is no limit.
	SuiteLimit func(id uint8) ipmb.Privilege
	// AuthTypes is the mask of the auth types of IPMI 1.5; 0: no such sessions.
	AuthTypes byte
	// AuthEnabled narrows them for a level; nil: it does not.
	AuthEnabled func(level ipmb.Privilege) byte
}

func (c Config) suiteLimit(id uint8) ipmb.Privilege {
	if c.SuiteLimit == nil {
		return ipmb.PrivilegeOEM
	}
	return c.SuiteLimit(id)
}

func (c Config) standing(user uint8) (mc.Standing, bool) {
	if c.Standing == nil {
		return mc.Standing{Limit: ipmb.PrivilegeOEM}, true
	}
	return c.Standing(c.Channel, user)
}

// authEnabled is the mask of the auth types by which a level may be had.
func (c Config) authEnabled(level ipmb.Privilege) byte {
	if c.AuthEnabled == nil {
		return c.AuthTypes
	}
	return c.AuthTypes & c.AuthEnabled(level)
}

// Sessions are those of one channel.
type Sessions struct {
	cfg        Config
	secret     [32]byte // of the passwords that nobody has
	neighbours string   // the kernel's table

	mu         sync.Mutex
	derived    map[string][]byte    // of the shared key
	challenges cipher.Block         // nil: not yet, or there is no key for it
	adopted    map[uint32]time.Time // logins that another process began
	all        map[uint32]*session
	handles    [MaxSessions + 1]*session // those that are logged in; 0 is nobody
	// unanswered is when a handle's session ended that software had yet to answer.
	unanswered [MaxSessions + 1]time.Time
	guard      guard
	halfOpen   halfOpen
	expired    time.Time // when that was looked for
	gone       []uint32  // the store has them still
	closed     bool

	storeTurn sync.Mutex
}

// NewSessions makes an empty table.
func NewSessions(c Config) *Sessions {
	t := &Sessions{
		cfg: c, neighbours: neighbours, all: make(map[uint32]*session), adopted: make(map[uint32]time.Time),
		derived: make(map[string][]byte), guard: newGuard(), halfOpen: halfOpen{sources: make(map[netip.Addr]*list.List)},
	}
	_, _ = rand.Read(t.secret[:]) // does not fail
	return t
}

// add enters a login, unless there is no room for it now.
func (t *Sessions) add(s *session, from netip.AddrPort) bool {
	if s.login.begun.Sub(t.expired) > expireEach { // a flood must not pay for it each time
		t.expire(s.login.begun)
	}
	if !t.room(s, from) {
		return false
	}
	var id [4]byte
	for s.id == 0 || t.all[s.id] != nil {
		_, _ = rand.Read(id[:])
		s.id = binary.LittleEndian.Uint32(id[:])
	}
	s.peer = from
	t.all[s.id] = s
	t.halfOpen.add(s)
	return true
}

// expire ends the logins that take too long, and the sessions that say nothing.
func (t *Sessions) expire(now time.Time) {
	t.expired = now
	for _, s := range t.all {
		switch {
		case s.handle == 0 && now.Sub(s.login.begun) > loginTime:
			t.remove(s)
		case s.handle != 0 && s.busy == 0 && now.Sub(s.last) > IdleTime:
			t.remove(s)
			s.wipe()
		}
	}
}

// activate gives a login that was proven its handle: one that was not in use
// for the longest time is best, the lowest will do, but not where software may
// yet answer its last session. Who has too many gets none. Where all are in use,
// another's session may end for it.
func (t *Sessions) activate(s *session, now time.Time) bool {
	t.expire(now)
	free, mine := 0, uint8(0)
	for h := MaxSessions; h > 0; h-- {
		switch other := t.handles[h]; {
		case other == nil:
			if free == 0 || !t.unanswered[h].After(t.unanswered[free]) {
				free = h
			}
		case other.user == s.login.account.ID:
			mine++
		}
	}
	if limit := s.login.account.Sessions; limit != 0 && mine >= limit {
		return false
	}
	if free == 0 {
		if free = int(t.crowdOut(mine)); free == 0 {
			return false
		}
	}
	t.halfOpen.remove(s)
	s.handle = uint8(free)
	t.handles[free] = s
	return true
}

// remove takes a session out; of a login the password is forgotten.
func (t *Sessions) remove(s *session) {
	delete(t.all, s.id)
	if s.state != stateLocal && !t.closed {
		t.gone = append(t.gone, s.id)
	}
	t.halfOpen.remove(s)
	if s.login != nil {
		clear(s.login.account.Password)
	}
	if s.handle != 0 {
		t.handles[s.handle] = nil
		if len(s.asked) > 0 {
			t.unanswered[s.handle] = time.Now()
		}
		return
	}
	s.wipe() // of IPMI 1.5, which has its keys before it is a session
}

// Open counts the sessions that are logged in.
func (t *Sessions) Open() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.active()
}

// active is Open. The caller has mu.
func (t *Sessions) active() (n int) {
	for _, s := range t.handles {
		if s != nil {
			n++
		}
	}
	return n
}

// find gives a session that is logged in, nil if there is none.
func (t *Sessions) find(id uint32) *session {
	if s := t.all[id]; s != nil && s.handle != 0 {
		return s
	}
	return nil
}

// unheard reports whether nobody waits any more for an answer that was held back.
func (t *Sessions) unheard(from netip.AddrPort, delay time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.guard.unheard(from, delay)
}

// Close ends all sessions here; the store keeps its own.
func (t *Sessions) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, s := range t.all {
		t.remove(s)
		s.wipe()
	}
}
