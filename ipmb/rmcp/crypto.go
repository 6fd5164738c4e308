package rmcp

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/midplane-project/midplane/ipmb/mc"
)

// Algorithm numbers (IPMI 2.0 tables 13-17 to 13-19).
const (
	authSHA1   = 0x01
	authMD5    = 0x02
	authSHA256 = 0x03

	integritySHA1    = 0x01 // HMAC-SHA1-96
	integrityMD5     = 0x02 // HMAC-MD5-128
	integrityFlatMD5 = 0x03 // MD5-128, not an HMAC
	integritySHA256  = 0x04 // HMAC-SHA256-128

	confidentialityAES = 0x01
)

const (
	aesKeyLen    = 16
	constantLen  = 20 // of the constants that K1 and K2 are made from, whatever the hash
	shortCodeLen = 12 // of HMAC-SHA1-96
	longCodeLen  = 16
)

// algorithm is what a cipher suite computes with. One hash serves both its
// logins and its messages.
type algorithm struct {
	hash    func() hash.Hash // nil: logins prove nothing (suite 0)
	codeLen int              // of an integrity check value
}

// algorithmOf gives the algorithm of a suite; ok is false for one that is not
// built.
func algorithmOf(s mc.CipherSuite) (a algorithm, ok bool) {
	if built, _ := suiteByID(int(s.ID)); built != s {
		return algorithm{}, false
	}
	switch s.Auth {
	case authSHA1:
		return algorithm{sha1.New, shortCodeLen}, true
	case authMD5:
		return algorithm{md5.New, longCodeLen}, true
	case authSHA256:
		return algorithm{sha256.New, longCodeLen}, true
	}
	return algorithm{}, true
}

// mac is the keyed hash of the parts put together, nothing without a hash.
func (a algorithm) mac(key []byte, parts ...[]byte) []byte {
	if a.hash == nil {
		return nil
	}
	h := hmac.New(a.hash, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// keyLen is the length of a session integrity key.
func (a algorithm) keyLen() int {
	if a.hash == nil {
		return 0
	}
	return a.hash().Size()
}

// keys are what a session's messages are signed and encrypted with. The signer is
// made once and used again, so they serve one goroutine at a time.
type keys struct {
	algorithm
	k1     []byte
	signer hash.Hash    // of K1
	sum    []byte       // room for what it gives
	block  cipher.Block // of K2
}

// newKeys derives K1 and K2 from a session integrity key (IPMI 2.0 §13.32).
func newKeys(a algorithm, sik []byte) keys {
	k1, k2 := a.mac(sik, bytes.Repeat([]byte{1}, constantLen)), a.mac(sik, bytes.Repeat([]byte{2}, constantLen))
	block, err := aes.NewCipher(k2[:aesKeyLen])
	if err != nil {
		panic(err) // the key's length is right
	}
	return keys{algorithm: a, k1: k1, signer: hmac.New(a.hash, k1), sum: make([]byte, 0, len(k1)), block: block}
}

// code is the auth code of b. It holds until the next.
func (k keys) code(b []byte) []byte {
	k.signer.Reset()
	k.signer.Write(b)
	return k.signer.Sum(k.sum)[:k.codeLen]
}

// open checks a packet's auth code, and decrypts it. A packet of a session that
// is not both signed and encrypted is refused: its suite has both.
func (k keys) open(p packet) ([]byte, error) {
	if !p.Authenticated || !p.Encrypted || len(p.raw) < header20Len+len(p.Payload)+trailerLen+k.codeLen {
		return nil, errFrame
	}
	covered, code := p.raw[:len(p.raw)-k.codeLen], p.raw[len(p.raw)-k.codeLen:]
	if !hmac.Equal(code, k.code(covered)) {
		return nil, errFrame
	}
	pad := int(covered[len(covered)-trailerLen])
	if covered[len(covered)-1] != nextHeader || header20Len+len(p.Payload)+pad+trailerLen != len(covered) {
		return nil, errFrame
	}
	return k.decrypted(p.Payload)
}

// decrypted reads AES-CBC-128: IV, then data, pad 01 02 03 … and its length (IPMI
// 2.0 §13.29). The auth code has been checked, so errors tell nobody anything.
func (k keys) decrypted(b []byte) ([]byte, error) {
	if len(b) < 2*aes.BlockSize || len(b)%aes.BlockSize != 0 {
		return nil, errFrame
	}
	out := make([]byte, len(b)-aes.BlockSize)
	cipher.NewCBCDecrypter(k.block, b[:aes.BlockSize]).CryptBlocks(out, b[aes.BlockSize:])
	pad := int(out[len(out)-1])
	if pad >= aes.BlockSize {
		return nil, errFrame
	}
	end := len(out) - 1 - pad
	for i, x := range out[end : len(out)-1] {
		if x != byte(i+1) {
			return nil, errFrame
		}
	}
	return out[:end], nil
}

// sealedLen is what a packet with n bytes of payload is not longer than: beside
// headers and trailers it has an IV, and pads up to a block and a word.
func sealedLen(n int) int {
	return rmcpLen + header20Len + n + 2*aes.BlockSize + 3 + trailerLen + longCodeLen
}

// appendSealed appends a packet of a session, RMCP header included.
func (k keys) appendSealed(b []byte, t PayloadType, id, seq uint32, payload []byte) []byte {
	b = appendRMCP(b, classIPMI)
	start := len(b)
	b = appendHeader20(b, byte(t)|encryptedBit|authenticBit, id, seq, 0)
	body := len(b)
	b = k.appendEncrypted(b, payload)
	binary.LittleEndian.PutUint16(b[body-2:], uint16(len(b)-body))
	pad := 0
	for ; (len(b)-start+trailerLen)%4 != 0; pad++ {
		b = append(b, 0xFF)
	}
	b = append(b, byte(pad), nextHeader)
	return append(b, k.code(b[start:])...)
}

func (k keys) appendEncrypted(b, payload []byte) []byte {
	b = append(b, make([]byte, aes.BlockSize)...)
	start := len(b)
	iv := b[start-aes.BlockSize:]
	_, _ = rand.Read(iv) // does not fail
	b = append(b, payload...)
	pad := byte(0)
	for ; (len(b)-start+1)%aes.BlockSize != 0; b = append(b, pad) {
		pad++
	}
	b = append(b, pad)
	cipher.NewCBCEncrypter(k.block, iv).CryptBlocks(b[start:], b[start:])
	return b
}
