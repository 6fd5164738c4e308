package api

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// TestUsers asks for a node's users, and for a shelf's at a replica that passes
// on what it is asked.
func TestUsers(t *testing.T) {
	for where, rig := range map[string]func(*testing.T) *usersRig{"node": nodeRig, "follower": followerRig} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			r := rig(t)
			for name, f := range map[string]func(*testing.T, *usersRig){
				"changes": usersChanges, "refusals": usersRefusals, "passwords": usersPasswords, "roles": usersRoles,
			} {
				t.Run(name, func(t *testing.T) { f(t, r) })
				r.clean(t)
			}
			if where == "follower" {
				t.Run("of another shelf", func(t *testing.T) { usersOfAnotherShelf(t, r) })
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }

const (
	horse   = "Horse battery"
	longest = "Twenty bytes of it 2" // for RMCP+ only
)

func usersChanges(t *testing.T, r *usersRig) {
	for _, c := range []struct {
		q    any
		want string
	}{
		{&v1.AddUserRequest{Name: "bob", Password: horse, Privilege: 3}, "3 bob on 3 -"},
		{&v1.AddUserRequest{Name: "abcdefghijklmnop", Password: longest, Privilege: 15, Sol: true}, "4 abcdefghijklmnop on 15 sol"},
		{&v1.ListUsersRequest{}, "2 admin on 4 -, 3 bob on 3 -, 4 abcdefghijklmnop on 15 sol"},
		{&v1.ChangeUserRequest{Id: 3, NewName: ptr("robert"), Privilege: ptr(uint32(4)), Sol: ptr(true)}, "3 robert on 4 sol"},
		{&v1.ChangeUserRequest{Name: "robert", Enabled: ptr(false)}, "3 robert off 4 sol"},
		{&v1.ChangeUserRequest{Name: "robert", NewName: ptr("robert"), Sol: ptr(false)}, "3 robert off 4 -"},
		{&v1.ChangeUserRequest{Name: "robert", Enabled: ptr(true), Privilege: ptr(uint32(1))}, "3 robert on 1 -"},
		{&v1.ChangeUserRequest{Id: 1, Enabled: ptr(true)}, "1  on 15 -"},
		{&v1.ListUsersRequest{}, "1  on 15 -, 2 admin on 4 -, 3 robert on 1 -, 4 "},
		{&v1.ChangeUserRequest{Id: 1, Enabled: ptr(false)}, "1  off 15 -"},
		{&v1.RemoveUserRequest{Name: "robert"}, "removed"},
		{&v1.AddUserRequest{Name: "dave", Password: horse, Privilege: 2}, "3 dave on 2 -"},
		{&v1.RemoveUserRequest{Id: 4}, "removed"},
		{&v1.ListUsersRequest{}, "2 admin on 4 -, 3 dave on 2 -"},
	} {
		r.wants(t, c.q, c.want)
	}
}

func usersRefusals(t *testing.T, r *usersRig) {
	r.wants(t, &v1.AddUserRequest{Name: "bob", Password: horse, Privilege: 3}, "3 bob on 3 -")
	before := r.ask(t.Context(), "admin/root", &v1.ListUsersRequest{})
	for _, c := range []struct {
		q    any
		want string
	}{
		{&v1.AddUserRequest{Name: "bob", Password: horse, Privilege: 3}, `AlreadyExists: there is a user "bob" already`},
		{&v1.AddUserRequest{Password: horse, Privilege: 3}, `InvalidArgument: user name "": want 1 to 16 characters`},
		{&v1.AddUserRequest{Name: "abcdefghijklmnopq", Password: horse, Privilege: 3}, `InvalidArgument: user name "abcdefghijklmnopq": want 1`},
		{&v1.AddUserRequest{Name: "two words", Password: horse, Privilege: 3}, "InvalidArgument: user name"},
		{&v1.AddUserRequest{Name: "zoë", Password: horse, Privilege: 3}, "InvalidArgument: user name"},
		{&v1.AddUserRequest{Name: "eve", Privilege: 3}, "InvalidArgument: a password has 1 to 20 bytes"},
		{&v1.AddUserRequest{Name: "eve", Password: longest + "!", Privilege: 3}, "InvalidArgument: a password has 1 to 20 bytes"},
		{&v1.AddUserRequest{Name: "eve", Password: "\x00", Privilege: 3}, "InvalidArgument: a password has no zero"},
		{&v1.AddUserRequest{Name: "eve", Password: horse}, "InvalidArgument: privilege 0: want 1 (callback)"},
		{&v1.AddUserRequest{Name: "eve", Password: horse, Privilege: 5}, "InvalidArgument: privilege 5"},
		{&v1.AddUserRequest{Name: "eve", Password: horse, Privilege: 0x103}, "InvalidArgument: privilege 259"},
		{&v1.ChangeUserRequest{Name: "eve", Sol: ptr(true)}, `NotFound: there is no user "eve"`},
		{&v1.ChangeUserRequest{Id: 9, Enabled: ptr(true)}, "NotFound: there is no user 9"},
		{&v1.ChangeUserRequest{Id: 17, Enabled: ptr(true)}, "NotFound: there is no user 17: ids go to 16"},
		{&v1.ChangeUserRequest{Id: 0x103, Enabled: ptr(false)}, "NotFound: there is no user 259"},
		{&v1.ChangeUserRequest{Enabled: ptr(false)}, "InvalidArgument: neither an id nor a name"},
		{&v1.ChangeUserRequest{Name: "bob", NewName: ptr("admin")}, `AlreadyExists: there is a user "admin" already`},
		{&v1.ChangeUserRequest{Name: "bob", NewName: ptr("")}, "InvalidArgument: user name"},
		{&v1.ChangeUserRequest{Name: "bob", NewName: ptr("abcdefghijklmnopq")}, "InvalidArgument: user name"},
		{&v1.ChangeUserRequest{Name: "bob", Enabled: ptr(false), Password: ptr("")}, "InvalidArgument: a password"},
		{&v1.ChangeUserRequest{Name: "bob", Enabled: ptr(false), Password: ptr(longest + "!")}, "InvalidArgument: a password"},
		{&v1.ChangeUserRequest{Name: "bob", Password: ptr(horse + "\x00")}, "InvalidArgument: a password"},
		{&v1.ChangeUserRequest{Name: "bob", Privilege: ptr(uint32(0))}, "InvalidArgument: privilege 0"},
		{&v1.ChangeUserRequest{Id: 1, NewName: ptr("null")}, "FailedPrecondition: user 1 has no name for ever"},
		{&v1.RemoveUserRequest{Id: 1}, "FailedPrecondition: user 1 is there for ever"},
		{&v1.RemoveUserRequest{Name: "eve"}, `NotFound: there is no user "eve"`},
		{&v1.RemoveUserRequest{Id: 9}, "NotFound: there is no user 9"},
		{&v1.RemoveUserRequest{Id: 17}, "NotFound: there is no user 17"},
		{&v1.RemoveUserRequest{}, "InvalidArgument: neither an id nor a name"},
	} {
		got := r.ask(t.Context(), "admin/root", c.q)
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%v\n got  %s\n want %s", c.q, got, c.want)
		}
		if strings.Contains(got, horse) || strings.Contains(got, longest) {
			t.Errorf("%s: it tells the password", got)
		}
	}
	r.wants(t, &v1.ListUsersRequest{}, before)
	for id := 4; id <= mc.MaxUsers; id++ {
		r.wants(t, &v1.AddUserRequest{Name: fmt.Sprint("user", id), Password: horse, Privilege: 2}, fmt.Sprintf("%d user%d on 2 -", id, id))
	}
	r.wants(t, &v1.AddUserRequest{Name: "eve", Password: horse, Privilege: 2}, "ResourceExhausted: there are 16 users already")
}

// A password is what was said last, in the form that its length needs, and in no
// log.
func usersPasswords(t *testing.T, r *usersRig) {
	const sixteen = "Sixteen bytes .."
	before := len(r.log.String())
	has := func(p string) ipmb.CompletionCode {
		id, n := byte(3), 16
		if len(p) > n {
			id, n = id|longPassword, 20
		}
		return r.raw(cmdSetUserPassword, append([]byte{id}, filled(3, p, n)...)...).Code
	}
	r.wants(t, &v1.AddUserRequest{Name: "bob", Password: horse, Privilege: 3}, "3 bob")
	if got := has(horse); got != ipmb.OK {
		t.Error(got)
	}
	for _, p := range []string{longest, sixteen, sixteen + "!", "x"} {
		r.wants(t, &v1.ChangeUserRequest{Id: 3, Password: &p}, "3 bob on 3 -")
		if got := has(p); got != ipmb.OK {
			t.Errorf("%s: %v", p, got)
		}
	}
	if got := has(horse); got != mc.ErrPasswordDiffers {
		t.Error(got)
	}
	r.wants(t, &v1.ChangeUserRequest{Id: 3, Password: ptr(horse)}, "3 bob")
	r.wants(t, &v1.RemoveUserRequest{Id: 3}, "removed")
	if got := has(horse); got != mc.ErrPasswordDiffers {
		t.Errorf("who is removed leaves his password: %v", got)
	}
	for _, l := range r.logs {
		for _, p := range []string{horse, longest, sixteen} {
			if strings.Contains(l.String(), p) {
				t.Errorf("%q is in the log", p)
			}
		}
	}
	log := r.log.String()[before:]
	for what, want := range map[string]int{"added": 1, "changed": 5, "removed": 1} {
		if n := len(regexp.MustCompile(`msg="[a-z :]*user `+what+`".*by=admin/root`).FindAllString(log, -1)); n != want {
			t.Errorf("%d lines tell of %d users %s:\n%s", n, want, what, log)
		}
	}
}

// Who may call what. At a replica the others may, who pass on.
func usersRoles(t *testing.T, r *usersRig) {
	const past, refused, unknown = "NotFound", "PermissionDenied", "Unauthenticated"
	change := []any{
		&v1.ChangeUserRequest{Name: "eve", Sol: ptr(true)}, &v1.RemoveUserRequest{Name: "eve"},
		&v1.AddUserRequest{Name: "admin", Password: horse, Privilege: 4},
	}
	ofReplica := past
	if strings.Contains(t.Name(), "/node/") {
		ofReplica = refused
	}
	for subject, want := range map[string]string{
		nobody: unknown, "viewer/v": refused, "operator/o": refused, "admin/a": past, "node/rack/1": refused, "replica/shm9": ofReplica,
	} {
		for _, q := range change {
			want := want
			if _, ok := q.(*v1.AddUserRequest); ok && want == past {
				want = "AlreadyExists"
			}
			if got := r.ask(t.Context(), subject, q); !strings.HasPrefix(got, want) {
				t.Errorf("%s: %T: %s, want %s", subject, q, got, want)
			}
		}
		may := want == past || subject == "operator/o"
		if got := r.ask(t.Context(), subject, &v1.ListUsersRequest{}); strings.HasPrefix(got, "2 admin") != may {
			t.Errorf("%s lists: %s", subject, got)
		}
	}
}

// A shelf that is not there has no users, and its name is no way past the policy.
func usersOfAnotherShelf(t *testing.T, r *usersRig) {
	for _, q := range []any{
		&v1.ListUsersRequest{Shelf: "other"}, &v1.AddUserRequest{Shelf: "other", Name: "bob", Password: horse, Privilege: 2},
		&v1.ChangeUserRequest{Shelf: "other", Id: 2}, &v1.RemoveUserRequest{Shelf: "other", Id: 2},
	} {
		r.wants(t, q, "NotFound: ")
	}
	r.wants(t, &v1.ListUsersRequest{Shelf: "rack"}, "2 admin")
}

// Who comes to a place does not inherit what another had there at other channels.
func TestUsersInheritNothing(t *testing.T) {
	r, serial := nodeRig(t), byte(2)
	give := func() {
		t.Helper()
		for _, c := range [][]byte{{0x43, 0x90 | serial, 3, 4, 5}, {0x4C, serial, 3, 2, 0, 0, 0}} {
			if got := r.raw(ipmb.Cmd(c[0]), c[1:]...); got.Code != ipmb.OK {
				t.Fatal(got)
			}
		}
	}
	check := func() {
		t.Helper()
		access, payloads := r.raw(0x44, serial, 3), r.raw(0x4D, serial, 3)
		if access.Data[3]&limitMask != byte(mc.NoAccess) || payloads.Data[0] != 0 {
			t.Errorf("% x, % x", access.Data, payloads.Data)
		}
	}
	r.wants(t, &v1.AddUserRequest{Name: "bob", Password: horse, Privilege: 4}, "3 bob")
	give()
	r.wants(t, &v1.RemoveUserRequest{Name: "bob"}, "removed")
	check()
	give() // as who takes a name away by the commands, and leaves the rest
	r.wants(t, &v1.AddUserRequest{Name: "eve", Password: horse, Privilege: 2}, "3 eve on 2 -")
	check()
}

// A user that cannot be made whole is not made at all.
func TestUsersHalfMade(t *testing.T) {
	sets := []ipmb.Cmd{cmdSetUserAccess, cmdSetUserName, cmdSetUserPassword, cmdSetUserPayloads}
	r := nodeRig(t)
	for fails := 1; ; fails++ {
		n := 0
		a := accounts{log: func() *slog.Logger { return slog.New(slog.DiscardHandler) }, do: func(_ context.Context, q *ipmb.Request) (ipmb.Response, error) {
			if slices.Contains(sets, q.Cmd) {
				if n++; n == fails {
					return ipmb.Response{Code: ipmb.ErrBusy}, nil
				}
			}
			return r.raw(q.Cmd, q.Data...), nil
		}}
		_, err := a.add(t.Context(), &v1.AddUserRequest{Name: "bob", Password: horse, Privilege: 3})
		if n < fails { // there is no such command any more
			if err != nil || fails < 6 {
				t.Errorf("%d commands: %v", fails, err)
			}
			return
		}
		if err == nil {
			t.Errorf("command %d failed, and nobody says so", fails)
		}
		r.wants(t, &v1.ListUsersRequest{}, "2 admin on 4 -")
		if got := r.ask(t.Context(), "admin/root", &v1.ListUsersRequest{}); strings.Contains(got, "bob") {
			t.Fatalf("command %d failed: %s", fails, got)
		}
	}
}

// Of many who make the same user at once, one does.
func TestUsersAtOnce(t *testing.T) {
	r := nodeRig(t)
	got := make([]string, 8)
	var group sync.WaitGroup
	for i := range got {
		group.Go(func() {
			got[i] = r.ask(t.Context(), "admin/root", &v1.AddUserRequest{Name: "bob", Password: horse, Privilege: 3})
		})
	}
	group.Wait()
	slices.Sort(got)
	if got[0] != "3 bob on 3 -" || !strings.HasPrefix(got[1], "AlreadyExists") {
		t.Error(got)
	}
	r.wants(t, &v1.RemoveUserRequest{Name: "bob"}, "removed")
	r.wants(t, &v1.RemoveUserRequest{Name: "bob"}, "NotFound")
}
