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

// idleLimit is how long a session lasts without a message.
const idleLimit = 5 * time.Minute

// session is a user who has logged in on a line.
type session struct {
	id        uint32
	account   mc.Account
	limit     ipmb.Privilege // asked for when it was opened
	privilege ipmb.Privilege // now
	heard     time.Time
}

// open begins a session, which ends the one there was.
func (l *line) open(a mc.Account, limit, privilege ipmb.Privilege, now time.Time) *session {
	l.logout()
	l.session = &session{id: newID(), account: a, limit: limit, privilege: privilege, heard: now}
	l.door.newHandle()
	l.door.log().Info("serial session", "user", a.Name, "privilege", privilege)
	return l.session
}

// newID gives a session id, which is never 0.
func newID() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint32(b[:]) | 1
}

// logout ends the session, if there is one.
func (l *line) logout() {
	if l.session == nil {
		return
	}
	l.session = nil
	l.door.handle.Store(0)
}

// expire ends a session that was idle for too long, and one whose user may no
// longer log in.
func (l *line) expire(now time.Time) {
	s := l.session
	if s == nil {
		return
	}
	a, err := l.door.account(s.account.Name, ipmb.PrivilegeNone)
	if err != nil || a.ID != s.account.ID || now.Sub(s.heard) > idleLimit {
		l.logout()
		return
	}
	s.heard, s.privilege = now, min(s.privilege, a.Limit)
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

// password logs a user in by name and password, as high as he may.
func (l *line) password(ctx context.Context, name, password string) error {
	l.logout()
	a, err := l.door.account(name, ipmb.PrivilegeCallback)
	if err != nil || !samePassword(a.Password, password) {
		l.door.log().Warn("serial login failed", "user", name)
		l.door.logins.failed(ctx)
		return ipmb.ErrPrivilege
	}
	l.door.logins.succeeded()
	l.open(a, a.Limit, a.Limit, time.Now())
	return nil
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
