package rmcp

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// Completion codes of Activate Session (IPMI 2.0 §22.17).
const (
	ErrNoSlot        ipmb.CompletionCode = 0x81
	ErrBadSequence   ipmb.CompletionCode = 0x84
	ErrBadTemporary  ipmb.CompletionCode = 0x85
	ErrActivateLimit ipmb.CompletionCode = 0x86
)

// Commands of an IPMI 1.5 login, and their lengths.
const (
	cmdChallenge ipmb.Cmd = 0x39
	cmdActivate  ipmb.Cmd = 0x3A

	challengeLen = 1 + mc.UserNameLen
	activateLen  = 2 + code15Len + 4
)

// consoleKey is for the console's address in a request's context: a login
// belongs to its source.
type consoleKey struct{}

// v15Commands are the rows of an IPMI 1.5 login.
func (t *Sessions) v15Commands() []ipmb.Command {
	if t.cfg.AuthTypes == 0 {
		return nil
	}
	return []ipmb.Command{
		{
			Name: "Get Session Challenge", NetFn: ipmb.NetFnApp, Cmd: cmdChallenge, Privilege: ipmb.PrivilegeNone,
			Data: ipmb.Exactly(challengeLen), Ref: "IPMI 2.0 §22.16", Do: t.challenge,
		},
		{
			Name: "Activate Session", NetFn: ipmb.NetFnApp, Cmd: cmdActivate, Privilege: ipmb.PrivilegeNone,
			Data: ipmb.Exactly(activateLen), Effect: true, Ref: "IPMI 2.0 §22.17", Do: t.activate15,
		},
	}
}

// challenge begins a login. Whoever is no user gets a challenge too, and fails
// with it as with a wrong password.
func (t *Sessions) challenge(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	from, ok := ctx.Value(consoleKey{}).(netip.AddrPort)
	if !ok {
		return nil, ipmb.ErrState // asked by another door
	}
	auth := req.Data[0]
	if auth != authTypeMD5 && auth != authTypePassword || t.cfg.AuthTypes&(1<<auth) == 0 {
		return nil, ipmb.ErrInvalidField
	}
	name, _, _ := bytes.Cut(req.Data[1:], []byte{0})
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	s := &session{source: from.Addr(), login: &login{begun: now, alive: now}, v15: &challenge{auth: auth, name: string(name)}}
	t.begin15(s)
	if !t.add(s, from) {
		clear(s.login.account.Password)
		return nil, ipmb.ErrBusy
	}
	s.console = s.id // one id goes both ways
	if err := t.setText(s); err != nil {
		t.remove(s)
		return nil, err
	}
	return append(word(s.id), s.v15.text[:]...), nil
}

// prove15 takes the packet of an Activate Session, and gives the answer that it
// got before. What proves nothing gets none.
func (t *Sessions) prove15(p packet, from netip.AddrPort, now time.Time) (f ipmb.Frame, answer []byte, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.all[p.ID]
	f, err := ipmb.ParseFrame(p.Payload)
	if s == nil && err == nil && p.Seq == 0 {
		s = t.adopt(p, f, from, now)
	}
	switch {
	case s == nil || s.v15 == nil || p.Seq != 0:
		return f, nil, false
	case s.handle != 0 && bytes.Equal(s.third, p.raw) && (t.cfg.Store == nil || s.state == stateKept):
		return f, s.fourth, s.fourth != nil
	case s.handle != 0:
		return f, nil, false
	case err != nil || f.IsResponse() || f.NetFn != ipmb.NetFnApp || f.Cmd != cmdActivate || s.v15.proven:
		return f, nil, false
	}
	k := failureKey{s.source, s.v15.name}
	if !t.guard.admit(k, from, s.tier(p.raw, now), now) {
		t.putOff(s, p.raw, now)
		return f, nil, false
	}
	if _, err := s.keys.open(p); err != nil || !s.login.genuine {
		t.guard.wrong(k, from, now)
		t.remove(s)
		return f, nil, false
	}
	t.guard.right(k, now)
	s.v15.proven, s.peer, s.third = true, from, bytes.Clone(p.raw)
	return f, nil, true
}

// activate15 makes a proven login a session.
func (t *Sessions) activate15(_ context.Context, req *ipmb.Request) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.all[req.Origin.Session]
	if req.Origin.Door != ipmb.DoorLAN || s == nil || s.v15 == nil || !s.v15.proven || s.handle != 0 {
		return nil, ErrBadTemporary
	}
	d, limit := req.Data, ipmb.Privilege(req.Data[1]&levelMask)
	text, outbound := d[2:][:code15Len], binary.LittleEndian.Uint32(d[2+code15Len:])
	switch {
	case d[0] != s.v15.auth || limit < ipmb.PrivilegeCallback || limit > ipmb.PrivilegeOEM:
		return nil, ipmb.ErrInvalidField
	case subtle.ConstantTimeCompare(text, s.v15.text[:]) != 1:
		return nil, ErrBadTemporary
	case outbound == 0:
		return nil, ErrBadSequence
	case limit > s.login.account.Limit || t.cfg.authEnabled(limit)&(1<<s.v15.auth) == 0:
		return nil, ErrActivateLimit
	case !t.activate(s, time.Now()):
		return nil, ErrNoSlot
	}
	s.user, s.last, s.out = s.login.account.ID, time.Now(), outbound // the answer's own number
	s.limit, s.privilege, s.stamp = limit, min(limit, ipmb.PrivilegeUser), s.login.account.Stamp
	if t.cfg.Store != nil {
		s.secret = bytes.Clone(s.login.account.Password)
	}
	clear(s.login.account.Password)
	s.login = nil
	inbound := firstInbound()
	s.in, s.base = startWindow(inbound), base15(inbound, outbound)
	out := append([]byte{s.v15.auth}, word(s.id)...)
	return append(append(out, word(inbound)...), byte(limit)), nil
}

// firstInbound draws the sequence number that a console begins with.
func firstInbound() (n uint32) {
	for n < 2 {
		var b [4]byte
		_, _ = rand.Read(b[:]) // does not fail
		n = binary.LittleEndian.Uint32(b[:])
	}
	return n
}

// answered15 wraps the answer to an Activate Session and keeps it for who asks
// again; in says that there is a session now. A login that did not become one is
// over.
func (t *Sessions) answered15(f ipmb.Frame, id uint32, r ipmb.Response) (b []byte, in bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.all[id]
	if s == nil || s.v15 == nil {
		return nil, false
	}
	message, err := f.Reply(r).AppendBinary(nil)
	switch {
	case err == nil && !t.silent(r):
	case s.handle == 0:
		s.v15.proven = false // it may be done again
		return nil, false
	default: // whoever leads now does not know of it
		t.remove(s)
		s.wipe()
		return nil, false
	}
	seq := uint32(0)
	if len(f.Data) == activateLen {
		seq = binary.LittleEndian.Uint32(f.Data[activateLen-4:])
	}
	b = s.sealAs(seq, message)
	if s.handle == 0 {
		t.remove(s)
		return b, false
	}
	s.fourth = b
	return b, true
}
