package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/internal/ptytest"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// A line of standard input is the password: its end is not part of it, spaces are.
func TestSecretFromStandardInput(t *testing.T) {
	for in, want := range map[string]string{
		"Sesame": "Sesame", "Sesame\n": "Sesame", "Sesame\r\n": "Sesame", " two words \nrest\n": " two words ",
		"": "", "\n": "", "\r\n": "",
		strings.Repeat("x", 3*maxSecretLine): strings.Repeat("x", maxSecretLine), // too long for anybody
	} {
		got, err := (&app{in: strings.NewReader(in)}).secret(t.Context(), secretFlags{}, "bob")
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%.20q: %.20q, %v", in, got, err)
		}
	}
}

// atTerminal runs the command on a terminal of its own.
func atTerminal(t *testing.T, args ...string) *ptytest.Terminal {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "midplane")
	if err := os.Symlink(exe, link); err != nil {
		t.Fatal(err)
	}
	return ptytest.Start(t, link, args...)
}

// Passwords are typed twice. Who mistypes or interrupts changes nothing.
func TestSecretTyped(t *testing.T) {
	s := newFakeShelf(t)
	f := &s.node("blade1").users
	f.answer = bob()
	const first, again = "New password of bob: ", "Again: "
	for name, c := range map[string]struct {
		at, types, then string // the second line is typed at a prompt of its own
		want            string
	}{
		"same":             {first, "Sesame 1\n", "Sesame 1\n", "operator"},
		"another":          {first, "Sesame 1\n", "Sesame 2\n", "midplane: the two differ; nothing was changed"},
		"none":             {first, "\n", "\n", "an empty password lets nobody in; nothing was changed"},
		"interrupt":        {first, "Ses\x03", "", "interrupted; nothing was changed"},
		"interrupt, again": {first, "Sesame 1\n", "\x03", "interrupted; nothing was changed"},
	} {
		t.Run(name, func(t *testing.T) {
			p := atTerminal(t, "user", "password", "blade1", "bob")
			p.Sees(c.at)
			p.Types(c.types)
			if c.then != "" {
				p.Sees(again)
				p.Types(c.then)
			}
			p.Sees(c.want)
			err := p.Ends()
			if (err == nil) != (name == "same") {
				t.Error(err)
			}
			if name == "same" {
				m := new(v1.ChangeUserRequest)
				if f.took(t, m); m.GetPassword() != "Sesame 1" {
					t.Errorf("%q", m.GetPassword())
				}
			} else if len(f.asked) > 0 {
				t.Errorf("asked: %v", f.asked)
			}
		})
	}
}
