package lanclient

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
)

// Suite is a cipher suite (IPMI 2.0 table 22-20).
type Suite uint8

// The suites that are spoken. Both sign and encrypt.
const (
	Suite3  Suite = 3  // RAKP-HMAC-SHA1, HMAC-SHA1-96, AES-CBC-128
	Suite17 Suite = 17 // RAKP-HMAC-SHA256, HMAC-SHA256-128, AES-CBC-128
)

// algorithm is what a suite computes with, and its numbers on the wire.
type algorithm struct {
	auth, integrity, confidentiality byte
	hash                             func() hash.Hash
	codeLen                          int
}

func (s Suite) algorithm() (algorithm, error) {
	switch s {
	case Suite3:
		return algorithm{1, 1, 1, sha1.New, 12}, nil
	case Suite17:
		return algorithm{3, 4, 1, sha256.New, 16}, nil
	}
	return algorithm{}, fmt.Errorf("lanclient: cipher suite %d is not spoken", s)
}

func (a algorithm) mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(a.hash, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// sealer signs and encrypts a session's messages. What it needs for that it
// keeps from one to the next.
type sealer struct {
	mac     hash.Hash // of K1
	codeLen int
	encrypt chain
	decrypt chain
	iv      [aes.BlockSize]byte
	sum     [sha256.Size]byte
}

// chain is AES-CBC, as package cipher makes it.
type chain interface {
	cipher.BlockMode
	SetIV([]byte)
}

// newSealer derives K1 and K2 from a session integrity key (IPMI 2.0 §13.32).
func newSealer(a algorithm, sik []byte) (*sealer, error) {
	const constantLen, keyLen = 20, 16
	k1, k2 := a.mac(sik, bytes.Repeat([]byte{1}, constantLen)), a.mac(sik, bytes.Repeat([]byte{2}, constantLen))
	block, err := aes.NewCipher(k2[:keyLen])
	if err != nil {
		return nil, err
	}
	s := &sealer{mac: hmac.New(a.hash, k1), codeLen: a.codeLen}
	s.encrypt = cipher.NewCBCEncrypter(block, s.iv[:]).(chain)
	s.decrypt = cipher.NewCBCDecrypter(block, s.iv[:]).(chain)
	return s, nil
}

// code is the auth code of b, until the next call.
func (s *sealer) code(b []byte) []byte {
	s.mac.Reset()
	s.mac.Write(b)
	return s.mac.Sum(s.sum[:0])[:s.codeLen]
}

// appendSealed appends a whole datagram.
func (s *sealer) appendSealed(b []byte, kind byte, id, seq uint32, message []byte) []byte {
	start := len(b)
	b = appendHeader(b, kind|authentic|encrypted, id, seq)
	_, _ = rand.Read(s.iv[:]) // does not fail
	body := len(b)
	b = append(append(b, s.iv[:]...), message...)
	pad := byte(0)
	for ; (len(b)-body+1)%aes.BlockSize != 0; b = append(b, pad) {
		pad++
	}
	b = append(b, pad)
	s.encrypt.SetIV(s.iv[:])
	s.encrypt.CryptBlocks(b[body+aes.BlockSize:], b[body+aes.BlockSize:])
	binary.LittleEndian.PutUint16(b[start+lenAt:], uint16(len(b)-body))
	pad = 0
	for ; (len(b)-start-rmcpLen+trailerLen)%4 != 0; pad++ {
		b = append(b, padByte)
	}
	b = append(b, pad, nextHeader)
	return append(b, s.code(b[start+rmcpLen:])...)
}

// open checks a packet and decrypts it in place.
func (s *sealer) open(p packet) ([]byte, error) {
	covered := len(p.signed) - s.codeLen
	if p.kind&^kindMask != authentic|encrypted || covered < headerLen-rmcpLen+len(p.payload)+trailerLen {
		return nil, errDatagram
	}
	if !hmac.Equal(s.code(p.signed[:covered]), p.signed[covered:]) {
		return nil, fmt.Errorf("%w: wrong auth code", errDatagram)
	}
	if len(p.payload) < 2*aes.BlockSize || len(p.payload)%aes.BlockSize != 0 {
		return nil, errDatagram
	}
	s.decrypt.SetIV(p.payload[:aes.BlockSize])
	out := p.payload[aes.BlockSize:]
	s.decrypt.CryptBlocks(out, out)
	pad := int(out[len(out)-1])
	if pad >= aes.BlockSize {
		return nil, errDatagram
	}
	return out[:len(out)-1-pad], nil
}
