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
	Stamp    uint64 // see [Standing]
}

// Account finds who may log in by a channel under a name: the first such user
// whose limit reaches atLeast, which is PrivilegeNone in a look-up by name
// only (IPMI 2.0 §6.9.1). Who is disabled, has no password or no access, or
// comes by a disabled channel has no account. That is the same work as for one
// who has: one secret is opened in any case.
func (u *Users) Account(channel uint8, name string, atLeast ipmb.Privilege) (Account, error) {
	setting, ok := u.channels.Active(channel)
	if !ok || setting.Mode() == AccessDisabled {
		return Account{}, ErrNoAccount
	}
	id, one := u.candidate(channel, name, setting.Limit, atLeast)
	if id == 0 {
		return Account{}, u.decoy()
	}
	password, err := u.password(id, one)
	if err != nil {
		return Account{}, err
	}
	if len(bytes.Trim(password, "\x00")) == 0 {
		return Account{}, ErrNoAccount
	}
	a := one.on(channel)
	return Account{
		ID: id, Name: name, Password: password, Limit: u.limit(channel, a, setting.Limit), Sessions: a.Sessions, SOL: a.SOL, Stamp: one.stamp,
	}, nil
}

// Name is a user's name, empty where there is none.
func (u *Users) Name(id uint8) string {
	one, _ := u.get(id) // one that cannot be read has none
	return one.name
}

// candidate finds the user of a login, id 0 if there is none.
func (u *Users) candidate(channel uint8, name string, most, atLeast ipmb.Privilege) (uint8, user) {
	u.mu.Lock()
	list := u.list
	u.mu.Unlock()
	id := first(func(id uint8) bool {
		one := list[id]
		a := one.on(channel)
		return one.mayEnter(id, a) && one.name == name && u.limit(channel, a, most) >= atLeast
	})
	return id, list[id]
}

// first gives the first id that suits, 0 if none does. It asks for each of them in any case: how long it takes
// says nothing of who is there.
func first(suits func(id uint8) bool) (found uint8) {
	for id := uint8(MaxUsers); id > 0; id-- {
		if suits(id) {
			found = id
		}
	}
	return found
}

// limit is the privilege that access to a channel comes to.
func (u *Users) limit(channel uint8, a UserAccess, most ipmb.Privilege) ipmb.Privilege {
	if a.CallbackOnly && u.channels.medium(channel) == MediumSerial {
		most = min(most, ipmb.PrivilegeCallback) // nobody is called back here
	}
	return min(a.Limit, most)
}

// decoyOwner is nobody's record.
const decoyOwner = "user/nobody"

// decoy opens a secret that is nobody's. Its outcome is that there is no account.
func (u *Users) decoy() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.nobody == nil {
		sealed, err := u.sealer.Seal(decoyOwner, make([]byte, PasswordLen))
		if err != nil {
			return err
		}
		u.nobody = sealed
	}
	if _, err := u.sealer.Open(decoyOwner, u.nobody); err != nil {
		return err
	}
	return ErrNoAccount
}
