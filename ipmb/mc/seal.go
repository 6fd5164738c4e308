package mc

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"sync"
)

// SealKeyLen is the length of the key of a Sealer: AES-256.
const SealKeyLen = 32

// Sealer encrypts what must not be readable in a controller's store: AES-GCM,
// bound to what the value belongs to, so that one user's password cannot be
// put in the place of another's.
type Sealer struct {
	aead func() (cipher.AEAD, error)
}

// NewSealer makes a sealer. key is asked when the first value is sealed or
// opened, and asked again only if it fails.
func NewSealer(key func() ([]byte, error)) *Sealer {
	var mu sync.Mutex
	var aead cipher.AEAD
	return &Sealer{aead: func() (cipher.AEAD, error) {
		mu.Lock()
		defer mu.Unlock()
		if aead != nil {
			return aead, nil
		}
		k, err := key()
		if err != nil {
			return nil, fmt.Errorf("key of the sealed records: %w", err)
		}
		if len(k) != SealKeyLen {
			return nil, fmt.Errorf("key of the sealed records has %d bytes, want %d", len(k), SealKeyLen)
		}
		block, err := aes.NewCipher(k)
		if err != nil {
			return nil, err
		}
		aead, err = cipher.NewGCMWithRandomNonce(block)
		return aead, err
	}}
}

// Seal encrypts a secret of owner's.
func (s *Sealer) Seal(owner string, secret []byte) ([]byte, error) {
	a, err := s.aead()
	if err != nil {
		return nil, err
	}
	return a.Seal(nil, nil, secret, []byte(owner)), nil
}

// Open decrypts what Seal made for the same owner.
func (s *Sealer) Open(owner string, sealed []byte) ([]byte, error) {
	a, err := s.aead()
	if err != nil {
		return nil, err
	}
	secret, err := a.Open(nil, nil, sealed, []byte(owner))
	if err != nil {
		return nil, fmt.Errorf("secret of %s is damaged or was sealed with another key: set it anew", owner)
	}
	return secret, nil
}
