package rmcp

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// Auth types of IPMI 1.5 (IPMI 2.0 table 13-6). None, MD2 and OEM are not built.
const (
	authTypeMD5      = 0x02
	authTypePassword = 0x04

	header15AuthLen = 26  // with an auth code
	code15Len       = 16  // auth code, challenge and password
	max15           = 255 // bytes of a message: its length is one
)

// parse15Auth reads a packet of an IPMI 1.5 session:
//
//	auth type, seq 4, id 4, auth code 16, length | message
//
// Some clients pad by one byte.
func parse15Auth(b []byte) (packet, error) {
	n := int(b[header15AuthLen-1])
	if len(b) < header15AuthLen+n || len(b) > header15AuthLen+n+1 {
		return packet{}, errFrame
	}
	p := packet{
		auth: b[0], Type: PayloadIPMI, Authenticated: true,
		Seq: binary.LittleEndian.Uint32(b[1:]), ID: binary.LittleEndian.Uint32(b[5:]),
		code: b[9:][:code15Len], Payload: b[header15AuthLen:][:n], raw: b,
	}
	if p.ID == 0 {
		return packet{}, errFrame
	}
	return p, nil
}

// v15Keys are those of an IPMI 1.5 session: every message carries a proof of
// the password, of which the one of type password is the password itself.
type v15Keys struct {
	auth     byte
	password []byte // code15Len bytes
}

func (k *v15Keys) forget() { clear(k.password) }

// code is a message's auth code (IPMI 2.0 §22.17.1): for MD5 the hash of
// password, session id, message, sequence number and password.
func (k *v15Keys) code(id, seq uint32, message []byte) []byte {
	if k.auth == authTypePassword {
		return k.password
	}
	h := md5.New()
	h.Write(k.password)
	h.Write(word(id))
	h.Write(message)
	h.Write(word(seq))
	h.Write(k.password)
	return h.Sum(nil)
}

// open takes a packet with the session's own auth type and a right code.
func (k *v15Keys) open(p packet) ([]byte, error) {
	if p.plus || p.auth != k.auth || !hmac.Equal(p.code, k.code(p.ID, p.Seq, p.Payload)) {
		return nil, errFrame
	}
	return bytes.Clone(p.Payload), nil
}

func (k *v15Keys) appendSealed(b []byte, _ PayloadType, id, seq uint32, message []byte) []byte {
	if len(message) > max15 {
		message = tooLong(message)
	}
	b = append(appendRMCP(b, classIPMI), k.auth)
	b = binary.LittleEndian.AppendUint32(b, seq)
	b = binary.LittleEndian.AppendUint32(b, id)
	b = append(append(b, k.code(id, seq, message)...), byte(len(message)))
	return append(b, message...)
}

// tooLong says in the place of an answer that it does not fit.
func tooLong(message []byte) []byte {
	f, err := ipmb.ParseFrame(message)
	if err != nil {
		return nil
	}
	f.Data = []byte{byte(ipmb.ErrCannotReturn)}
	out, _ := f.AppendBinary(nil) // one byte of data is never too long
	return out
}

// v15Password gives the key of IPMI 1.5, which a password of 20 bytes is none of.
func v15Password(a mc.Account) ([]byte, bool) {
	if len(a.Password) != mc.PasswordLen {
		return make([]byte, code15Len), false
	}
	return bytes.Clone(a.Password), true
}
