package rmcp

import (
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
	ID        uint32 // the controller's
	Console   uint32
	Name      [nameLen]byte // names it once and for all
	Handle    uint8
	User      uint8
	Limit     ipmb.Privilege
	Privilege ipmb.Privilege
	Auth      uint8 // algorithms, as Open Session numbers them
	Integrity uint8
	Cipher    uint8
	Peer      netip.AddrPort
	In        uint32 // the highest sequence number that is known to have come
	Payload   uint8  // the instance of serial over LAN that it has; 0: none
	Secret    []byte // the session integrity key, then for suite 12 the password
	Third     []byte // RAKP Message 3
	Fourth    []byte // RAKP Message 4, its answer
}

// A kept session's record, little-endian: version, ID, console, name, handle,
// user, limit, privilege, three algorithms, address 16, port, sequence number;
// then each of the variable ones after its length. The second version has the
// payload at the end; the first one is of a session without.
const (
	keptVersion = 1
	keptPayload = 2
	nameLen     = 16
	keptHead    = 1 + 4 + 4 + nameLen + 4 + 3 + 16 + 2 + 4
)

// AppendBinary appends the record.
func (k Kept) AppendBinary(b []byte) ([]byte, error) {
	version := byte(keptVersion)
	if k.Payload != 0 {
		version = keptPayload
	}
	b = binary.LittleEndian.AppendUint32(append(b, version), k.ID)
	b = append(binary.LittleEndian.AppendUint32(b, k.Console), k.Name[:]...)
	b = append(b, k.Handle, k.User, byte(k.Limit), byte(k.Privilege), k.Auth, k.Integrity, k.Cipher)
	addr := k.Peer.Addr().As16()
	b = binary.LittleEndian.AppendUint16(append(b, addr[:]...), k.Peer.Port())
	b = binary.LittleEndian.AppendUint32(b, k.In)
	for _, v := range [][]byte{k.Secret, k.Third, k.Fourth} {
		if len(v) > 0xFF {
			return nil, errFrame
		}
		b = append(append(b, byte(len(v))), v...)
	}
	if k.Payload != 0 {
		b = append(b, k.Payload)
	}
	return b, nil
}

// ParseKept reads a record.
func ParseKept(b []byte) (Kept, error) {
	if len(b) < keptHead || b[0] != keptVersion && b[0] != keptPayload {
		return Kept{}, errFrame
	}
	k := Kept{
		ID: binary.LittleEndian.Uint32(b[1:]), Console: binary.LittleEndian.Uint32(b[5:]), Name: [nameLen]byte(b[9:]),
		Handle: b[25], User: b[26], Limit: ipmb.Privilege(b[27]), Privilege: ipmb.Privilege(b[28]),
		Auth: b[29], Integrity: b[30], Cipher: b[31],
		Peer: netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[32:])).Unmap(), binary.LittleEndian.Uint16(b[48:])),
		In:   binary.LittleEndian.Uint32(b[50:]),
	}
	rest := b[keptHead:]
	for _, to := range []*[]byte{&k.Secret, &k.Third, &k.Fourth} {
		if len(rest) < 1 || len(rest) < 1+int(rest[0]) {
			return Kept{}, errFrame
		}
		n := 1 + int(rest[0])
		*to, rest = append([]byte(nil), rest[1:n]...), rest[n:]
	}
	if b[0] == keptPayload && len(rest) == 1 && rest[0] != 0 {
		k.Payload, rest = rest[0], nil
	} else if b[0] == keptPayload {
		return Kept{}, errFrame
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
	return Kept{
		ID: s.id, Console: s.console, Name: s.name, Handle: s.handle, User: s.user, Limit: s.limit, Privilege: s.privilege,
		Auth: s.login.open.Auth, Integrity: s.login.open.Integrity, Cipher: s.login.open.Confidentiality,
		Peer: s.peer, In: s.in.highest, Secret: s.secret, Third: s.third, Fourth: s.fourth,
		Payload: s.payload,
	}
}

// Restore takes up sessions that another process had. They have said something
// just now, for nobody knows when they did. Those that cannot be are forgotten.
func (t *Sessions) Restore(list []Kept, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range list {
		suite, a, ok := t.suite(openRequest{Auth: k.Auth, Integrity: k.Integrity, Confidentiality: k.Cipher})
		h := int(k.Handle)
		if !ok || len(k.Secret) < a.keyLen() || h == 0 || h > MaxSessions || t.handles[h] != nil || k.ID == 0 || t.all[k.ID] != nil {
			t.gone = append(t.gone, k.ID)
			continue
		}
		sik, password := k.Secret[:a.keyLen()], k.Secret[a.keyLen():]
		s := &session{
			id: k.ID, handle: k.Handle, source: k.Peer.Addr(), begun: now, last: now, console: k.Console, user: k.User,
			limit: k.Limit, privilege: k.Privilege, peer: k.Peer, keys: newCodec(suite, a, sik, password), third: k.Third, fourth: k.Fourth,
			name: k.Name, secret: k.Secret, state: stateKept, in: resumed(k.In), payload: k.Payload,
		}
		s.login.open = openRequest{Console: k.Console, Auth: k.Auth, Integrity: k.Integrity, Confidentiality: k.Cipher}
		t.all[s.id], t.handles[h] = s, s
	}
}

// keep stores the session whose login RAKP Message 3 completed. It reports
// whether Message 4 may be sent: not while it is on its way already, nor where
// it cannot be stored, for then nobody else could go on with it.
func (t *Sessions) keep(ctx context.Context, id uint32) bool {
	t.mu.Lock()
	s := t.find(id)
	if s == nil || s.state != stateLocal {
		defer t.mu.Unlock()
		return s != nil && s.state == stateKept
	}
	s.state = stateKeeping
	_, _ = rand.Read(s.name[:]) // does not fail
	k := s.kept()
	t.mu.Unlock()

	err := t.cfg.Store.Save(ctx, Change{Put: []Kept{k}})

	t.mu.Lock()
	defer t.mu.Unlock()
	s.state = stateKept // perhaps even then: it is unknown
	if err != nil {
		t.remove(s)
		s.wipe()
	}
	return err == nil && t.find(s.id) == s
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
	d.group.Go(func() {
		if d.Sessions.keep(ctx, id) {
			d.send(answer, from)
		}
	})
	return true
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
	t.storeTurn.Lock()
	defer t.storeTurn.Unlock()
	t.mu.Lock()
	t.expire(now)
	gone := t.gone
	t.gone = nil
	t.mu.Unlock()
	if len(gone) == 0 {
		return nil
	}
	err := t.cfg.Store.Save(ctx, Change{Gone: gone})
	if err != nil {
		t.forgetLater(gone)
	}
	return err
}
