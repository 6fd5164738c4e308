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

// atTerminal runs the command on a terminal of its own, on which somebody types
// before the command is there to read.
func atTerminal(t *testing.T, early string, args ...string) *ptytest.Terminal {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "midplane")
	if err := os.Symlink(exe, link); err != nil {
		t.Fatal(err)
	}
	p := ptytest.Start(t, "sh", append([]string{"-c", `read gate; exec "$0" "$@"`, link}, args...)...)
	p.Types("go\n" + early)
	p.Sees("go")
	if early != "" {
		p.Sees(strings.TrimSpace(early)) // that it is shown nobody can help
	}
	return p
}

// Passwords are typed twice, and not shown. Who mistypes, gives up or interrupts
// changes nothing, and has his terminal as it was. What was typed too early counts
// for nothing.
func TestSecretTyped(t *testing.T) {
	s := newFakeShelf(t)
	f := &s.node("blade1").users
	f.answer = bob()
	const first, again = "New password of bob: ", "Again: "
	for name, c := range map[string]struct {
		early, types, then string // the last is typed at a prompt of its own
		want               string
	}{
		"same":             {"", "Sesame 1\n", "Sesame 1\n", "operator"},
		"too early":        {"Early 1\n", "Sesame 1\n", "Sesame 1\n", "operator"},
		"in one go":        {"", "Sesame 1\nSesame 1\n", "", "operator"},
		"another":          {"", "Sesame 1\n", "Sesame 2\n", "midplane: the two differ; nothing was changed"},
		"none":             {"", "\n", "\n", "midplane: an empty password lets nobody in; nothing was changed"},
		"interrupt":        {"", "Ses\x03", "", "midplane: interrupted; nothing was changed"},
		"interrupt, again": {"", "Sesame 1\n", "\x03", "midplane: interrupted; nothing was changed"},
		"end":              {"", "\x04", "", "midplane: no password was typed; nothing was changed"},
		"end of a line":    {"", "Ses\x04\x04", "", "midplane: no password was typed; nothing was changed"},
		"end, again":       {"", "Sesame 1\n", "\x04", "midplane: no password was typed; nothing was changed"},
	} {
		t.Run(name, func(t *testing.T) {
			p := atTerminal(t, c.early, "user", "password", "blade1", "bob")
			shown := p.Sees(first)
			if p.Echoes() {
				t.Error("the prompt is there before the echo is off")
			}
			p.Types(c.types)
			if c.then != "" {
				shown += p.Sees(again)
				p.Types(c.then)
			}
			shown += p.Sees(c.want)
			err := p.Ends()
			good := c.want == "operator"
			if (err == nil) != good {
				t.Error(err)
			}
			if strings.Contains(shown, "Ses") || !p.Echoes() {
				t.Errorf("shown: %q; the terminal echoes again: %v", shown, p.Echoes())
			}
			if good {
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
