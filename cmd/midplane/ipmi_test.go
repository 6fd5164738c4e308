package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const doorPassword = "Sixteen0Letters1"

// withDoors gives the nodes' doors a password, and puts an ipmitool of the
// test's own in the way of the real one, which says how it was called.
func withDoors(t *testing.T) *fakeShelf {
	t.Helper()
	s := newFakeShelf(t)
	for _, d := range s.lab.Doors() {
		writeFile(t, d.PasswordFile, doorPassword+"\n")
	}
	bin := t.TempDir()
	tool := filepath.Join(bin, "ipmitool")
	writeFile(t, tool, `#!/bin/sh
printf '<%s>' "$@"; echo " $IPMITOOL_PASSWORD"; cat; echo oops >&2
[ "$9" = kill ] && kill -9 $$
exit 42
`)
	if err := os.Chmod(tool, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	return s
}

func TestIPMI(t *testing.T) {
	s := withDoors(t)
	at := func(slot string) string {
		return "<-I><lanplus><-H><127.77.1." + slot + "><-p><623><-U><admin><-E>"
	}
	for _, c := range []struct {
		args string
		want result
	}{
		{"ipmi blade2 sdr elist", result{at("2") + "<sdr><elist> " + doorPassword + "\ntyped", "oops\n", 42}},
		{"ipmi 1 -v --shelf x", result{at("1") + "<-v><--shelf><x> " + doorPassword + "\ntyped", "oops\n", 42}},
		{"ipmi shelf -b 0 -t 0x90 mc info", result{at("0") + "<-b><0><-t><0x90><mc><info> " + doorPassword + "\ntyped", "oops\n", 42}},
		{"ipmi 0x90 mc info", result{at("0") + "<-b><0><-t><0x90><mc><info> " + doorPassword + "\ntyped", "oops\n", 42}},
		{"ipmi 0x84 -- -h", result{at("2") + "<-h> " + doorPassword + "\ntyped", "oops\n", 42}},
	} {
		if got := s.feed("typed", strings.Fields(c.args)...); got != c.want {
			t.Errorf("%s\n got  %+v\n want %+v", c.args, got, c.want)
		}
	}
	for args, words := range map[string]string{
		"ipmi blade1":         "midplane ipmi blade1 mc info",
		"ipmi blade9 mc info": "no TARGET",
	} {
		if got := s.run(strings.Fields(args)...); got.code != 125 || !strings.Contains(got.err, words) {
			t.Errorf("%s: %+v", args, got)
		}
	}
	t.Setenv("PATH", t.TempDir())
	if got := s.run("ipmi", "blade1", "mc", "info"); got.code != 125 || !strings.Contains(got.err, "apt install ipmitool") {
		t.Errorf("%+v", got)
	}
}

// An ipmitool that a signal ended is told apart from one that failed.
func TestIPMIEndedByASignal(t *testing.T) {
	s := withDoors(t)
	writeFile(t, filepath.Join(strings.Split(os.Getenv("PATH"), ":")[0], "ipmitool"), "#!/bin/sh\nkill -9 $$\n")
	if got := s.run("ipmi", "blade1", "mc", "info"); got.code != 137 {
		t.Errorf("%+v", got)
	}
}

// What env prints does the same in all shells, with and without quotes.
func TestEnv(t *testing.T) {
	s := withDoors(t)
	text := s.run("env", "blade2")
	if text.code != 0 || text.err != "" {
		t.Fatalf("%+v", text)
	}
	want := "ipmitool -I lanplus -H 127.77.1.2 -p 623 -U admin -E|" + doorPassword
	for _, shell := range []string{"sh", "bash"} {
		for _, eval := range []string{`eval $(cat "$1")`, `eval "$(cat "$1")"`, `. "$1"`} {
			file := filepath.Join(t.TempDir(), "env")
			writeFile(t, file, text.out)
			script := eval + `; sh -c 'printf "%s|%s" "$IPMITOOL" "$IPMITOOL_PASSWORD"'`
			out, err := exec.Command(shell, "-c", script, shell, file).CombinedOutput()
			if err != nil || string(out) != want {
				t.Errorf("%s: %s: %q, %v", shell, eval, out, err)
			}
		}
	}
	first := s.run("env")
	if first.code != 0 || !strings.Contains(first.out, "127.77.1.0") || first.err != "" {
		t.Errorf("%+v", first)
	}
	if got := s.run("env", "0x90"); got.code != 3 || !strings.Contains(got.err, "these have one: shelf, blade1, blade2") {
		t.Errorf("%+v", got)
	}
	if err := os.Remove(s.lab.Doors()[0].PasswordFile); err != nil {
		t.Fatal(err)
	}
	if got := s.run("env"); got.code != 3 || !strings.Contains(got.err, "midplane up makes it") {
		t.Errorf("%+v", got)
	}
}

func TestEnvForFreeIPMI(t *testing.T) {
	s := withDoors(t)
	got := s.run("env", "--freeipmi", "blade1")
	if got.code != 0 || !strings.Contains(got.out, "\nbmc-info --config-file=HOME/demo/nodes/blade1/freeipmi.conf -h 127.77.1.1:623\n") {
		t.Errorf("%+v", got)
	}
	if strings.Contains(got.out, doorPassword) {
		t.Error("it shows the password")
	}
}

// Where the shelf manager has no door, the first node's serves.
func TestEnvWithoutTheShelfsDoor(t *testing.T) {
	s := withDoors(t)
	writeFile(t, filepath.Join(s.lab.StateDir, "shelf.yaml"), "lan: off\ndefaults: {lan: on}\n"+fakeShelfFile)
	first := s.run("env")
	if first.code != 0 || !strings.Contains(first.out, "127.77.1.1") || !strings.Contains(first.err, "this is blade1's") {
		t.Errorf("%+v", first)
	}
	for args, words := range map[string]string{"env shelf": "shelf.yaml says so", "ipmi 0x90 mc info": "0x90 has no LAN door"} {
		if got := s.run(strings.Fields(args)...); !strings.Contains(got.err, words) || !strings.Contains(got.err, "these have one: blade1, blade2") {
			t.Errorf("%s: %+v", args, got)
		}
	}
}
