package mc

import (
	"crypto/cipher"
	"errors"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
)

// memory keeps records.
type memory map[string][]byte

func (m memory) Get(name string) ([]byte, error) { return m[name], nil }
func (m memory) Put(name string, v []byte) error { m[name] = v; return nil }
func (m memory) PutAll(values map[string][]byte) error {
	for name, v := range values {
		m[name] = v
	}
	return nil
}
func (m memory) Delete(name string) error                     { delete(m, name); return nil }
func (m memory) Each(string, func(string, []byte) bool) error { return nil }

// counting counts what is opened.
type counting struct {
	cipher.AEAD
	opened *[]int // lengths
}

func (c counting) Open(dst, nonce, sealed, owner []byte) ([]byte, error) {
	*c.opened = append(*c.opened, len(sealed))
	return c.AEAD.Open(dst, nonce, sealed, owner)
}

// Whether there is such a user, enabled and with access, is nothing that the
// work for his login tells.
func TestAccountsAreTheSameWork(t *testing.T) {
	var opened []int
	real := NewSealer(func() ([]byte, error) { return make([]byte, SealKeyLen), nil })
	sealer := &Sealer{aead: func() (cipher.AEAD, error) {
		a, err := real.aead()
		return counting{a, &opened}, err
	}}
	channels, err := OpenChannelAccess(Channels{LANChannel}, memory{})
	if err != nil {
		t.Fatal(err)
	}
	if err := channels.change(1, func(s *channelSettings) { s.active.Flags = byte(AccessAlways) }); err != nil {
		t.Fatal(err)
	}
	users, err := OpenUsers(channels, memory{}, sealer)
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[uint8]UserAccess{1: {Messaging: true, Limit: ipmb.PrivilegeAdmin}}
	size := 0
	for id, c := range map[uint8]struct {
		user
		password []byte
	}{
		1: {user{enabled: true, access: allowed}, make([]byte, PasswordLen)},
		2: {user{name: "empty", enabled: true, access: allowed}, make([]byte, PasswordLen)},
		3: {user{name: "admin", enabled: true, access: allowed}, []byte("0123456789abcdef")},
		4: {user{name: "off", access: allowed}, []byte("0123456789abcdef")},
		5: {user{name: "stranger", enabled: true}, []byte("0123456789abcdef")},
		6: {user{name: "none", enabled: true, access: allowed}, nil},
	} {
		if c.password != nil {
			if c.sealed, err = sealer.Seal(userRecord(id), c.password); err != nil {
				t.Fatal(err)
			}
			size = len(c.sealed)
		}
		if _, err := users.change(id, func(user) (user, error) { return c.user, nil }); err != nil {
			t.Fatal(err)
		}
	}
	for name, there := range map[string]bool{"": false, "admin": true, "nobody": false, "empty": false, "off": false, "stranger": false, "none": false} {
		_, _ = users.Account(1, name, ipmb.PrivilegeNone) // the first time makes the decoy
		opened = nil
		if _, err := users.Account(1, name, ipmb.PrivilegeNone); errors.Is(err, ErrNoAccount) == there {
			t.Errorf("%q: %v", name, err)
		}
		if len(opened) != 1 || opened[0] != size {
			t.Errorf("%q: opened %v", name, opened)
		}
	}
}

// Nor is the search for him longer or shorter by where he stands, or by whether he does.
func TestSearchLooksAtAllUsers(t *testing.T) {
	for _, want := range []uint8{0, 1, 7, MaxUsers} {
		asked := make(map[uint8]int)
		got := first(func(id uint8) bool {
			asked[id]++
			return want != 0 && (id == want || id == MaxUsers)
		})
		if got != want || len(asked) != MaxUsers || asked[1] != 1 {
			t.Errorf("found %d for %d, asked for %v", got, want, asked)
		}
	}
}
