package mc

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"sync"

	"github.com/midplane-project/midplane/ipmb"
)

// Limits of users (IPMI 2.0 §6.9).
const (
	// MaxUsers is how many user ids there are, from 1.
	MaxUsers = 16
	// NullUser is the id of the user whose name is empty for ever.
	NullUser = 1
	// UserNameLen is the length of a name on the wire.
	UserNameLen = 16
	// NoAccess as a user's limit keeps him out of a channel.
	NoAccess ipmb.Privilege = 0x0F
)

// Lengths of passwords: 20 bytes are for RMCP+ only.
const (
	PasswordLen     = 16
	LongPasswordLen = 20
)

// Payload types that a user may be let to (IPMI 2.0 §13.27.3).
const (
	PayloadIPMI = 0
	PayloadSOL  = 1
)

// UserAccess is what a user may on one channel.
type UserAccess struct {
	CallbackOnly bool
	LinkAuth     bool
	Messaging    bool
	Limit        ipmb.Privilege
	Sessions     uint8 // at a time; 0: as many as the channel has
	SOL          bool  // may open a serial-over-LAN payload
}

// defaultAccess is a user's access to a channel on which nobody set it: he
// needs a privilege first.
var defaultAccess = UserAccess{Messaging: true, Limit: NoAccess}

// user is what is kept of one. Users are values: a changed one replaces the old.
type user struct {
	name    string
	enabled bool
	long    bool   // the password is a 20-byte one
	sealed  []byte // password; nil: none, which is as good as all zero
	access  map[uint8]UserAccess
	stamp   uint64 // see [Standing]; it is not in the record
}

func (u user) on(channel uint8) UserAccess {
	if a, ok := u.access[channel]; ok {
		return a
	}
	return defaultAccess
}

// with gives the user with other access to a channel.
func (u user) with(channel uint8, a UserAccess) user {
	u.access = maps.Clone(u.access)
	if u.access == nil {
		u.access = make(map[uint8]UserAccess)
	}
	u.access[channel] = a
	return u
}

func (u user) passwordLen() int {
	if u.long {
		return LongPasswordLen
	}
	return PasswordLen
}

// Users are those who may use a controller over a channel with sessions.
type Users struct {
	// Changed, if set, is told of a user who was changed, when that holds, and
	// by whom. It is to be set before the first request.
	Changed func(ctx context.Context, id uint8, by ipmb.Origin)

	channels *ChannelAccess
	records  Records
	sealer   *Sealer

	mu   sync.Mutex
	list [MaxUsers + 1]user // by id; 0 is nobody

	nobody []byte // a sealed password that is none; see decoy
}

// OpenUsers reads the users.
func OpenUsers(channels *ChannelAccess, r Records, s *Sealer) (*Users, error) {
	u := &Users{channels: channels, records: r, sealer: s}
	for id := uint8(1); id <= MaxUsers; id++ {
		v, err := r.Get(userRecord(id))
		if err != nil {
			return nil, err
		}
		if v == nil {
			continue
		}
		if u.list[id], err = parseUser(v); err != nil {
			return nil, fmt.Errorf("user %d: %w", id, err)
		}
	}
	return u, nil
}

func userRecord(id uint8) string { return fmt.Sprintf("user/%02d", id) }

// get gives a user, CCh for an id that cannot be.
func (u *Users) get(id uint8) (user, error) {
	if id == 0 || id > MaxUsers {
		return user{}, ipmb.ErrInvalidField
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.list[id], nil
}

// change stores what f makes of a user, if that is another one; it then holds.
func (u *Users) change(id uint8, f func(user) (user, error)) (changed bool, err error) {
	if id == 0 || id > MaxUsers {
		return false, ipmb.ErrInvalidField
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	one, err := f(u.list[id])
	if err != nil {
		return false, err
	}
	v := one.encode()
	if bytes.Equal(v, u.list[id].encode()) {
		return false, nil
	}
	if err := u.records.Put(userRecord(id), v); err != nil {
		return false, err
	}
	u.list[id] = one.stamped()
	return true, nil
}

// enabled counts the users that are.
func (u *Users) enabled() (n byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, one := range u.list {
		if one.enabled {
			n++
		}
	}
	return n
}

// password gives a user's password, filled up with zeros to its length.
func (u *Users) password(id uint8, one user) ([]byte, error) {
	if one.sealed == nil {
		return make([]byte, one.passwordLen()), nil
	}
	p, err := u.sealer.Open(userRecord(id), one.sealed)
	if err == nil && len(p) != one.passwordLen() {
		err = fmt.Errorf("password of user %d has %d bytes, want %d", id, len(p), one.passwordLen())
	}
	return p, err
}
