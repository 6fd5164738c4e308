package rmcp

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"

	"github.com/midplane-project/midplane/ipmb/mc"
)

// codec reads and writes the packets of a session.
type codec interface {
	// open gives what a packet carries, if the session's console has sent it. The
	// bytes are the caller's: the packet's are read into again while they wait.
	open(p packet) ([]byte, error)
	// appendSealed appends a packet, RMCP header included.
	appendSealed(b []byte, t PayloadType, id, seq uint32, payload []byte) []byte
	// forget wipes the keys.
	forget()
}

func (k *keys) forget() { clear(k.k1) }

// newCodec gives that of a login by a cipher suite.
func newCodec(s mc.CipherSuite, a algorithm, sik, password []byte) codec {
	if safe(s) && s.Integrity != integrityFlatMD5 {
		k := newKeys(a, sik)
		return &k
	}
	w := &weakKeys{}
	if s.Integrity != 0 || s.Confidentiality != 0 {
		k := newKeys(a, sik)
		w.codeLen, w.sign = a.codeLen, k.code
		w.secret = k.k1
		if s.Confidentiality != 0 {
			w.crypt = &k
		}
	}
	if s.Integrity == integrityFlatMD5 {
		flat := make([]byte, mc.LongPasswordLen)
		copy(flat, password)
		w.codeLen, w.sign = md5.Size, func(covered []byte) []byte { return flatMD5(flat, covered) }
		w.secret = flat
	}
	return w
}

// flatMD5 is the MD5-128 integrity of suite 12: the hash stands between two
// copies of the password, as in IPMI 1.5.
func flatMD5(password, covered []byte) []byte {
	h := md5.New()
	h.Write(password)
	h.Write(covered)
	h.Write(password)
	return h.Sum(nil)
}

// weakKeys are those of suites 0, 1, 2 and 12.
type weakKeys struct {
	sign    func(covered []byte) []byte // nil: unsigned
	codeLen int
	secret  []byte // that sign goes by
	crypt   *keys  // nil: readable
}

func (w *weakKeys) forget() { clear(w.secret) }

// open takes what is signed and encrypted as the suite has it, no more and no
// less.
func (w *weakKeys) open(p packet) ([]byte, error) {
	if !p.plus || p.Authenticated != (w.sign != nil) || p.Encrypted != (w.crypt != nil) {
		return nil, errFrame
	}
	if w.sign != nil && !w.signed(p) {
		return nil, errFrame
	}
	if w.crypt != nil {
		return w.crypt.decrypted(p.Payload)
	}
	return bytes.Clone(p.Payload), nil
}

func (w *weakKeys) signed(p packet) bool {
	if len(p.raw) < header20Len+len(p.Payload)+trailerLen+w.codeLen {
		return false
	}
	covered, code := p.raw[:len(p.raw)-w.codeLen], p.raw[len(p.raw)-w.codeLen:]
	pad := int(covered[len(covered)-trailerLen])
	return hmac.Equal(code, w.sign(covered)) && covered[len(covered)-1] == nextHeader &&
		header20Len+len(p.Payload)+pad+trailerLen == len(covered)
}

func (w *weakKeys) appendSealed(b []byte, t PayloadType, id, seq uint32, payload []byte) []byte {
	b = appendRMCP(b, classIPMI)
	start, kind := len(b), byte(t)
	if w.sign != nil {
		kind |= authenticBit
	}
	if w.crypt != nil {
		kind |= encryptedBit
	}
	b = appendHeader20(b, kind, id, seq, 0)
	body := len(b)
	if w.crypt != nil {
		b = w.crypt.appendEncrypted(b, payload)
	} else {
		b = append(b, payload...)
	}
	binary.LittleEndian.PutUint16(b[body-2:], uint16(len(b)-body))
	if w.sign == nil {
		return b
	}
	pad := byte(0)
	for ; (len(b)-start+trailerLen)%4 != 0; pad++ {
		b = append(b, 0xFF)
	}
	b = append(b, pad, nextHeader)
	return append(b, w.sign(b[start:])...)
}
