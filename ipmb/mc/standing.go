package mc

import (
	"context"
	"crypto/sha256"
	"encoding/binary"

	"github.com/midplane-project/midplane/ipmb"
)

// Standing is what a user who has logged in by a channel may there now.
type Standing struct {
	Limit ipmb.Privilege // the user's own, beside the channel's
	// Stamp is another one when he would log in otherwise than before: by
	// another name or another password.
	Stamp uint64
}

// Standing tells how a user stands; ok is false when he may not log in any more.
func (u *Users) Standing(channel, id uint8) (s Standing, ok bool) {
	one, err := u.get(id)
	if err != nil {
		return Standing{}, false
	}
	a := one.on(channel)
	return Standing{Limit: u.limit(channel, a, ipmb.PrivilegeOEM), Stamp: one.stamp}, one.mayEnter(id, a)
}

// mayEnter reports whether a user may log in by a channel to which he has such
// access. Only the null user has no name.
func (u user) mayEnter(id uint8, a UserAccess) bool {
	return u.enabled && u.sealed != nil && (u.name == "") == (id == NullUser) && a.Messaging && a.Limit != NoAccess
}

// stamped gives the user with the stamp of his name and password.
func (u user) stamped() user {
	sum := sha256.Sum256(append(wireName(u.name), u.sealed...))
	u.stamp = binary.LittleEndian.Uint64(sum[:])
	return u
}

// changeFor is change for a request. Whoever has to know of it is told when it
// holds.
func (u *Users) changeFor(ctx context.Context, req *ipmb.Request, id uint8, f func(user) (user, error)) error {
	changed, err := u.change(id, f)
	if err == nil && changed && u.Changed != nil {
		u.Changed(ctx, id, req.Origin)
	}
	return err
}
