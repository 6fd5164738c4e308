package serial

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// session is a user who has logged in on a port. The door's lock guards it.
type session struct {
	id        uint32
	handle    uint8
	account   mc.Account
	limit     ipmb.Privilege // asked for when it was opened
	privilege ipmb.Privilege // now
	heard     time.Time
}

// Session is what is told of one.
type Session struct {
	ID           uint32
	Handle, User uint8
	Privilege    ipmb.Privilege
}

// Handles of sessions: those of LAN sessions are below, and each channel has
// its own.
const (
	handleBase  = 0x40
	handleShift = 4
	handleCount = 1 << handleShift
)

// open begins a session, which ends the one there was.
func (d *Door) open(a mc.Account, limit, privilege ipmb.Privilege, now time.Time) uint32 {
	d.mu.Lock()
	a.Password = nil
	d.last = (d.last + 1) % handleCount
	d.session = &session{
		id: newID(), handle: handleBase | d.cfg.Origin.Channel%4<<handleShift | d.last,
		account: a, limit: limit, privilege: privilege, heard: now,
	}
	id := d.session.id
	d.mu.Unlock()
	d.log().Info("serial session", "user", a.Name, "privilege", privilege)
	d.UserChanged(a.ID, ipmb.Origin{}) // if he was while he logged in
	return id
}

// UserChanged ends the session of a user who was changed, if he may not log in
// any more, or not by the password by which he did. The one that gave him
// another password itself goes on. It reports whether one ended.
func (d *Door) UserChanged(id uint8, by ipmb.Origin) (ended bool) {
	d.mu.Lock()
	s := d.session
	d.mu.Unlock()
	if s == nil || s.account.ID != id || d.cfg.Standing == nil {
		return false
	}
	now, may := d.standing(s) // without the lock: it asks the users
	d.mu.Lock()
	defer d.mu.Unlock()
	switch own := by.Door == ipmb.DoorSerial && by.Session == s.id; {
	case d.session != s:
		return false
	case !may, now.Stamp != s.account.Stamp && !own:
		d.session = nil
		return true
	}
	s.account.Stamp, s.privilege = now.Stamp, min(s.privilege, now.Limit)
	return false
}

// newID gives a session id, which is never 0.
func newID() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint32(b[:]) | 1
}

// logout ends the session, if there is one.
func (d *Door) logout() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.session = nil
}

// Session tells of the session that is open.
func (d *Door) Session() (Session, bool) {
	d.expire(time.Now())
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.session
	if s == nil {
		return Session{}, false
	}
	return Session{ID: s.id, Handle: s.handle, User: s.account.ID, Privilege: s.privilege}, true
}

// CloseSession ends a session by its id and reports whether it was there.
func (d *Door) CloseSession(id uint32) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.session == nil || d.session.id != id {
		return false
	}
	d.session = nil
	return true
}

// Sessions counts the sessions that are open: none or one.
func (d *Door) Sessions() int {
	if _, open := d.Session(); open {
		return 1
	}
	return 0
}

// handle is that of the session, 0 without one.
func (d *Door) handle() uint8 {
	s, _ := d.Session()
	return s.Handle
}

// expire ends a session that was idle for too long, and one whose user may no
// longer log in.
func (d *Door) expire(now time.Time) {
	d.mu.Lock()
	s := d.session
	d.mu.Unlock()
	if s == nil {
		return
	}
	user, may := d.standing(s) // without the lock: it asks the users
	idle := d.settings().Inactivity
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.session != s:
	case !may, idle > 0 && now.Sub(s.heard) > idle:
		d.session = nil
	default:
		s.privilege = min(s.privilege, user.Limit)
	}
}

// standing tells what a session's user may now on the channel, without a look at
// the password; ok is false when he may not be there any more.
func (d *Door) standing(s *session) (now mc.Standing, ok bool) {
	now, ok = mc.Standing{Limit: ipmb.PrivilegeOEM}, true
	if d.cfg.Standing != nil {
		now, ok = d.cfg.Standing(s.account.ID)
	}
	limit, open := d.opens()
	now.Limit = min(now.Limit, limit)
	return now, ok && open
}

// hear notes that the session's line brought something.
func (d *Door) hear(now time.Time) {
	d.expire(now)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.session != nil {
		d.session.heard = now
	}
}

func (d *Door) account(name string, atLeast ipmb.Privilege) (mc.Account, error) {
	if d.cfg.Account == nil {
		return mc.Account{}, mc.ErrNoAccount
	}
	return d.cfg.Account(name, atLeast)
}

// Delays after failed logins: who guesses on a new line waits as well.
const (
	firstDelay = time.Second
	lastDelay  = 32 * time.Second
)

// logins counts the failures of a port.
type logins struct {
	mu    sync.Mutex
	delay time.Duration // after the next failure
}

// failed makes the line wait before it hears more.
func (l *logins) failed(ctx context.Context) {
	l.mu.Lock()
	l.delay = min(max(2*l.delay, firstDelay), lastDelay)
	wait := l.delay
	l.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-time.After(wait):
	}
}

func (l *logins) succeeded() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = 0
}

// password logs a user in by name and password, as high as he may by one that
// is sent in clear.
func (l *line) password(ctx context.Context, name, password string) error {
	d := l.door
	d.logout()
	a, err := d.account(name, ipmb.PrivilegeCallback)
	defer clear(a.Password)
	level := d.byPassword(a.Limit)
	if err != nil || !samePassword(a.Password, password) || level == ipmb.PrivilegeNone {
		d.log().Warn("serial login failed", "user", name)
		d.logins.failed(ctx)
		return ipmb.ErrPrivilege
	}
	d.logins.succeeded()
	d.open(a, level, level, time.Now())
	return nil
}

// byPassword is the highest level up to a limit for which a password will do.
func (d *Door) byPassword(limit ipmb.Privilege) ipmb.Privilege {
	s := d.settings()
	for ; limit > ipmb.PrivilegeNone; limit-- {
		if s.AuthFor(limit)&mc.SerialAuthPassword != 0 {
			break
		}
	}
	return limit
}

// samePassword compares with a password that is filled up with zeros.
func samePassword(have []byte, password string) bool {
	if len(password) > len(have) {
		return false
	}
	given := make([]byte, len(have))
	copy(given, password)
	return subtle.ConstantTimeCompare(have, given) == 1
}
