package rmcp

import (
	"crypto/hmac"
	"crypto/sha256"
)

// makerLen is the length of what tells processes apart.
const makerLen = 2

const nobodyLabel = "midplane: password of nobody"

// shared is a key of all processes that share the store, one for each purpose; nil
// where there are no others. The caller has mu.
func (t *Sessions) shared(label string) ([]byte, error) {
	if t.cfg.SharedKey == nil || t.derived[label] != nil {
		return t.derived[label], nil
	}
	key, err := t.cfg.SharedKey()
	if err != nil {
		return nil, err
	}
	t.derived[label] = sum(key, []byte(label))
	return t.derived[label], nil
}

// nobodyKey is what the passwords are made of that nobody has: where others go on
// with a login, they answer alike for it. The caller has mu.
func (t *Sessions) nobodyKey() []byte {
	if key, err := t.shared(nobodyLabel); err == nil && key != nil {
		return key
	}
	return t.secret[:]
}

func (t *Sessions) maker() [makerLen]byte { return [makerLen]byte(t.secret[:]) }

func sum(key, b []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(b)
	return h.Sum(nil)
}
