package serial

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// Commands of a session (IPMI 2.0 §22.13 to §22.19). A serial line has one
// session at most and no session header, so that they act on the line.
const (
	cmdAuthCapabilities ipmb.Cmd = 0x38
	cmdChallenge        ipmb.Cmd = 0x39
	cmdActivate         ipmb.Cmd = 0x3A
	cmdSetPrivilege     ipmb.Cmd = 0x3B
	cmdClose            ipmb.Cmd = 0x3C
)

// Their completion codes.
const (
	ErrNoChallenge  ipmb.CompletionCode = 0x85 // Activate Session: invalid session id
	ErrMaxPrivilege ipmb.CompletionCode = 0x86 // requested maximum exceeds the user's or channel's limit
	ErrLevelExceeds ipmb.CompletionCode = 0x81 // Set Session Privilege Level
)

// Authentication types (IPMI 2.0 table 22-16).
const (
	authMD5      = 2
	authPassword = 4

	authNoPerMessage = 0x10 // messages are not authenticated one by one
	authNamed        = 0x04
	authNull         = 0x02

	privilegeMask = 0x0F
	channelMask   = 0x0F
	challengeLen  = 16
)

// setup is a session that has been asked for.
type setup struct {
	name      string
	auth      byte
	id        uint32 // temporary; 0: none
	challenge [challengeLen]byte
}

// sessionCommand answers the commands of sessions; ok is false for any other.
func (l *line) sessionCommand(ctx context.Context, req *ipmb.Request) (r ipmb.Response, ok bool) {
	if req.NetFn != ipmb.NetFnApp || req.LUN != ipmb.LUNBMC {
		return r, false
	}
	var do func(context.Context, []byte) ([]byte, error)
	var span ipmb.Span
	switch req.Cmd {
	case cmdAuthCapabilities:
		do, span = l.capabilities, ipmb.Exactly(2)
	case cmdChallenge:
		do, span = l.challenge, ipmb.Exactly(1+mc.UserNameLen)
	case cmdActivate:
		do, span = l.activate, ipmb.Exactly(2+challengeLen+4)
	case cmdSetPrivilege:
		do, span = l.setPrivilege, ipmb.Exactly(1)
	case cmdClose:
		do, span = l.closeSession, ipmb.Between(4, 5)
	default:
		return r, false
	}
	if !span.Holds(len(req.Data)) {
		return ipmb.Response{Code: ipmb.ErrLength}, true
	}
	data, err := do(ctx, req.Data)
	if errors.Is(err, errElsewhere) {
		return r, false
	}
	return ipmb.Response{Code: ipmb.CodeOf(err), Data: data}, true
}

// errElsewhere says that a command is not about this channel: the controller
// answers it.
var errElsewhere = errors.New("not about this channel")

// capabilities is Get Channel Authentication Capabilities.
func (l *line) capabilities(_ context.Context, d []byte) ([]byte, error) {
	channel := l.door.cfg.Origin.Channel
	if n := d[0] & channelMask; n != ipmb.ChannelPresent && n != channel {
		return nil, errElsewhere
	}
	return l.door.Capabilities(d[1])
}

// Capabilities tells how a user may log in for a privilege level: the data of
// Get Channel Authentication Capabilities.
func (d *Door) Capabilities(level byte) ([]byte, error) {
	p := ipmb.Privilege(level & privilegeMask)
	if p < ipmb.PrivilegeCallback || p > ipmb.PrivilegeAdmin {
		return nil, ipmb.ErrInvalidField
	}
	status := byte(authNoPerMessage)
	if d.cfg.Users != nil {
		named, null := d.cfg.Users()
		if named {
			status |= authNamed
		}
		if null {
			status |= authNull
		}
	}
	return []byte{d.cfg.Origin.Channel, d.settings().AuthFor(p), status, 0, 0, 0, 0, 0}, nil
}

// challenge is Get Session Challenge. Whoever is no user gets one too, and fails
// with it as with a wrong password: nobody learns here who is one.
func (l *line) challenge(_ context.Context, d []byte) ([]byte, error) {
	var enabled byte
	for _, types := range l.door.settings().Auth {
		enabled |= types
	}
	if d[0] != authMD5 && d[0] != authPassword || enabled>>d[0]&1 == 0 {
		return nil, ipmb.ErrInvalidField
	}
	l.setup = setup{name: nameOf(d[1:]), auth: d[0], id: newID()}
	_, _ = rand.Read(l.setup.challenge[:]) // never fails
	out := binary.LittleEndian.AppendUint32(nil, l.setup.id)
	return append(out, l.setup.challenge[:]...), nil
}

func nameOf(d []byte) string {
	for i, x := range d {
		if x == 0 {
			return string(d[:i])
		}
	}
	return string(d)
}

// activate opens a session that was asked for. It begins with user level, or
// below it where no more was asked for, as on any channel.
func (l *line) activate(ctx context.Context, d []byte) ([]byte, error) {
	s := l.setup
	l.setup = setup{} // a challenge is good for one try
	limit := ipmb.Privilege(d[1] & privilegeMask)
	switch {
	case s.id == 0:
		return nil, ErrNoChallenge
	case d[0] != s.auth || limit < ipmb.PrivilegeCallback || limit > ipmb.PrivilegeAdmin,
		l.door.settings().AuthFor(limit)>>s.auth&1 == 0:
		return nil, ipmb.ErrInvalidField
	}
	a, err := l.door.account(s.name, ipmb.PrivilegeNone)
	defer clear(a.Password)
	if err != nil || !s.proves(a.Password, d[2:2+challengeLen]) {
		l.door.log().Warn("serial login failed", "user", s.name)
		l.door.logins.failed(ctx)
		return nil, ipmb.ErrPrivilege
	}
	l.door.logins.succeeded()
	if limit > a.Limit {
		return nil, ErrMaxPrivilege
	}
	id := l.door.open(a, limit, min(limit, ipmb.PrivilegeUser), time.Now())
	out := binary.LittleEndian.AppendUint32([]byte{s.auth}, id)
	out = append(out, 0, 0, 0, 0) // no sequence numbers: a line has no session header
	return append(out, byte(limit)), nil
}

// proves reports whether code shows that its sender has the password: it is
// the password itself, or for MD5 a hash with the challenge (IPMI 2.0
// §22.17.1, single session).
func (s setup) proves(password, code []byte) bool {
	if len(password) != mc.PasswordLen {
		return false // 20 bytes are for RMCP+ and terminal mode
	}
	want := password
	if s.auth == authMD5 {
		text := binary.LittleEndian.AppendUint32(append([]byte(nil), password...), s.id)
		text = append(append(text, s.challenge[:]...), password...)
		sum := md5.Sum(text)
		want = sum[:]
	}
	return subtle.ConstantTimeCompare(want, code) == 1
}

// setPrivilege changes the session's level, and tells it; 0 asks only.
func (l *line) setPrivilege(_ context.Context, d []byte) ([]byte, error) {
	p, limit := ipmb.Privilege(d[0]&privilegeMask), l.origin().Privilege
	if p != ipmb.PrivilegeNone {
		limit, _ = l.door.opens()
	}
	l.door.mu.Lock()
	defer l.door.mu.Unlock()
	s := l.door.session
	switch {
	case s == nil:
		return nil, ipmb.ErrPrivilege
	case p == ipmb.PrivilegeCallback || p > ipmb.PrivilegeAdmin:
		return nil, ipmb.ErrInvalidField
	case p == ipmb.PrivilegeNone:
		return []byte{byte(limit)}, nil
	case p > min(s.limit, s.account.Limit, limit):
		return nil, ErrLevelExceeds
	}
	s.privilege = p
	return []byte{byte(p)}, nil
}

// closeSession ends the line's own session; others are the controller's matter.
func (l *line) closeSession(_ context.Context, d []byte) ([]byte, error) {
	id := binary.LittleEndian.Uint32(d)
	if !l.door.CloseSession(id) {
		return nil, errElsewhere
	}
	return nil, nil
}
