package api

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// Commands of users, and fields of theirs (IPMI 2.0 §22.26 to §22.32, §24.6).
const (
	cmdSetUserAccess   ipmb.Cmd = 0x43
	cmdGetUserAccess   ipmb.Cmd = 0x44
	cmdSetUserName     ipmb.Cmd = 0x45
	cmdGetUserName     ipmb.Cmd = 0x46
	cmdSetUserPassword ipmb.Cmd = 0x47
	cmdSetUserPayloads ipmb.Cmd = 0x4C
	cmdGetUserPayloads ipmb.Cmd = 0x4D

	statusMask    = 0xC0
	statusEnabled = 0x40
	limitMask     = 0x0F

	changeAccess  = 0x80
	ipmiMessaging = 0x10

	opDisable       = 0
	opEnable        = 1
	opSetPassword   = 2
	longPassword    = 0x80
	solPayload      = 1 << mc.PayloadSOL
	payloadsRevoked = 1 << 6
)

var lanChannel = mc.LANChannel.Number

// change is what shall be different of a user; nil stays.
type change struct {
	name, password *string
	privilege      *uint32
	enabled, sol   *bool
}

func (c change) check() error {
	if c.name != nil {
		if err := checkName(*c.name); err != nil {
			return err
		}
	}
	if c.password != nil {
		if err := checkPassword(*c.password); err != nil {
			return err
		}
	}
	if c.privilege != nil {
		switch p := ipmb.Privilege(*c.privilege); {
		case *c.privilege <= limitMask && (p >= ipmb.PrivilegeCallback && p <= ipmb.PrivilegeAdmin || p == mc.NoAccess):
		default:
			return status.Errorf(codes.InvalidArgument, "privilege %d: want 1 (callback), 2 (user), 3 (operator), 4 (administrator) or 15 (none)", *c.privilege)
		}
	}
	return nil
}

// checkPassword does not let in zeros, which passwords are filled up with: one of
// zeros only is none.
func checkPassword(p string) error {
	if len(p) < 1 || len(p) > mc.LongPasswordLen {
		return status.Errorf(codes.InvalidArgument, "a password has 1 to %d bytes", mc.LongPasswordLen)
	}
	if strings.Contains(p, "\x00") {
		return status.Error(codes.InvalidArgument, "a password has no zero bytes")
	}
	return nil
}

func checkName(name string) error {
	if len(name) < 1 || len(name) > mc.UserNameLen {
		return status.Errorf(codes.InvalidArgument, "user name %q: want 1 to %d characters", name, mc.UserNameLen)
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c > '~' {
			return status.Errorf(codes.InvalidArgument, "user name %q: want printable ASCII without spaces", name)
		}
	}
	return nil
}

// words say in a log what is changed; of a password, that it is.
func (c change) words() (out []any) {
	if c.name != nil {
		out = append(out, "new_name", *c.name)
	}
	if c.password != nil {
		out = append(out, "password", "new")
	}
	if c.privilege != nil {
		out = append(out, "privilege", ipmb.Privilege(*c.privilege).String())
	}
	if c.enabled != nil {
		out = append(out, "enabled", *c.enabled)
	}
	if c.sol != nil {
		out = append(out, "sol", *c.sol)
	}
	return out
}

// apply makes a change command by command. Who shall not log in any more may
// not from the beginning, and who shall may at the end.
func (a *accounts) apply(ctx context.Context, id uint8, c change) error {
	if c.enabled != nil && !*c.enabled {
		if err := a.enable(ctx, id, false); err != nil {
			return err
		}
	}
	if c.name != nil {
		if err := a.name(ctx, id, *c.name); err != nil {
			return err
		}
	}
	if c.password != nil {
		if err := a.password(ctx, id, *c.password); err != nil {
			return err
		}
	}
	if c.privilege != nil {
		if err := a.access(ctx, id, byte(*c.privilege)); err != nil {
			return err
		}
	}
	if c.sol != nil {
		if err := a.sol(ctx, id, *c.sol); err != nil {
			return err
		}
	}
	if c.enabled != nil && *c.enabled {
		return a.enable(ctx, id, true)
	}
	return nil
}

func (a *accounts) name(ctx context.Context, id uint8, name string) error {
	_, err := a.ask(ctx, cmdSetUserName, filled(id, name, mc.UserNameLen)...)
	return err
}

func (a *accounts) password(ctx context.Context, id uint8, password string) error {
	head, n := id, mc.PasswordLen
	if len(password) > mc.PasswordLen {
		head, n = id|longPassword, mc.LongPasswordLen
	}
	data := filled(opSetPassword, password, n)
	_, err := a.ask(ctx, cmdSetUserPassword, append([]byte{head}, data...)...)
	return err
}

func (a *accounts) enable(ctx context.Context, id uint8, on bool) error {
	op := byte(opDisable)
	if on {
		op = opEnable
	}
	_, err := a.ask(ctx, cmdSetUserPassword, id, op)
	return err
}

func (a *accounts) access(ctx context.Context, id, limit byte) error {
	_, err := a.ask(ctx, cmdSetUserAccess, changeAccess|ipmiMessaging|lanChannel, id, limit)
	return err
}

func (a *accounts) sol(ctx context.Context, id uint8, on bool) error {
	op := byte(payloadsRevoked)
	if on {
		op = 0
	}
	_, err := a.ask(ctx, cmdSetUserPayloads, lanChannel, id|op, solPayload, 0, 0, 0)
	return err
}

// shutOut takes a user's access to every channel, not only the LAN's, so that
// who comes after him at his place does not inherit it.
func (a *accounts) shutOut(ctx context.Context, id uint8) error {
	if err := a.enable(ctx, id, false); err != nil {
		return err
	}
	for channel := lanChannel; channel < ipmb.ChannelPresent; channel++ {
		_, access := a.ask(ctx, cmdSetUserAccess, changeAccess|ipmiMessaging|channel, id, byte(mc.NoAccess), 0)
		_, payloads := a.ask(ctx, cmdSetUserPayloads, channel, id|payloadsRevoked, solPayload, 0, 0, 0)
		for _, err := range []error{access, payloads} {
			if err != nil && !errors.Is(err, ipmb.ErrInvalidField) { // a channel without sessions, or none at all
				return err
			}
		}
	}
	return nil
}

// clear frees a user's place: nobody may log in there, with no password that
// anybody knew.
func (a *accounts) clear(ctx context.Context, id uint8) error {
	if err := a.shutOut(ctx, id); err != nil {
		return err
	}
	if err := a.password(ctx, id, ""); err != nil {
		return err
	}
	return a.name(ctx, id, "")
}

// filled is a byte and a text, filled up with zeros to n bytes.
func filled(head byte, text string, n int) []byte {
	return append(append([]byte{head}, text...), make([]byte, n-len(text))...)
}
