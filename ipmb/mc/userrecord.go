package mc

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/midplane-project/midplane/ipmb"
)

// A user's record: version, flags, name, length of the sealed password and
// that; then for each channel that differs from the default its number, flags,
// limit and session limit.
const (
	userVersion = 1
	userHead    = 2 + UserNameLen + 1
	accessEntry = 4

	userEnabled = 0x01
	userLong    = 0x02

	accessCallback  = 0x01
	accessLink      = 0x02
	accessMessaging = 0x04
	accessSOL       = 0x08
)

var errUserRecord = errors.New("record cannot be read")

// flags packs booleans into the bits of a byte.
func flags(bits map[byte]bool) (b byte) {
	for bit, on := range bits {
		if on {
			b |= bit
		}
	}
	return b
}

func (u user) encode() []byte {
	out := []byte{userVersion, flags(map[byte]bool{userEnabled: u.enabled, userLong: u.long})}
	out = append(out, wireName(u.name)...)
	out = append(out, byte(len(u.sealed)))
	out = append(out, u.sealed...)
	for _, channel := range slices.Sorted(maps.Keys(u.access)) {
		a := u.access[channel]
		out = append(out, channel, flags(map[byte]bool{
			accessCallback: a.CallbackOnly, accessLink: a.LinkAuth, accessMessaging: a.Messaging, accessSOL: a.SOL,
		}), byte(a.Limit), a.Sessions)
	}
	return out
}

func parseUser(v []byte) (user, error) {
	if len(v) < userHead || v[0] != userVersion {
		return user{}, errUserRecord
	}
	sealed := int(v[userHead-1])
	rest := v[userHead:]
	if len(rest) < sealed || (len(rest)-sealed)%accessEntry != 0 {
		return user{}, errUserRecord
	}
	name, err := parseName(v[2 : 2+UserNameLen])
	if err != nil {
		return user{}, fmt.Errorf("name: %w", err)
	}
	access := make(map[uint8]UserAccess)
	for e := rest[sealed:]; len(e) > 0; e = e[accessEntry:] {
		access[e[0]] = UserAccess{
			CallbackOnly: e[1]&accessCallback != 0, LinkAuth: e[1]&accessLink != 0,
			Messaging: e[1]&accessMessaging != 0, SOL: e[1]&accessSOL != 0,
			Limit: ipmb.Privilege(e[2]), Sessions: e[3],
		}
	}
	u := user{name: name, enabled: v[1]&userEnabled != 0, long: v[1]&userLong != 0, access: access}
	if sealed > 0 {
		u.sealed = bytes.Clone(rest[:sealed])
	}
	return u.stamped(), nil
}

// wireName fills a name up with zeros to its length on the wire.
func wireName(name string) []byte {
	return append([]byte(name), make([]byte, UserNameLen-len(name))...)
}

// parseName reads a name up to its first zero. Names are printable ASCII
// (IPMI 2.0 §22.28), so that they are safe in a log.
func parseName(b []byte) (string, error) {
	name, _, _ := bytes.Cut(b, []byte{0})
	for _, c := range name {
		if c < ' ' || c > '~' {
			return "", ipmb.ErrInvalidField
		}
	}
	return string(name), nil
}
