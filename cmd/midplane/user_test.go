package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/midplane-project/midplane/internal/problem"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// fakeUsers notes what it is asked, and answers as it is told.
type fakeUsers struct {
	v1.UnimplementedUsersServer
	mu      sync.Mutex
	asked   []proto.Message
	answer  *v1.User
	refusal error
}

func (f *fakeUsers) note(m proto.Message) (*v1.User, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, m)
	return f.answer, f.refusal
}

// took gives what was asked since, as the only message of its kind.
func (f *fakeUsers) took(t *testing.T, into proto.Message) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asked) != 1 || f.asked[0].ProtoReflect().Descriptor() != into.ProtoReflect().Descriptor() {
		t.Fatalf("asked: %v", f.asked)
	}
	proto.Merge(into, f.asked[0])
	f.asked = nil
}

func (f *fakeUsers) List(_ context.Context, r *v1.ListUsersRequest) (*v1.ListUsersResponse, error) {
	u, err := f.note(r)
	return &v1.ListUsersResponse{Users: []*v1.User{{Id: 1, Enabled: true, Privilege: 15}, u}, Capacity: 16}, err
}

func (f *fakeUsers) Add(_ context.Context, r *v1.AddUserRequest) (*v1.User, error) { return f.note(r) }

func (f *fakeUsers) Change(_ context.Context, r *v1.ChangeUserRequest) (*v1.User, error) {
	return f.note(r)
}

func (f *fakeUsers) Remove(_ context.Context, r *v1.RemoveUserRequest) (*v1.RemoveUserResponse, error) {
	_, err := f.note(r)
	return &v1.RemoveUserResponse{}, err
}

func bob() *v1.User { return &v1.User{Id: 3, Name: "bob", Enabled: true, Privilege: 3, Sol: true} }

// fields is a text with one space between words.
func fields(text string) string { return strings.Join(strings.Fields(text), " ") }

const typedIn = "Horse battery"

// What the verbs ask for, at a node and at the leader of the shelf.
func TestUserVerbs(t *testing.T) {
	s := newFakeShelf(t)
	s.whole()
	s.nodes["blade1"].users.answer, s.replicas["shm2"].users.answer = bob(), bob()
	const line = "ID NAME ENABLED PRIVILEGE SOL 3 bob yes operator yes"
	for _, c := range []struct{ args, asked, says string }{
		{"list T", ``, "ID NAME ENABLED PRIVILEGE SOL 1 - yes none no 3 bob yes operator yes"},
		{"add T bob", `name: "bob" password: "Horse battery" privilege: 2`, line},
		{"add T bob --privilege operator --sol", `name: "bob" password: "Horse battery" privilege: 3 sol: true`, line},
		{"set T bob --name robert", `name: "bob" new_name: "robert"`, line},
		{"set T 3 --privilege none --sol=false", `id: 3 privilege: 15 sol: false`, line},
		{"password T bob", `name: "bob" password: "Horse battery"`, line},
		{"enable T bob", `name: "bob" enabled: true`, line},
		{"disable T 300", `id: 300 enabled: false`, line},
		{"priv T bob admin", `name: "bob" privilege: 4`, line},
		{"priv T 0 callback", `name: "0" privilege: 1`, line},
		{"rm T bob", `name: "bob"`, ""},
		{"rm T 3", `id: 3`, ""},
	} {
		for target, f := range map[string]*fakeUsers{"blade1": &s.nodes["blade1"].users, "shelf": &s.replicas["shm2"].users} {
			args := strings.Fields("user " + strings.Replace(c.args, "T", target, 1))
			got := s.feed(typedIn+"\n", args...)
			var want, asked proto.Message
			switch args[1] {
			case "list":
				want, asked = new(v1.ListUsersRequest), new(v1.ListUsersRequest)
			case "add":
				want, asked = new(v1.AddUserRequest), new(v1.AddUserRequest)
			case "rm":
				want, asked = new(v1.RemoveUserRequest), new(v1.RemoveUserRequest)
			default:
				want, asked = new(v1.ChangeUserRequest), new(v1.ChangeUserRequest)
			}
			if err := prototext.Unmarshal([]byte(c.asked+` shelf: "demo"`), want); err != nil {
				t.Fatal(err)
			}
			if f.took(t, asked); !proto.Equal(asked, want) {
				t.Errorf("%v\n asked %v\n want  %v", args, asked, want)
			}
			if got.code != 0 || fields(got.out) != c.says && args[1] != "rm" || strings.Contains(got.out+got.err, typedIn) {
				t.Errorf("%v: %+v", args, got)
			}
		}
	}
}

// Mistakes that nobody is asked for, and an argument that is no place for a
// password.
func TestUserMistakes(t *testing.T) {
	s := newFakeShelf(t)
	n := s.node("blade1")
	for args, words := range map[string]string{
		"add blade1 bob --privilege root":    "callback, user, operator, admin or none",
		"priv blade1 bob 4":                  "callback, user, operator, admin or none",
		"set blade1 bob --privilege OEM":     "callback, user, operator, admin or none",
		"set blade1 bob":                     "says what to change",
		"add blade1 5":                       "taken for the user of that number",
		"set blade1 bob --name 5":            "taken for the user of that number",
		"add blade1 bob Sesame":              "accepts 2 arg",
		"add blade1 bob --password Sesame":   "unknown flag",
		"password blade1 bob -p=Sesame":      "unknown shorthand",
		"password blade1 bob Sesame":         "accepts 2 arg",
		"password blade1 --generate=Sesame":  "invalid",
		"password blade1":                    "accepts 2 arg",
		"add blade1 bob":                     "on standard input, or --generate",
		"password blade1 bob --generate now": "accepts 2 arg",
	} {
		got := s.run(append([]string{"user"}, strings.Fields(args)...)...)
		if got.code != 2 || !strings.Contains(got.err, words) {
			t.Errorf("%s: %+v", args, got)
		}
	}
	if got := s.run("user", "add", "blade9", "bob", "-g"); got.code != 3 {
		t.Errorf("%+v", got)
	}
	if len(n.users.asked) > 0 {
		t.Errorf("asked: %v", n.users.asked)
	}
}

// What the daemon refuses has the exit code that it has elsewhere, and shows no
// password, not even one that was made up.
func TestUserRefused(t *testing.T) {
	s := newFakeShelf(t)
	s.whole()
	f := &s.nodes["blade1"].users
	for code, exit := range map[codes.Code]int{
		codes.NotFound: 3, codes.InvalidArgument: 2, codes.PermissionDenied: int(problem.Refused), codes.AlreadyExists: 1, codes.ResourceExhausted: 1,
	} {
		f.refusal = status.Error(code, "there is a reason")
		for _, args := range []string{"list blade1", "add blade1 bob -g", "password blade1 bob", "enable blade1 bob", "rm blade1 bob"} {
			f.asked = nil
			got := s.feed(typedIn, append([]string{"user"}, strings.Fields(args)...)...)
			if got.code != exit || got.err != "midplane: blade1: there is a reason\n" || got.out != "" || len(f.asked) != 1 {
				t.Errorf("%v: %s: %+v", code, args, got)
			}
		}
	}
	s.stop("blade1")
	if got := s.feed(typedIn, "user", "rm", "blade1", "bob"); got.code == 0 || !strings.Contains(got.err, "blade1 does not answer") {
		t.Errorf("%+v", got)
	}
}

// A password that is made up is shown once, and is the one that is set.
func TestUserGenerate(t *testing.T) {
	s := newFakeShelf(t)
	f := &s.node("blade1").users
	f.answer = bob()
	seen := map[string]bool{}
	for _, verb := range []string{"add", "password"} {
		got := s.feed("ignored", "user", verb, "blade1", "bob", "--generate")
		var set string
		if verb == "add" {
			m := new(v1.AddUserRequest)
			f.took(t, m)
			set = m.Password
		} else {
			m := new(v1.ChangeUserRequest)
			f.took(t, m)
			set = m.GetPassword()
		}
		if want := fmt.Sprintf("password of bob: %s (shown this once)\n", set); got.err != want || len(set) != 16 || seen[set] || strings.Contains(got.out, set) {
			t.Errorf("%s: %+v, set %q", verb, got, set)
		}
		seen[set] = true
	}
}

// The administrator's password is noted where env and ipmi read it, as it was
// typed; other users' are not.
func TestUserPasswordOfAdmin(t *testing.T) {
	s := withDoors(t)
	s.openDoors()
	s.whole()
	path := s.lab.Doors()[1].PasswordFile
	f := &s.nodes["blade1"].users
	f.answer = bob()
	if got := s.feed(typedIn, "user", "password", "blade1", "bob"); got.code != 0 {
		t.Errorf("%+v", got)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != doorPassword+"\n" {
		t.Errorf("%q, %v", text, err)
	}
	if got := s.run("env", "--freeipmi", "blade1"); got.code != 0 {
		t.Errorf("%+v", got)
	}
	f.answer = &v1.User{Id: 2, Name: "admin", Enabled: true, Privilege: 4}
	const odd = ` it's "odd" `
	if got := s.feed(odd+"\r\n", "user", "password", "blade1", "2"); got.code != 0 || strings.Contains(got.out+got.err, "odd") {
		t.Errorf("%+v", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if got := s.run("ipmi", "blade1", "mc", "info"); !strings.HasSuffix(got.out, "<mc><info> "+odd+"\n") {
		t.Errorf("%+v", got)
	}
	if text, err := os.ReadFile(filepath.Join(filepath.Dir(path), "freeipmi.conf")); err != nil || !strings.Contains(string(text), "password "+odd+"\n") {
		t.Errorf("%s, %v", text, err)
	}
	const again = "made anew" // who was removed and is there again
	if got := s.feed(again, "user", "add", "blade1", "admin", "--privilege", "admin"); got.code != 0 {
		t.Errorf("%+v", got)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != again+"\n" {
		t.Errorf("%q, %v", text, err)
	}
}
