package attack

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/midplane-project/midplane/ipmb"
)

// Payload types (IPMI 2.0 §13.27.3).
const (
	payloadIPMI  = 0x00
	payloadOpen  = 0x10
	payloadRAKP1 = 0x12
	payloadRAKP3 = 0x14

	encrypted     = 0x80
	authenticated = 0x40
)

// suite is a cipher suite with its algorithms' numbers. What is not 3 or 17 is
// only asked for.
type suite struct {
	auth, integrity, confidentiality byte
	hash                             func() hash.Hash
	code                             int // bytes of an auth code
}

var (
	suite3  = suite{1, 1, 1, sha1.New, 12}
	suite17 = suite{3, 4, 1, sha256.New, 16}
)

func (s suite) mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(s.hash, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func word(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

// rmcp is a datagram of class IPMI.
func rmcp(rest ...[]byte) []byte { return append([]byte{6, 0, 0xFF, 7}, bytes.Join(rest, nil)...) }

// ping is an ASF Presence Ping.
func ping(tag byte) []byte { return []byte{6, 0, 0xFF, 6, 0, 0, 0x11, 0xBE, 0x80, tag, 0, 0} }

// plus is a packet of RMCP+ that is neither signed nor encrypted, whatever its
// type byte says.
func plus(kind byte, id, seq uint32, payload []byte) []byte {
	return rmcp([]byte{6, kind}, word(id), word(seq), binary.LittleEndian.AppendUint16(nil, uint16(len(payload))), payload)
}

// old is a packet of IPMI 1.5 without an auth code.
func old(auth byte, seq, id uint32, payload []byte) []byte {
	return rmcp([]byte{auth}, word(seq), word(id), []byte{byte(len(payload))}, payload)
}

// message is a request as it goes into a session.
func message(seq uint8, n ipmb.NetFn, cmd ipmb.Cmd, data ...byte) []byte {
	return frame(ipmb.AddrShelfManager, 0x81, seq, n, cmd, data...)
}

func frame(to, from ipmb.Addr, seq uint8, n ipmb.NetFn, cmd ipmb.Cmd, data ...byte) []byte {
	b, err := ipmb.RequestFrame(to, from, 0, seq, &ipmb.Request{NetFn: n, Cmd: cmd, Data: data}).AppendBinary(nil)
	if err != nil {
		panic(err) // a test's own mistake
	}
	return b
}

// keys are a session's.
type keys struct {
	suite
	k1, k2 []byte
}

func (s suite) keys(sik []byte) keys {
	return keys{s, s.mac(sik, bytes.Repeat([]byte{1}, 20)), s.mac(sik, bytes.Repeat([]byte{2}, 20))[:aes.BlockSize]}
}

// crypt encrypts a payload (AES-CBC-128, IPMI 2.0 §13.29). The initialisation
// vector need not be random for an attacker.
func (k keys) crypt(payload []byte) []byte {
	block, err := aes.NewCipher(k.k2)
	if err != nil {
		panic(err)
	}
	out := append(bytes.Repeat([]byte{0x5A}, aes.BlockSize), payload...)
	pad := byte(0)
	for ; (len(out)+1)%aes.BlockSize != 0; out = append(out, pad) {
		pad++
	}
	out = append(out, pad)
	cipher.NewCBCEncrypter(block, out[:aes.BlockSize]).CryptBlocks(out[aes.BlockSize:], out[aes.BlockSize:])
	return out
}

// sign makes a packet of what may be encrypted already.
func (k keys) sign(kind byte, id, seq uint32, body []byte) []byte {
	b := plus(kind|authenticated, id, seq, body)
	pad := byte(0)
	for ; (len(b)-4+2)%4 != 0; pad++ {
		b = append(b, 0xFF)
	}
	b = append(b, pad, 7)
	return append(b, k.mac(k.k1, b[4:])[:k.code]...)
}

func (k keys) seal(kind byte, id, seq uint32, payload []byte) []byte {
	return k.sign(kind|encrypted, id, seq, k.crypt(payload))
}

// open reads a packet of the session's, header and all; nil is none.
func (k keys) open(b []byte) []byte {
	if len(b) < 16+k.code+2 || b[5]&(encrypted|authenticated) != encrypted|authenticated {
		return nil
	}
	if end := len(b) - k.code; !hmac.Equal(b[end:], k.mac(k.k1, b[4:end])[:k.code]) {
		return nil
	}
	body := b[16:][:binary.LittleEndian.Uint16(b[14:])]
	block, err := aes.NewCipher(k.k2)
	if err != nil || len(body) < 2*aes.BlockSize {
		return nil
	}
	out := make([]byte, len(body)-aes.BlockSize)
	cipher.NewCBCDecrypter(block, body[:aes.BlockSize]).CryptBlocks(out, body[aes.BlockSize:])
	return out[:len(out)-1-int(out[len(out)-1])]
}
