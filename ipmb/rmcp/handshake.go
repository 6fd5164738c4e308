package rmcp

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// reply is what a step of a login says, and when.
type reply struct {
	kind  PayloadType
	body  []byte
	after time.Duration
	login bool   // it completes one, and is not said again
	state []byte // goes with it; see [Sessions.handOver]
}

// step takes a message of a login, of which another process said so much before it,
// nil for nothing. No reply is for what is not answered.
func (t *Sessions) step(kind PayloadType, b, before []byte, from netip.AddrPort, now time.Time) (reply, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if before != nil {
		t.takeUp(before, from, now)
	}
	r, ok := t.answer(kind, b, from, now)
	if ok {
		r.state = t.handOver(r, b, from)
	}
	return r, ok
}

func (t *Sessions) answer(kind PayloadType, b []byte, from netip.AddrPort, now time.Time) (reply, bool) {
	switch kind {
	case PayloadOpenRequest:
		if r, err := parseOpen(b); err == nil {
			body := t.open(r, from, now)
			return reply{kind: PayloadOpenResponse, body: body}, body != nil
		}
	case PayloadRAKP1:
		if r, status, err := parseRAKP1(b); err == nil {
			return reply{kind: PayloadRAKP2, body: t.rakp1(r, status, b)}, true
		}
	case PayloadRAKP3:
		if r, err := parseRAKP3(b); err == nil {
			again := t.find(r.ID) != nil
			body, after := t.rakp3(r, b, from, now)
			return reply{kind: PayloadRAKP4, body: body, after: after, login: !again && t.find(r.ID) != nil}, body != nil
		}
	}
	return reply{}, false
}

// open begins a login (IPMI 2.0 §13.17). No answer is for one that there is no room for now.
func (t *Sessions) open(r openRequest, from netip.AddrPort, now time.Time) []byte {
	l, status := t.begin(r, now)
	if status != StatusOK {
		return r.appendOpen(nil, status, 0, 0)
	}
	_, _ = rand.Read(l.random[:]) // does not fail
	s := &session{source: from.Addr(), open: r, login: l}
	if !t.add(s, from) {
		return nil
	}
	return r.appendOpen(nil, StatusOK, l.granted, s.id)
}

// begin is how far a login is after its Open Session Request.
func (t *Sessions) begin(r openRequest, now time.Time) (*login, Status) {
	setting, ok := t.cfg.Active(t.cfg.Channel)
	suite, a, known := t.suite(r)
	switch {
	case !ok || setting.Mode() == mc.AccessDisabled:
		return nil, StatusNoResources
	case !known:
		return nil, StatusNoCipherMatch
	case r.Privilege > ipmb.PrivilegeOEM:
		return nil, StatusInvalidRole
	case r.Console == 0:
		return nil, StatusIllegal
	}
	granted := min(setting.Limit, t.cfg.suiteLimit(suite.ID))
	if r.Privilege != 0 {
		granted = min(granted, r.Privilege)
	}
	return &login{begun: now, alive: now, suite: suite, algorithm: a, granted: granted}, StatusOK
}

// suite finds the suite that a login asks for. One that nobody may use is as
// good as none.
func (t *Sessions) suite(r openRequest) (mc.CipherSuite, algorithm, bool) {
	for _, s := range t.cfg.Suites {
		if s.Auth == r.Auth && s.Integrity == r.Integrity && s.Confidentiality == r.Confidentiality {
			a, ok := algorithmOf(s)
			return s, a, ok && t.cfg.suiteLimit(s.ID) != ipmb.PrivilegeNone
		}
	}
	return mc.CipherSuite{}, algorithm{}, false
}

// rakp1 answers with RAKP Message 2 (IPMI 2.0 §13.21). A user that is not there
// gets one as well, of a password that nobody has; that he lacks the privilege
// he is told only after his proof. So the answer says nothing of who is there.
func (t *Sessions) rakp1(r rakp1, status Status, raw []byte) []byte {
	s := t.all[r.ID]
	if s == nil || s.handle != 0 || s.v15 != nil {
		return appendRAKP(nil, r.Tag, StatusBadSession, 0)
	}
	return t.rakp2(s, r, status, raw)
}

// rakp2 is rakp1 for a login that there is.
func (t *Sessions) rakp2(s *session, r rakp1, status Status, raw []byte) []byte {
	l := s.login
	switch {
	case sameButTag(l.first, raw):
		return retagged(l.answer, r.Tag)
	case l.first != nil || l.failed:
		return appendRAKP(nil, r.Tag, StatusBadSession, s.open.Console)
	case status != StatusOK:
		return appendRAKP(nil, r.Tag, status, s.open.Console)
	case r.privilege() == ipmb.PrivilegeNone || r.privilege() > ipmb.PrivilegeOEM:
		return appendRAKP(nil, r.Tag, StatusInvalidRole, s.open.Console)
	}
	l.request, l.first = r, bytes.Clone(raw)
	atLeast := r.privilege()
	if r.nameOnly() {
		atLeast = ipmb.PrivilegeNone
	}
	l.account, l.genuine = t.account(r.Name, atLeast)
	b := appendRAKP(nil, r.Tag, StatusOK, s.open.Console)
	guid := t.cfg.GUID.Wire()
	b = append(append(b, l.random[:]...), guid...)
	l.answer = append(b, l.algorithm.mac(l.account.Password,
		word(s.open.Console), word(s.id), r.Random[:], l.random[:], guid, r.identity())...)
	t.prepare(s)
	return l.answer
}

// prepare works out all that the rest of a login takes of the password, and
// forgets it: many a login goes no further than RAKP Message 2. Only messages
// that are signed with the password itself need it later.
func (t *Sessions) prepare(s *session) {
	l := s.login
	l.proof = l.algorithm.mac(l.account.Password, l.random[:], word(s.open.Console), l.request.identity())
	l.sik, l.noKey = t.integrityKey(l)
	if l.suite.Integrity != integrityFlatMD5 {
		clear(l.account.Password)
	}
}

// sameButTag reports whether a step of a login came before: FreeIPMI repeats
// one with another message tag.
func sameButTag(before, now []byte) bool {
	return len(before) > 0 && len(before) == len(now) && bytes.Equal(before[1:], now[1:])
}

// retagged is an answer with the tag of what it answers now.
func retagged(answer []byte, tag byte) []byte {
	if len(answer) == 0 {
		return nil
	}
	return append([]byte{tag}, answer[1:]...)
}

// account finds the user of a login, one whose limit reaches atLeast before
// others. Without one it is somebody whose password is made of his name, so that
// he answers alike each time. Either is the same work.
func (t *Sessions) account(name string, atLeast ipmb.Privilege) (mc.Account, bool) {
	password := sum(t.nobodyKey(), []byte(name))[:mc.LongPasswordLen]
	a, err := t.cfg.Account(t.cfg.Channel, name, ipmb.PrivilegeNone)
	if atLeast != ipmb.PrivilegeNone {
		if b, missing := t.cfg.Account(t.cfg.Channel, name, atLeast); missing == nil {
			clear(a.Password)
			a = b
		}
	}
	if err != nil || name == "" {
		return mc.Account{Name: name, Password: password}, false
	}
	return a, true
}

// rakp3 checks the proof and answers with RAKP Message 4 (IPMI 2.0 §13.23).
func (t *Sessions) rakp3(r rakp3, raw []byte, from netip.AddrPort, now time.Time) ([]byte, time.Duration) {
	s := t.all[r.ID]
	if s == nil || s.v15 != nil {
		return appendRAKP(nil, r.Tag, StatusBadSession, 0), 0
	}
	l := s.login
	refuse := func(status Status) []byte { return appendRAKP(nil, r.Tag, status, s.open.Console) }
	switch {
	case s.handle != 0 && sameButTag(s.third, raw):
		if from == s.peer {
			s.third = bytes.Clone(raw)
		}
		return retagged(s.fourth, r.Tag), 0
	case s.handle == 0 && l.failed && sameButTag(s.third, raw): // its answer is under way
		return nil, 0
	case s.handle != 0 || l.first == nil || l.failed:
		return refuse(StatusBadSession), 0
	case r.Status != StatusOK: // the console gives up
		t.remove(s)
		return nil, 0
	}
	k := failureKey{s.source, l.request.Name}
	if !t.guard.admit(k, from, s.tier(r.Code, now), now) {
		t.putOff(s, r.Code, now)
		return nil, 0
	}
	if right := hmac.Equal(l.proof, r.Code); !right || !l.genuine {
		l.failed, s.third = true, bytes.Clone(raw)
		t.halfOpen.failed(s)
		clear(l.account.Password)
		return refuse(StatusIntegrity), t.guard.wrong(k, from, now)
	}
	t.guard.right(k, now)
	return t.enter(s, r.Tag, raw, from, now), 0
}

// enter makes a proven login a session.
func (t *Sessions) enter(s *session, tag byte, raw []byte, from netip.AddrPort, now time.Time) []byte {
	l := s.login
	refuse := func(status Status) []byte {
		t.remove(s)
		return appendRAKP(nil, tag, status, s.open.Console)
	}
	if role := l.request.privilege(); role > l.account.Limit || role > l.granted {
		return refuse(StatusUnauthorized)
	}
	sik := l.sik
	if l.noKey != nil || !t.activate(s, now) {
		return refuse(StatusNoResources)
	}
	k := newCodec(l.suite, l.algorithm, sik, l.account.Password)
	code := l.algorithm.mac(sik, l.request.Random[:], word(s.id), t.cfg.GUID.Wire())[:l.algorithm.codeLen]
	s.console, s.user, s.peer, s.last, s.keys = s.open.Console, l.account.ID, from, now, k
	s.limit, s.stamp = l.request.privilege(), l.account.Stamp
	if t.cfg.Store != nil {
		s.base, s.secret = plusBase, bytes.Clone(sik)
		if l.suite.Integrity == integrityFlatMD5 {
			s.secret = append(s.secret, l.account.Password...)
		}
	}
	s.privilege = min(s.limit, ipmb.PrivilegeUser) // IPMI 2.0 §6.12.1: each begins as a user
	s.toldTag = -1
	s.third, s.fourth = bytes.Clone(raw), append(appendRAKP(nil, tag, StatusOK, s.console), code...)
	clear(l.account.Password)
	s.login = nil
	return s.fourth
}

// integrityKey is the SIK: of K_G, or where nobody set one of the password
// (IPMI 2.0 §13.31).
func (t *Sessions) integrityKey(l *login) ([]byte, error) {
	key, err := t.cfg.Key(t.cfg.Channel, mc.KeyG)
	if err != nil {
		return nil, err
	}
	if len(bytes.Trim(key, "\x00")) == 0 {
		key = l.account.Password
	}
	return l.algorithm.mac(key, l.request.Random[:], l.random[:], l.request.identity()), nil
}

func word(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
