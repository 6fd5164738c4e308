package lanclient

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"github.com/midplane-project/midplane/ipmb"
)

// Credentials are who logs in, and how.
type Credentials struct {
	Suite     Suite // 17 if it is 0
	User      string
	Password  string
	Key       []byte         // K_G; nil: the password stands for it
	Privilege ipmb.Privilege // the most that the session may; an administrator's if it is 0
}

// Refused is the status with which a controller ended a login (IPMI 2.0 table 13-15).
type Refused byte

func (r Refused) Error() string {
	return fmt.Sprintf("lanclient: login refused with status %02xh", byte(r))
}

// Lengths and fields of a login's messages (IPMI 2.0 §13.17 to §13.23).
const (
	passwordLen = 20
	randomLen   = 16
	guidLen     = 16
	statusAt    = 1
	consoleAt   = 4
	bodyAt      = 8
	nameOnly    = 0x10
	openLen     = 36
)

// Login is one that is under way: each answer of the controller's leads to the
// next message, and the last to a session.
type Login struct {
	c        Credentials
	a        algorithm
	console  uint32 // our session id
	id       uint32 // the controller's
	random   [randomLen]byte
	theirs   [randomLen]byte
	expected byte // the kind of the answer
	sik      []byte
	guid     [guidLen]byte
}

// NewLogin prepares one. The controller will send to session id console, which
// is not 0.
func NewLogin(c Credentials, console uint32) (*Login, error) {
	if c.Suite == 0 {
		c.Suite = Suite17
	}
	if c.Privilege == ipmb.PrivilegeNone {
		c.Privilege = ipmb.PrivilegeAdmin
	}
	a, err := c.Suite.algorithm()
	if err != nil {
		return nil, err
	}
	l := &Login{c: c, a: a, console: console}
	_, _ = rand.Read(l.random[:]) // does not fail
	return l, nil
}

// First is the datagram that begins the login.
func (l *Login) First() []byte {
	l.expected = kindOpenResponse
	b := binary.LittleEndian.AppendUint32([]byte{0, 0, 0, 0}, l.console)
	for i, a := range []byte{l.a.auth, l.a.integrity, l.a.confidentiality} {
		b = append(b, byte(i), 0, 0, 8, a, 0, 0, 0)
	}
	return bare(kindOpenRequest, b)
}

// Next takes a datagram and gives the one that answers it, or the session.
// A datagram that is none of this login's gives neither.
func (l *Login) Next(b []byte) (next []byte, s *Session, err error) {
	p, err := parse(b)
	if err != nil || p.id != 0 || p.kind != l.expected || len(p.payload) < bodyAt {
		return nil, nil, nil
	}
	if binary.LittleEndian.Uint32(p.payload[consoleAt:]) != l.console {
		return nil, nil, nil
	}
	if r := Refused(p.payload[statusAt]); r != 0 {
		return nil, nil, r
	}
	switch p.kind {
	case kindOpenResponse:
		next, err = l.opened(p.payload)
	case kindRAKP2:
		next, err = l.proven(p.payload)
	case kindRAKP4:
		s, err = l.done(p.payload)
	}
	return next, s, err
}

// opened takes Open Session Response and gives RAKP Message 1.
func (l *Login) opened(b []byte) ([]byte, error) {
	if len(b) != openLen {
		return nil, errDatagram
	}
	l.id, l.expected = binary.LittleEndian.Uint32(b[bodyAt:]), kindRAKP2
	out := binary.LittleEndian.AppendUint32([]byte{0, 0, 0, 0}, l.id)
	out = append(append(out, l.random[:]...), l.role(), 0, 0, byte(len(l.c.User)))
	return bare(kindRAKP1, append(out, l.c.User...)), nil
}

func (l *Login) role() byte { return nameOnly | byte(l.c.Privilege) }

// identity is how the proofs name the user.
func (l *Login) identity() []byte { return append([]byte{l.role(), byte(len(l.c.User))}, l.c.User...) }

func (l *Login) password() []byte {
	var b [passwordLen]byte
	copy(b[:], l.c.Password)
	return b[:]
}

// proven takes RAKP Message 2, whose proof it checks, and gives RAKP Message 3.
func (l *Login) proven(b []byte) ([]byte, error) {
	if len(b) < bodyAt+randomLen+guidLen {
		return nil, errDatagram
	}
	proof := b[bodyAt+copy(l.theirs[:], b[bodyAt:])+copy(l.guid[:], b[bodyAt+randomLen:]):]
	us, them := word(l.console), word(l.id)
	if !hmac.Equal(proof, l.a.mac(l.password(), us, them, l.random[:], l.theirs[:], l.guid[:], l.identity())) {
		return nil, fmt.Errorf("%w: RAKP 2 proves another password", errDatagram)
	}
	kg := l.password()
	if l.c.Key != nil {
		kg = make([]byte, passwordLen)
		copy(kg, l.c.Key)
	}
	l.sik, l.expected = l.a.mac(kg, l.random[:], l.theirs[:], l.identity()), kindRAKP4
	out := binary.LittleEndian.AppendUint32([]byte{0, 0, 0, 0}, l.id)
	return bare(kindRAKP3, append(out, l.a.mac(l.password(), l.theirs[:], us, l.identity())...)), nil
}

// done takes RAKP Message 4 and gives the session.
func (l *Login) done(b []byte) (*Session, error) {
	want := l.a.mac(l.sik, l.random[:], word(l.id), l.guid[:])[:l.a.codeLen]
	if !bytes.Equal(b[bodyAt:], want) {
		return nil, fmt.Errorf("%w: RAKP 4 proves another key", errDatagram)
	}
	seal, err := newSealer(l.a, l.sik)
	if err != nil {
		return nil, err
	}
	return &Session{console: l.console, id: l.id, seal: seal}, nil
}

func word(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
