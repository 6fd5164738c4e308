package rmcp

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// Steps is a socket that outlives the process, and gives the next one what this one
// said of a login under way.
type Steps interface {
	net.PacketConn
	// ReadStep is ReadFrom. login is what another process said of the login at that
	// console, nil for nothing. No console has a say in it.
	ReadStep(b []byte) (n int, login []byte, from net.Addr, err error)
	// WriteStep is WriteTo for an answer to a step of a login; login is empty when
	// that does not go on.
	WriteStep(b, login []byte, to net.Addr) (int, error)
}

// A client does not always begin a login of RMCP+ anew: FreeIPMI repeats its message
// and gives up. A message says nothing of the ones before it; so where another
// process may go on, how far a login is goes with each answer, little-endian:
//
//	version 1 | maker 2 | id 4 | time 8, seconds | source 16, port 2 | privilege 1, console 4, three algorithms |
//	random number 16 | length 1, code of RAKP Message 2 | RAKP Message 1 | HMAC-SHA-256 of all this 32
//
// The code has no bytes, and RAKP Message 1 neither, where that did not come yet.
// Clients' messages show all of it but for the HMAC, whose key the processes share.
// Who goes on checks it as the messages were checked, and what he answers himself
// must be what was answered.
const (
	handoverVersion = 1
	handoverLabel   = "midplane: login of RMCP+"
	handoverHead    = 1 + makerLen + 4 + 8 + 16 + 2 + 1 + 4 + 3 + randomLen + 1
	rakp2Head       = 8 + randomLen + 16 // of RAKP Message 2: its code comes after
)

// handover is a login that another process goes on with.
type handover struct {
	maker  [makerLen]byte
	id     uint32
	made   int64
	from   netip.AddrPort
	open   openRequest
	random [randomLen]byte
	code   []byte
	first  []byte
}

func (h handover) append(b, key []byte) []byte {
	b = append(append(b, handoverVersion), h.maker[:]...)
	b = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(b, h.id), uint64(h.made))
	addr := h.from.Addr().As16()
	b = binary.LittleEndian.AppendUint16(append(b, addr[:]...), h.from.Port())
	b = binary.LittleEndian.AppendUint32(append(b, byte(h.open.Privilege)), h.open.Console)
	b = append(b, h.open.Auth, h.open.Integrity, h.open.Confidentiality)
	b = append(append(b, h.random[:]...), byte(len(h.code)))
	b = append(append(b, h.code...), h.first...)
	return append(b, sum(key, b)...)
}

// parseHandover reads what was made with the key. It aliases b.
func parseHandover(b, key []byte) (handover, error) {
	end := len(b) - sha256.Size
	if end < handoverHead || !hmac.Equal(b[end:], sum(key, b[:end])) || b[0] != handoverVersion {
		return handover{}, errFrame
	}
	code := handoverHead + int(b[handoverHead-1])
	if code > end {
		return handover{}, errFrame
	}
	return handover{
		maker: [makerLen]byte(b[1:]), id: binary.LittleEndian.Uint32(b[3:]), made: int64(binary.LittleEndian.Uint64(b[7:])),
		from: netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[15:])).Unmap(), binary.LittleEndian.Uint16(b[31:])),
		open: openRequest{
			Privilege: ipmb.Privilege(b[33]), Console: binary.LittleEndian.Uint32(b[34:]),
			Auth: b[38], Integrity: b[39], Confidentiality: b[40],
		},
		random: [randomLen]byte(b[41:]), code: b[handoverHead:code], first: b[code:end],
	}, nil
}

// handOver is what goes with an answer to a message of a login; nil where there is
// nobody else to go on. The caller has mu.
func (t *Sessions) handOver(r reply, message []byte, from netip.AddrPort) []byte {
	key, err := t.shared(handoverLabel)
	if key == nil || err != nil {
		return nil
	}
	var s *session
	switch {
	case Status(r.body[1]) != StatusOK:
	case r.kind == PayloadOpenResponse:
		s = t.all[binary.LittleEndian.Uint32(r.body[8:])]
	case r.kind == PayloadRAKP2:
		s = t.all[binary.LittleEndian.Uint32(message[4:])]
	}
	if s == nil {
		return []byte{}
	}
	l := s.login
	h := handover{maker: t.maker(), id: s.id, made: l.begun.Unix(), from: from, open: s.open, random: l.random, first: l.first}
	if h.first != nil {
		h.code = l.answer[rakp2Head:]
	}
	return h.append(nil, key)
}

// takeUp goes on with a login at a console that another process had, if it can. The
// caller has mu.
func (t *Sessions) takeUp(b []byte, from netip.AddrPort, now time.Time) {
	key, err := t.shared(handoverLabel)
	if key == nil || err != nil {
		return
	}
	h, err := parseHandover(b, key)
	if err != nil || h.from != from || h.maker == t.maker() || now.Sub(time.Unix(h.made, 0)).Abs() > loginTime ||
		h.id == 0 || t.all[h.id] != nil || slices.Contains(t.gone, h.id) {
		return
	}
	l, status := t.begin(h.open, now)
	if status != StatusOK {
		return
	}
	l.random = h.random
	s := &session{id: h.id, source: from.Addr(), open: h.open, login: l}
	if !t.sameAnswer(s, h) || !t.once(s.id, now) || !t.add(s, from) {
		clear(l.account.Password)
		return
	}
	l.begun = time.Unix(h.made, 0)
}

// sameAnswer reports whether a login's RAKP Message 1 has the answer here that it
// had, if it came. So it has not where its user was changed meanwhile.
func (t *Sessions) sameAnswer(s *session, h handover) bool {
	if len(h.first) == 0 {
		return true
	}
	r, status, err := parseRAKP1(h.first)
	if err != nil || r.ID != s.id {
		return false
	}
	answer := t.rakp2(s, r, status, h.first)
	return Status(answer[1]) == StatusOK && bytes.Equal(answer[rakp2Head:], h.code)
}

// once reports whether a login that another process began may be taken up: nobody
// takes up one twice. The caller has mu.
func (t *Sessions) once(id uint32, now time.Time) bool {
	maps.DeleteFunc(t.adopted, func(_ uint32, at time.Time) bool { return now.Sub(at) > 2*loginTime }) // of clocks that differ, too
	if _, again := t.adopted[id]; again || len(t.adopted) >= maxHalfOpen {
		return false
	}
	t.adopted[id] = now
	return true
}
