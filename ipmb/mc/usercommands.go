package mc

import (
	"context"
	"crypto/subtle"

	"github.com/midplane-project/midplane/ipmb"
)

// Completion codes of Set User Password's test (IPMI 2.0 §22.30).
const (
	ErrPasswordDiffers ipmb.CompletionCode = 0x80
	ErrPasswordSize    ipmb.CompletionCode = 0x81
)

// Fields of the user commands (IPMI 2.0 §22.26 to §22.32).
const (
	userIDMask = 0x3F

	changeAccess  = 0x80 // Set User Access: bits 6 to 4 count
	callbackOnly  = 0x40
	linkAuth      = 0x20
	ipmiMessaging = 0x10

	statusEnabled  = 0x40
	statusDisabled = 0x80
	fixedNames     = 1 // the null user's

	longPassword    = 0x80
	passwordDisable = 0
	passwordEnable  = 1
	passwordSet     = 2
	passwordTest    = 3
	passwordHead    = 2
	passwordOpMask  = 0x03
	payloadOpShift  = 6
	payloadEnable   = 0
	payloadDisable  = 1
	payloadSOLBit   = 1 << PayloadSOL
	payloadBytes    = 4
)

// Commands gives the rows of users.
func (u *Users) Commands() []ipmb.Command {
	type do = func(context.Context, *ipmb.Request) ([]byte, error)
	row := func(name string, cmd ipmb.Cmd, p ipmb.Privilege, data ipmb.Span, ref string, f do) ipmb.Command {
		return ipmb.Command{
			Name: name, NetFn: ipmb.NetFnApp, Cmd: cmd, Privilege: p, Data: data, Effect: p == ipmb.PrivilegeAdmin, Ref: ref, Do: f,
		}
	}
	admin, operator := ipmb.PrivilegeAdmin, ipmb.PrivilegeOperator
	return []ipmb.Command{
		row("Set User Access", 0x43, admin, ipmb.Between(3, 4), "IPMI 2.0 §22.26", u.setAccess),
		row("Get User Access", 0x44, operator, ipmb.Exactly(2), "IPMI 2.0 §22.27", u.getAccess),
		row("Set User Name", 0x45, admin, ipmb.Exactly(1+UserNameLen), "IPMI 2.0 §22.28", u.setName),
		row("Get User Name", 0x46, operator, ipmb.Exactly(1), "IPMI 2.0 §22.29", u.getName),
		row("Set User Password", 0x47, admin, ipmb.Between(passwordHead, passwordHead+LongPasswordLen), "IPMI 2.0 §22.30", u.setPassword),
		row("Set User Payload Access", 0x4C, admin, ipmb.Exactly(2+payloadBytes), "IPMI 2.0 §24.6", u.setPayloads),
		row("Get User Payload Access", 0x4D, operator, ipmb.Exactly(2), "IPMI 2.0 §24.7", u.getPayloads),
	}
}

// changeOn changes a user's access to the channel of a request, which must
// have sessions.
func (u *Users) changeOn(ctx context.Context, req *ipmb.Request, f func(*UserAccess)) error {
	c, err := u.channels.find(req, req.Data[0])
	if err != nil || !c.Sessions {
		return ipmb.ErrInvalidField
	}
	return u.changeFor(ctx, req, req.Data[1]&userIDMask, func(one user) (user, error) {
		a := one.on(c.Number)
		f(&a)
		return one.with(c.Number, a), nil
	})
}

// accessOn gives a user and what he may on the channel of a request: nothing
// where there are no sessions.
func (u *Users) accessOn(req *ipmb.Request) (user, UserAccess, error) {
	c, err := u.channels.find(req, req.Data[0])
	if err != nil {
		return user{}, UserAccess{}, err
	}
	one, err := u.get(req.Data[1] & userIDMask)
	if err != nil || !c.Sessions {
		return one, UserAccess{Limit: NoAccess}, err
	}
	return one, one.on(c.Number), nil
}

func (u *Users) setAccess(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	d := req.Data
	limit := ipmb.Privilege(d[2] & limitMask)
	if limit != NoAccess && (limit == ipmb.PrivilegeNone || limit > ipmb.PrivilegeOEM) {
		return nil, ipmb.ErrInvalidField
	}
	return nil, u.changeOn(ctx, req, func(a *UserAccess) {
		if d[0]&changeAccess != 0 {
			a.CallbackOnly, a.LinkAuth, a.Messaging = d[0]&callbackOnly != 0, d[0]&linkAuth != 0, d[0]&ipmiMessaging != 0
		}
		a.Limit = limit
		if len(d) > 3 {
			a.Sessions = d[3] & limitMask
		}
	})
}

func (u *Users) getAccess(_ context.Context, req *ipmb.Request) ([]byte, error) {
	one, a, err := u.accessOn(req)
	if err != nil {
		return nil, err
	}
	status := byte(statusDisabled)
	if one.enabled {
		status = statusEnabled
	}
	bits := flags(map[byte]bool{callbackOnly: a.CallbackOnly, linkAuth: a.LinkAuth, ipmiMessaging: a.Messaging})
	return []byte{MaxUsers, status | u.enabled(), fixedNames, bits | byte(a.Limit)}, nil
}

// setName names a user. The null user's name is fixed; saying it again is no error.
func (u *Users) setName(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	id := req.Data[0] & userIDMask
	name, err := parseName(req.Data[1:])
	if err != nil {
		return nil, err
	}
	if id == NullUser {
		if name != "" {
			return nil, ipmb.ErrInvalidField
		}
		return nil, nil
	}
	return nil, u.changeFor(ctx, req, id, func(one user) (user, error) {
		one.name = name
		return one, nil
	})
}

func (u *Users) getName(_ context.Context, req *ipmb.Request) ([]byte, error) {
	one, err := u.get(req.Data[0] & userIDMask)
	if err != nil {
		return nil, err
	}
	return wireName(one.name), nil
}

// setPassword enables and disables users, which clients ask with and without a
// password after it, and sets and tests passwords, which they send filled up
// to the length of their form.
func (u *Users) setPassword(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	id, long := req.Data[0]&userIDMask, req.Data[0]&longPassword != 0
	op, password := req.Data[1]&passwordOpMask, req.Data[passwordHead:]
	if op == passwordDisable || op == passwordEnable {
		return nil, u.changeFor(ctx, req, id, func(one user) (user, error) {
			one.enabled = op == passwordEnable
			return one, nil
		})
	}
	if len(password) != (user{long: long}).passwordLen() {
		return nil, ipmb.ErrLength
	}
	if op == passwordTest {
		return nil, u.test(id, long, password)
	}
	return nil, u.changeFor(ctx, req, id, func(one user) (user, error) {
		if have, err := u.password(id, one); err == nil && one.sealed != nil && one.long == long && subtle.ConstantTimeCompare(have, password) == 1 {
			return one, nil // sealed anew it would look like another one
		}
		sealed, err := u.sealer.Seal(userRecord(id), password)
		one.long, one.sealed = long, sealed
		return one, err
	})
}

func (u *Users) test(id uint8, long bool, password []byte) error {
	one, err := u.get(id)
	if err != nil {
		return err
	}
	have, err := u.password(id, one)
	if err != nil {
		return err
	}
	if long != one.long {
		return ErrPasswordSize
	}
	if subtle.ConstantTimeCompare(have, password) != 1 {
		return ErrPasswordDiffers
	}
	return nil
}

// setPayloads lets a user to the payloads that there are beside IPMI's own, to
// which everybody is let: serial over LAN.
func (u *Users) setPayloads(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	op, bits := req.Data[1]>>payloadOpShift, req.Data[2:]
	if op > payloadDisable {
		return nil, ipmb.ErrInvalidField
	}
	if unknown := bits[0]&^payloadSOLBit | bits[1] | bits[2] | bits[3]; op == payloadEnable && unknown != 0 {
		return nil, ipmb.ErrInvalidField
	}
	return nil, u.changeOn(ctx, req, func(a *UserAccess) {
		if bits[0]&payloadSOLBit != 0 {
			a.SOL = op == payloadEnable
		}
	})
}

func (u *Users) getPayloads(_ context.Context, req *ipmb.Request) ([]byte, error) {
	_, a, err := u.accessOn(req)
	if err != nil {
		return nil, err
	}
	return []byte{flags(map[byte]bool{payloadSOLBit: a.SOL}), 0, 0, 0}, nil
}
