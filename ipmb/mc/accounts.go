package mc

import (
	"bytes"
	"errors"

	"github.com/midplane-project/midplane/ipmb"
)

// ErrNoAccount says that nobody of that name may log in there.
var ErrNoAccount = errors.New("no such account")

// Account is what a door with sessions must know of a user who logs in.
type Account struct {
	ID       uint8
	Name     string
	Password []byte         // filled up with zeros to 16 or 20 bytes: the key of the HMACs
	Limit    ipmb.Privilege // the lower one of the user's and the channel's
	Sessions uint8          // at a time; 0: as many as the channel has
	SOL      bool
}

// Account finds who may log in by a channel under a name: the first such user
// whose limit reaches atLeast, which is PrivilegeNone in a look-up by name
// only (IPMI 2.0 §6.9.1). Who is disabled, has no password or no access, or
// comes by a disabled channel has no account.
func (u *Users) Account(channel uint8, name string, atLeast ipmb.Privilege) (Account, error) {
	setting, ok := u.channels.Active(channel)
	if !ok || setting.Mode() == AccessDisabled {
		return Account{}, ErrNoAccount
	}
	for id := uint8(1); id <= MaxUsers; id++ {
		one, err := u.get(id)
		if err != nil {
			return Account{}, err
		}
		a := one.on(channel)
		limit := min(a.Limit, setting.Limit)
		if a.CallbackOnly && u.channels.medium(channel) == MediumSerial {
			limit = min(limit, ipmb.PrivilegeCallback) // nobody is called back here
		}
		if !one.enabled || one.name != name || (name == "") != (id == NullUser) ||
			!a.Messaging || a.Limit == NoAccess || limit < atLeast {
			continue
		}
		password, err := u.password(id, one)
		if err != nil {
			return Account{}, err
		}
		if len(bytes.Trim(password, "\x00")) == 0 {
			continue
		}
		return Account{ID: id, Name: name, Password: password, Limit: limit, Sessions: a.Sessions, SOL: a.SOL}, nil
	}
	return Account{}, ErrNoAccount
}
