package main

import (
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/internal/problem"
)

// daemonSays runs a daemon that cannot start, and gives what it says.
func daemonSays(t *testing.T, args ...string) (said string, code int) {
	t.Helper()
	var err strings.Builder
	code = (&app{in: strings.NewReader(""), out: io.Discard, err: &err}).execute(t.Context(), args)
	return strings.TrimPrefix(err.String(), "midplane: "), code
}

// A file that is not there is told from one that cannot be understood.
func TestConfigExitCodes(t *testing.T) {
	dir := t.TempDir()
	missing, broken := filepath.Join(dir, "missing"), filepath.Join(dir, "broken")
	writeFile(t, broken, "{")
	for _, verb := range []string{"node", "shelf", "front", "compact"} {
		for file, want := range map[string]problem.Code{missing: problem.NotFound, broken: problem.Usage, dir: problem.Usage, "": problem.Usage} {
			args := []string{verb}
			if file != "" {
				args = append(args, "--config", file)
			}
			if said, code := daemonSays(t, args...); code != int(want) || !strings.Contains(said, file) {
				t.Errorf("%v: exit code %d, want %d: %s", args, code, want, said)
			}
		}
	}
}

// Who gave a bad value by a flag is told of the flag, not of a key.
func TestChecksNameFlags(t *testing.T) {
	alone := []string{"node", "--standalone", "--dir", "d", "--vm", "unix:/x"}
	board := []string{"node", "--shelf", "lab", "--dir", "d"}
	replica := []string{"shelf"}
	for _, tt := range []struct {
		args  []string
		flags map[string]string // flag to value; empty: the flag is left out
		says  string
	}{
		{alone, map[string]string{"lan": "127.0.0.1:1", "lan-suites": "0"}, "--lan-suites: 0 leaves messages unsigned or readable; it is to be had with --lan-unsafe-suites only"},
		{alone, map[string]string{"lan": "127.0.0.1:1", "lan-v15": "md2"}, `--lan-v15: "md2" is`},
		{alone, map[string]string{"lan": "here"}, "--lan: "},
		{alone, map[string]string{"interface": "x"}, `--interface: "x" is none`},
		{alone, map[string]string{"sel-capacity": "1"}, "--sel-capacity: 1 is not"},
		{alone, map[string]string{"sel-overflow": "x"}, `--sel-overflow: "x" is`},
		{alone, map[string]string{"serial": "terminal=guest"}, "--serial[0]: listen: "},
		{board, map[string]string{"slot": "99"}, "--slot: 99 is not"},
		{board, map[string]string{"profile": "x"}, `--profile: "x" is`},
		{board, map[string]string{"replica": ""}, "--replica: a node"},
		{board, map[string]string{"pki": ""}, "--pki: a node"},
		{[]string{"node", "--shelf", "lab"}, map[string]string{"dir": ""}, "--dir: where"},
		{replica, map[string]string{"name": ""}, "--name: which"},
		{replica, map[string]string{"dir": ""}, "--dir: where"},
		{replica, map[string]string{"listen": ""}, "--listen: HOST:PORT"},
		{replica, map[string]string{"expect": "0"}, "--expect: 0"},
		{replica, map[string]string{"expect": "3", "seed": ""}, "--seed: where are the other 2"},
		{replica, map[string]string{"timing": "x"}, `--timing: "x" is`},
		{replica, map[string]string{"pki": ""}, "--pki: a replica"},
	} {
		args := tt.args
		for flag, value := range tt.flags {
			if value != "" {
				args = append(args[:len(args):len(args)], "--"+flag+"="+value)
			}
		}
		said, code := daemonSays(t, args...)
		if code != int(problem.Usage) || !hasLine(said, tt.says) {
			t.Errorf("%v: exit code %d: %s", args, code, said)
		}
	}
}

// Beside a file each mistake is named where it was made.
func TestChecksNameFlagsBesideAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.json")
	writeFile(t, path, `{"slot": 1, "sel": {"overflow": "x"}, "lan": {"listen": "127.0.0.1:1"}}`)
	said, _ := daemonSays(t, "node", "--shelf", "lab", "--config", path, "--lan-suites", "99")
	for _, line := range []string{"--lan-suites: 99 is", path + ": sel: overflow: ", path + ": pki: "} {
		if !hasLine(said, line) {
			t.Errorf("no line %q in: %s", line, said)
		}
	}
}

func hasLine(text, begins string) bool {
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), begins) {
			return true
		}
	}
	return false
}
