package rmcp

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// Kept is a session as a [Store] has it. It has the session's key: whoever
// stores it seals it.
type Kept struct {
	V15       bool   // a session of IPMI 1.5, else of RMCP+
	ID        uint32 // the controller's
	Console   uint32
	Name      [nameLen]byte // names it once and for all
	Handle    uint8
	User      uint8
	Limit     ipmb.Privilege
	Privilege ipmb.Privilege
	Auth      uint8 // algorithms, as Open Session numbers them; of IPMI 1.5 the auth type
	Integrity uint8
	Cipher    uint8
	Peer      netip.AddrPort
	In        uint32 // the highest sequence number that is known to have come
	Base      uint32 // the numbers of answers follow from it and those of requests
	Stamp     uint64 // of how its user logged in
	Payload   uint8  // the instance of serial over LAN that it has; 0: none
	Secret    []byte // the session integrity key, then for suite 12 the password; of IPMI 1.5 the password
	Third     []byte // RAKP Message 3; of IPMI 1.5 the packet of Activate Session
	Fourth    []byte // RAKP Message 4, its answer; of IPMI 1.5 the packet of that
}

// A kept session's record, little-endian: version, ID, console, name, handle,
// user, limit, privilege, three algorithms, address 16, port, sequence number, kind,
// base, stamp, payload; then each of the variable ones after its length.
const (
	keptVersion = 2
	nameLen     = 16
	keptHead    = 1 + 4 + 4 + nameLen + 4 + 3 + 16 + 2 + 4 + 1 + 4 + 8 + 1

	kindPlus = 0
	kind15   = 1
)

// AppendBinary appends the record.
func (k Kept) AppendBinary(b []byte) ([]byte, error) {
	kind := byte(kindPlus)
	if k.V15 {
		kind = kind15
	}
	b = binary.LittleEndian.AppendUint32(append(b, keptVersion), k.ID)
	b = append(binary.LittleEndian.AppendUint32(b, k.Console), k.Name[:]...)
	b = append(b, k.Handle, k.User, byte(k.Limit), byte(k.Privilege), k.Auth, k.Integrity, k.Cipher)
	addr := k.Peer.Addr().As16()
	b = binary.LittleEndian.AppendUint16(append(b, addr[:]...), k.Peer.Port())
	b = append(binary.LittleEndian.AppendUint32(b, k.In), kind)
	b = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(b, k.Base), k.Stamp)
	b = append(b, k.Payload)
	for _, v := range [][]byte{k.Secret, k.Third, k.Fourth} {
		if len(v) > 0xFF {
			return nil, errFrame
		}
		b = append(append(b, byte(len(v))), v...)
	}
	return b, nil
}

// ParseKept reads a record.
func ParseKept(b []byte) (Kept, error) {
	if len(b) < keptHead || b[0] != keptVersion || b[54] > kind15 {
		return Kept{}, errFrame
	}
	k := Kept{
		ID: binary.LittleEndian.Uint32(b[1:]), Console: binary.LittleEndian.Uint32(b[5:]), Name: [nameLen]byte(b[9:]),
		Handle: b[25], User: b[26], Limit: ipmb.Privilege(b[27]), Privilege: ipmb.Privilege(b[28]),
		Auth: b[29], Integrity: b[30], Cipher: b[31],
		Peer: netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[32:])).Unmap(), binary.LittleEndian.Uint16(b[48:])),
		In:   binary.LittleEndian.Uint32(b[50:]), V15: b[54] == kind15,
		Base: binary.LittleEndian.Uint32(b[55:]), Stamp: binary.LittleEndian.Uint64(b[59:]), Payload: b[67],
	}
	rest := b[keptHead:]
	for _, to := range []*[]byte{&k.Secret, &k.Third, &k.Fourth} {
		if len(rest) < 1 || len(rest) < 1+int(rest[0]) {
			return Kept{}, errFrame
		}
		n := 1 + int(rest[0])
		*to, rest = append([]byte(nil), rest[1:n]...), rest[n:]
	}
	if len(rest) > 0 {
		return Kept{}, errFrame
	}
	return k, nil
}

// keepState is how far a session has got into the store.
type keepState uint8

const (
	stateLocal   keepState = iota // this process alone has it
	stateKeeping                  // it is on its way
	stateKept
)

// kept describes a session for the store. The caller has the table's lock.
func (s *session) kept() Kept {
	k := Kept{
		ID: s.id, Console: s.console, Name: s.name, Handle: s.handle, User: s.user, Limit: s.limit, Privilege: s.privilege,
		Auth: s.open.Auth, Integrity: s.open.Integrity, Cipher: s.open.Confidentiality,
		Peer: s.peer, In: s.in.highest, Base: s.base, Stamp: s.stamp, Payload: s.payload, Secret: s.secret, Third: s.third, Fourth: s.fourth,
	}
	if s.v15 != nil {
		k.V15, k.Auth = true, s.v15.auth
	}
	return k
}

// Restore takes up sessions that another process had. They have said something
// just now, for nobody knows when they did. Those that cannot be are forgotten,
// and those whose user was changed when the store did not follow any more.
func (t *Sessions) Restore(list []Kept, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range list {
		h := int(k.Handle)
		user, may := t.cfg.standing(k.User)
		s := &session{
			id: k.ID, handle: k.Handle, source: k.Peer.Addr(), last: now, console: k.Console, user: k.User,
			limit: min(k.Limit, user.Limit), privilege: min(k.Privilege, user.Limit), stamp: user.Stamp, peer: k.Peer, third: k.Third, fourth: k.Fourth,
			name: k.Name, secret: k.Secret, base: k.Base, payload: k.Payload, state: stateKept, told: true, in: resumed(k.In),
		}
		if !may || user.Stamp != k.Stamp || h == 0 || h > MaxSessions || t.handles[h] != nil || k.ID == 0 || t.all[k.ID] != nil || !t.rekey(s, k) {
			t.gone = append(t.gone, k.ID)
			continue
		}
		t.all[s.id], t.handles[h] = s, s
	}
}

// rekey gives a session that is taken up its keys. It may not have them where its
// way of logging in is no longer offered.
func (t *Sessions) rekey(s *session, k Kept) bool {
	if k.V15 {
		if len(k.Secret) != code15Len || k.Auth > authTypePassword || t.cfg.AuthTypes&(1<<k.Auth) == 0 {
			return false
		}
		s.v15 = &challenge{auth: k.Auth, proven: true}
		s.keys, s.in.narrow = &v15Keys{auth: k.Auth, password: bytes.Clone(k.Secret)}, true
		return true
	}
	s.open = openRequest{Console: k.Console, Auth: k.Auth, Integrity: k.Integrity, Confidentiality: k.Cipher}
	suite, a, ok := t.suite(s.open)
	if !ok || len(k.Secret) < a.keyLen() {
		return false
	}
	s.keys = newCodec(suite, a, k.Secret[:a.keyLen()], k.Secret[a.keyLen():])
	return true
}

// keep stores the session whose login RAKP Message 3 or Activate Session completed.
// It reports whether the answer may be sent: not while it is on its way already, nor where
// it cannot be stored, for then nobody else could go on with it. Those that ended leave the store with the same change:
// one of them may have had its handle.
func (t *Sessions) keep(ctx context.Context, id uint32) bool {
	t.mu.Lock()
	s := t.find(id)
	if s == nil || s.state != stateLocal {
		defer t.mu.Unlock()
		return s != nil && s.state == stateKept
	}
	s.state = stateKeeping
	_, _ = rand.Read(s.name[:]) // does not fail
	c := Change{Put: []Kept{s.kept()}, Gone: t.gone}
	t.gone = nil
	if s.v15 != nil && t.cfg.SharedKey != nil {
		c.By = &ipmb.Request{Origin: s.v15.use()} // nobody takes up the login once more
	}
	t.mu.Unlock()

	err := t.cfg.Store.Save(ctx, c)

	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.gone = append(t.gone, c.Gone...)
	}
	s.state = stateKept // perhaps even then: it is unknown
	switch {
	case t.find(s.id) != s: // it ended meanwhile, and the store may have had it later than that
		t.gone = append(t.gone, s.id)
		return false
	case err != nil:
		t.remove(s)
		s.wipe()
	}
	return err == nil
}

// stored deals with a step of a login where there is a store, and reports
// whether there is nothing more to do: a login of a process that is gone is not
// refused, so that the client begins anew, and a session is stored before its
// client hears of it.
func (d *Door) stored(ctx context.Context, p packet, r reply, answer []byte, from netip.AddrPort) bool {
	if r.kind == PayloadOpenResponse {
		return false
	}
	status := Status(r.body[1])
	if r.kind != PayloadRAKP4 || status != StatusOK {
		return status == StatusBadSession
	}
	id := binary.LittleEndian.Uint32(p.Payload[4:])
	if !r.login {
		return !d.Sessions.isTold(id)
	}
	d.group.Go(func() {
		for say := d.Sessions.keep(ctx, id); say && d.Sessions.retag(id, answer); {
			d.sendStep(answer, r.state, from)
		}
	})
	return true
}

// retag gives an answer to RAKP Message 3 the tag of the newest one: its client may
// have sent it again while it was stored, and takes the answer to that only. It is
// false when that was answered: from then on each is at once. So none overtakes
// another, for FreeIPMI fails when one comes once it is in the session.
func (t *Sessions) retag(id uint32, answer []byte) bool {
	const at = rmcpLen + header20Len
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.find(id)
	if s == nil || s.toldTag == int(s.third[0]) || t.movedOn(s) {
		if s != nil {
			s.told = true
		}
		return false
	}
	answer[at], s.toldTag = s.third[0], int(s.third[0])
	return true
}

// movedOn reports whether the client of a login that took long to store began another
// one by the same socket. It would take the answer for that one's, and fail: ipmitool
// does. Should it send its message again, it is answered. The caller has mu.
func (t *Sessions) movedOn(s *session) bool {
	for _, other := range t.handles {
		if other != nil && other.peer == s.peer && !other.told && other.last.After(s.last) {
			return true
		}
	}
	own := t.halfOpen.sources[s.source]
	if own == nil {
		return false
	}
	for e := own.Front(); e != nil; e = e.Next() {
		if other := e.Value.(*session); other.peer == s.peer && other.login.begun.After(s.last) {
			return true
		}
	}
	return false
}

// isTold reports whether the client of a session has its answer to RAKP Message 3.
func (t *Sessions) isTold(id uint32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.find(id)
	return s != nil && s.told
}

// storing lets the store follow what a request does to sessions. A request that
// the store did not take gets no answer, and may be done again.
func (t *Sessions) storing(rows []ipmb.Command) []ipmb.Command {
	for i := range rows {
		do := rows[i].Do
		if t.cfg.Store == nil || !rows[i].Effect {
			continue
		}
		rows[i].Do = func(ctx context.Context, req *ipmb.Request) ([]byte, error) {
			t.storeTurn.Lock() // the store sees changes in their order
			defer t.storeTurn.Unlock()
			out, err := do(ctx, req)
			if err != nil {
				return nil, err
			}
			return out, t.store(ctx, req, out)
		}
	}
	return rows
}

func (t *Sessions) store(ctx context.Context, req *ipmb.Request, answer []byte) error {
	t.mu.Lock()
	c := Change{Gone: t.gone, By: req, Answer: answer}
	if s := t.own(req); s != nil {
		c.Put = []Kept{s.kept()}
	}
	t.gone = nil
	t.mu.Unlock()
	if err := t.cfg.Store.Save(ctx, c); err != nil {
		t.forgetLater(c.Gone)
		return ipmb.ErrNoResponse
	}
	return nil
}

func (t *Sessions) forgetLater(gone []uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone = append(t.gone, gone...)
}

// Sweep ends the sessions that say nothing, and takes those that have ended out
// of the store.
func (t *Sessions) Sweep(ctx context.Context, now time.Time) error {
	t.mu.Lock()
	t.expire(now)
	t.mu.Unlock()
	return t.settle(ctx, nil)
}

// settle has the store follow what became of sessions: those that ended, and
// those that changed.
func (t *Sessions) settle(ctx context.Context, changed []*session) error {
	t.storeTurn.Lock()
	defer t.storeTurn.Unlock()
	t.mu.Lock()
	c := Change{Gone: t.gone}
	for _, s := range changed {
		if t.find(s.id) == s && s.state == stateKept {
			c.Put = append(c.Put, s.kept())
		}
	}
	t.gone = nil
	t.mu.Unlock()
	if len(c.Gone) == 0 && len(c.Put) == 0 {
		return nil
	}
	err := t.cfg.Store.Save(ctx, c)
	if err != nil {
		t.forgetLater(c.Gone)
	}
	return err
}
