package api

import (
	"bytes"
	"context"
	"log/slog"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/midplane-project/midplane/internal/trust"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// firstOther is the first user id that may be given away: the null user's is not.
const firstOther = mc.NullUser + 1

// accounts changes a controller's users by its own commands, so that what holds
// for them holds for the API, too.
type accounts struct {
	do  func(context.Context, *ipmb.Request) (ipmb.Response, error)
	log func() *slog.Logger
	mu  sync.Mutex // one change at a time: each is several commands
}

// ask carries a command out, with the authority of an administrator.
func (a *accounts) ask(ctx context.Context, cmd ipmb.Cmd, data ...byte) ([]byte, error) {
	r, err := a.do(ctx, &ipmb.Request{
		NetFn: ipmb.NetFnApp, Cmd: cmd, Data: data,
		Origin: ipmb.Origin{Speaker: ipmb.SpeakerAPI, Door: ipmb.DoorAPI, Privilege: ipmb.PrivilegeAdmin},
	})
	if err == nil && r.Code != ipmb.OK {
		err = r.Code
	}
	return r.Data, err
}

// audit notes who changed what. A replica calls on behalf of somebody of whom it
// has made a note itself.
func (a *accounts) audit(ctx context.Context, what string, u *v1.User, more ...any) {
	a.log().Info("user "+what, append([]any{"id", u.GetId(), "name", u.GetName(), "by", caller(ctx)}, more...)...)
}

// caller names who calls.
func caller(ctx context.Context) string {
	id, ok := trust.FromContext(ctx)
	if !ok {
		return "unknown"
	}
	return id.Subject()
}

func (a *accounts) list(ctx context.Context) (*v1.ListUsersResponse, error) {
	out := &v1.ListUsersResponse{Capacity: mc.MaxUsers}
	for id := uint8(mc.NullUser); id <= mc.MaxUsers; id++ {
		u, err := a.get(ctx, id)
		if err != nil {
			return nil, err
		}
		if u.Name != "" || u.Enabled {
			out.Users = append(out.Users, u)
		}
	}
	return out, nil
}

// get reads one user.
func (a *accounts) get(ctx context.Context, id uint8) (*v1.User, error) {
	name, err := a.ask(ctx, cmdGetUserName, id)
	if err != nil {
		return nil, err
	}
	access, err := a.ask(ctx, cmdGetUserAccess, lanChannel, id)
	if err != nil {
		return nil, err
	}
	payloads, err := a.ask(ctx, cmdGetUserPayloads, lanChannel, id)
	if err != nil {
		return nil, err
	}
	if len(access) < 4 || len(payloads) < 1 {
		return nil, ipmb.ErrLength
	}
	name, _, _ = bytes.Cut(name, []byte{0})
	return &v1.User{
		Id: uint32(id), Name: string(name), Enabled: access[1]&statusMask == statusEnabled,
		Privilege: uint32(access[3] & limitMask), Sol: payloads[0]&solPayload != 0,
	}, nil
}

// isUser reports whether a place has a user. The null user's always has.
func isUser(u *v1.User) bool { return u.Id == mc.NullUser || u.Name != "" || u.Enabled }

// find gives the user that is meant. A place with nobody is no user, so that
// nobody is made there by half.
func (a *accounts) find(ctx context.Context, id uint32, name string) (*v1.User, error) {
	switch {
	case id > mc.MaxUsers:
		return nil, status.Errorf(codes.NotFound, "there is no user %d: ids go to %d", id, mc.MaxUsers)
	case id != 0:
		u, err := a.get(ctx, uint8(id))
		if err == nil && !isUser(u) {
			return nil, status.Errorf(codes.NotFound, "there is no user %d", id)
		}
		return u, err
	case name == "":
		return nil, status.Error(codes.InvalidArgument, "neither an id nor a name says which user is meant")
	}
	all, err := a.list(ctx)
	if err != nil {
		return nil, err
	}
	for _, u := range all.Users {
		if u.Name == name {
			return u, nil
		}
	}
	return nil, status.Errorf(codes.NotFound, "there is no user %q", name)
}

// add makes a user in the first free place. He may log in at the very last.
func (a *accounts) add(ctx context.Context, r *v1.AddUserRequest) (*v1.User, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := checkName(r.Name); err != nil {
		return nil, err
	}
	all, err := a.list(ctx)
	if err != nil {
		return nil, err
	}
	id := uint32(firstOther)
	for _, u := range all.Users {
		if u.Name == r.Name {
			return nil, status.Errorf(codes.AlreadyExists, "there is a user %q already", r.Name)
		}
		if u.Id == id {
			id++
		}
	}
	if id > mc.MaxUsers {
		return nil, status.Errorf(codes.ResourceExhausted, "there are %d users already", mc.MaxUsers)
	}
	enabled := true
	want := change{name: &r.Name, password: &r.Password, privilege: &r.Privilege, enabled: &enabled, sol: &r.Sol}
	if err := want.check(); err != nil {
		return nil, err
	}
	err = a.shutOut(ctx, uint8(id)) // what was left of somebody who had no name any more
	if err == nil {
		err = a.apply(ctx, uint8(id), want)
	}
	if err != nil {
		if undo := a.clear(ctx, uint8(id)); undo != nil {
			a.log().Warn("user half made", "id", id, "err", undo)
		}
		return nil, err
	}
	a.audit(ctx, "added", &v1.User{Id: id, Name: r.Name}, "privilege", ipmb.Privilege(r.Privilege).String(), "sol", r.Sol)
	return a.get(ctx, uint8(id))
}

func (a *accounts) change(ctx context.Context, r *v1.ChangeUserRequest) (*v1.User, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u, err := a.find(ctx, r.Id, r.Name)
	if err != nil {
		return nil, err
	}
	want := change{name: r.NewName, password: r.Password, privilege: r.Privilege, enabled: r.Enabled, sol: r.Sol}
	if err := want.check(); err != nil {
		return nil, err
	}
	if want.name != nil {
		if err := a.free(ctx, *want.name, u); err != nil {
			return nil, err
		}
	}
	if err := a.apply(ctx, uint8(u.Id), want); err != nil {
		a.audit(ctx, "changed in part", u, append(want.words(), "err", err)...)
		return nil, err
	}
	a.audit(ctx, "changed", u, want.words()...)
	return a.get(ctx, uint8(u.Id))
}

// free says why a user cannot have a name.
func (a *accounts) free(ctx context.Context, name string, u *v1.User) error {
	if u.Id == mc.NullUser {
		return status.Errorf(codes.FailedPrecondition, "user %d has no name for ever", u.Id)
	}
	other, err := a.find(ctx, 0, name)
	switch {
	case status.Code(err) == codes.NotFound:
		return nil
	case err == nil && other.Id != u.Id:
		return status.Errorf(codes.AlreadyExists, "there is a user %q already", name)
	}
	return err
}

func (a *accounts) remove(ctx context.Context, r *v1.RemoveUserRequest) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	u, err := a.find(ctx, r.Id, r.Name)
	if err != nil {
		return err
	}
	if u.Id < firstOther {
		return status.Errorf(codes.FailedPrecondition, "user %d is there for ever: disable it", u.Id)
	}
	if err := a.clear(ctx, uint8(u.Id)); err != nil {
		a.audit(ctx, "removed in part", u, "err", err)
		return err
	}
	a.audit(ctx, "removed", u)
	return nil
}
