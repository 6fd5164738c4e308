package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

func TestExec(t *testing.T) {
	s := newFakeShelf(t)
	s.node("blade1").exec = func(_ context.Context, q *v1.ExecRequest) (string, string, int32, int32, error) {
		switch q.Argv[0] {
		case "none":
			return "", "", 0, 0, status.Error(codes.Unavailable, "guest-exec: no such program")
		case "killed":
			return "", "", 0, 9, nil
		}
		return fmt.Sprintf("%q in %q env %q limit %d\n", q.Argv, q.Input, q.Env, q.TimeoutSeconds), "to stderr\n", 42, 0, nil
	}
	for _, c := range []struct {
		args string
		want result
	}{
		{"exec blade1 -- ls -l --x", result{"[\"ls\" \"-l\" \"--x\"] in \"\" env [] limit 0\n", "to stderr\n", 42}},
		{"exec 0x82 -i -e A=1 --timeout 1500ms -- cat", result{"[\"cat\"] in \"piped\" env [\"A=1\"] limit 2\n", "to stderr\n", 42}},
		{"exec 1 -- killed", result{"", "", 137}},
		{"exec blade1 -- none", result{"", "midplane: blade1: guest-exec: no such program\n", 125}},
	} {
		if got := s.feed("piped", strings.Fields(c.args)...); got != c.want {
			t.Errorf("%s\n got  %+v\n want %+v", c.args, got, c.want)
		}
	}
	if got := s.feed(strings.Repeat("x", inputLimit+1), "exec", "blade1", "-i", "--", "cat"); got.code != 125 || !strings.Contains(got.err, "midplane cp") {
		t.Errorf("too much input: %+v", got)
	}
}

// A followed SEL goes on where it was, also after it was cleared.
func TestFollowSEL(t *testing.T) {
	s := newFakeShelf(t)
	n := s.node("blade1")
	record := func(id byte) []byte { return append([]byte{id, 0, 0xE0, id}, make([]byte, 12)...) }
	n.sel = [][]byte{record(1), record(2)}
	l, err := s.lab.ResolveTarget("blade1")
	if err != nil {
		t.Fatal(err)
	}
	log := openSEL(s.lab, l)
	defer log.close()
	for _, step := range []struct {
		sel  [][]byte
		want []uint16
	}{
		{[][]byte{record(1), record(2)}, []uint16{1, 2}},
		{[][]byte{record(1), record(2)}, nil},
		{[][]byte{record(1), record(2), record(3), record(4)}, []uint16{3, 4}},
		{[][]byte{record(1)}, []uint16{1}},
		{nil, nil},
	} {
		n.sel = step.sel
		got, err := log.more(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var ids []uint16
		for _, r := range got {
			ids = append(ids, r.ID)
		}
		if !slices.Equal(ids, step.want) {
			t.Errorf("%d records: read %v, want %v", len(step.sel), ids, step.want)
		}
	}
}

func TestCopyBothWays(t *testing.T) {
	s := newFakeShelf(t)
	n := s.node("blade1")
	dir := t.TempDir()
	src := filepath.Join(dir, "probe.sh")
	text := strings.Repeat("0123456789", 12_345)
	writeFile(t, src, text)
	if err := os.Chmod(src, 0o750); err != nil {
		t.Fatal(err)
	}
	if got := s.run("cp", src, "blade1:/tmp/"); got.code != 0 {
		t.Fatal(got)
	}
	if string(n.files["/tmp/probe.sh"]) != text || n.modes["/tmp/probe.sh"] != 0o750 {
		t.Errorf("the guest has %d bytes, mode %o", len(n.files["/tmp/probe.sh"]), n.modes["/tmp/probe.sh"])
	}
	back := t.TempDir()
	if got := s.run("cp", "blade1:/tmp/probe.sh", back); got.code != 0 {
		t.Fatal(got)
	}
	if data, err := os.ReadFile(filepath.Join(back, "probe.sh")); err != nil || string(data) != text {
		t.Errorf("%d bytes came back, %v", len(data), err)
	}
	if got := s.feed("typed", "cp", "-", "blade1:/x"); got.code != 0 || string(n.files["/x"]) != "typed" {
		t.Errorf("%+v, %q", got, n.files["/x"])
	}
	if got := s.run("cp", "blade1:/x", "-"); got.out != "typed" {
		t.Errorf("%+v", got)
	}
	if got := s.run("cp", "blade1:/none", filepath.Join(back, "none")); got.code != 3 {
		t.Errorf("%+v", got)
	}
	if left, _ := filepath.Glob(filepath.Join(back, "*none*")); len(left) != 0 {
		t.Errorf("a failed copy left %q", left)
	}
}

func TestConsoleWithoutTerminal(t *testing.T) {
	s := newFakeShelf(t)
	s.node("blade1")
	if got := s.feed("exit", "console", "blade1"); got.out != "login: [exit]" || got.code != 0 {
		t.Errorf("%+v", got)
	}
	if got := s.feed("exit", "console", "blade1", "--read-only", "--for", "2s"); got.out != "watching" || got.code != 0 {
		t.Errorf("read-only: %+v", got)
	}
}

func TestEscapes(t *testing.T) {
	for _, c := range []struct {
		keys []string
		pass string
		left bool
		help bool
	}{
		{[]string{"~."}, "", true, false},
		{[]string{"ls\r~."}, "ls\r", true, false},
		{[]string{"ls\r", "~", ".", "x"}, "ls\r", true, false},
		{[]string{"a~."}, "a~.", false, false},
		{[]string{"~~."}, "~.", false, false},
		{[]string{"~x"}, "~x", false, false},
		{[]string{"~\r~."}, "~\r", true, false},
		{[]string{"~?~."}, "", true, true},
		{[]string{"~B", "x"}, "x", false, false},
	} {
		var help, pass bytes.Buffer
		e := &escapes{out: &help, start: true, on: true}
		left := false
		for _, k := range c.keys {
			if left {
				break
			}
			var p []byte
			p, left = e.filter([]byte(k))
			pass.Write(p)
		}
		if e.broke != (c.keys[0] == "~B") {
			t.Errorf("%q: break %v", c.keys, e.broke)
		}
		if pass.String() != c.pass || left != c.left || (help.Len() > 0) != c.help {
			t.Errorf("%q: passed %q, left %v, help %q", c.keys, pass.String(), left, help.String())
		}
	}
	off := &escapes{start: true}
	if p, left := off.filter([]byte("~.")); string(p) != "~." || left {
		t.Error("without a terminal ~. is text")
	}
}

func TestBackupAndRestore(t *testing.T) {
	s := newFakeShelf(t)
	s.whole()
	file := filepath.Join(t.TempDir(), "b")
	if got := s.run("backup", file); got.code != 0 || !strings.HasSuffix(got.out, ": 23 bytes from shm2\n") {
		t.Fatalf("%+v", got)
	}
	if got := s.run("restore", file); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	if got := string(s.replicas["shm2"].restored); got != "the whole state of shm2" {
		t.Errorf("restored %q", got)
	}
	writeFile(t, file, "x")
	if got := s.run("restore", file); got.code != 2 || got.err != "midplane: shm2: this is not a shelf backup\n" {
		t.Errorf("%+v", got)
	}
}

// Nothing that is a key or a password leaves with a bundle.
func TestCollectLeavesSecretsOut(t *testing.T) {
	s := newFakeShelf(t)
	s.whole()
	const secret = "hunter2"
	pem := "-----BEGIN PRIVATE KEY-----\n" + secret + "\n-----END PRIVATE KEY-----\n"
	state := s.lab.StateDir
	for path, text := range map[string]string{
		"pki/ca-key.pem": pem, "lan-password": secret, "nodes/blade1/lan-password": secret, "nodes/blade1/freeipmi.conf": "password " + secret,
		"replicas/shm1/raft.db": secret, "nodes/blade1/state.db": secret,
		"logs/shm1.log":            "before\n" + pem + "after\nlogin password=" + secret + " from x\n",
		"logs/node-blade1.log":     "-----BEGIN EC PRIVATE KEY-----\n" + secret + "\ncut off",
		"nodes/blade1/node.json":   `{"extra": ["-object", "secret,id=s0,data=` + secret + `", "--password", "` + secret + `"], "api_key": "` + secret + `"}`,
		"nodes/blade1/console.log": "wget ftp://me:" + secret + "@host/x\nPASSWORD: " + secret + "\n",
		"run/plan.json":            `{"argv": ["-vnc-secret=` + secret + `"]}`,
	} {
		writeFile(t, filepath.Join(state, path), text)
	}
	s.nodes["blade1"].status.CommandLine = []string{"qemu", "-object", "secret,id=x,data=" + secret}
	file := filepath.Join(t.TempDir(), "c.tgz")
	if got := s.run("collect", "-o", file); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	files := untar(t, file)
	for name, text := range files {
		if strings.Contains(text, secret) {
			t.Errorf("%s has a secret:\n%s", name, text)
		}
		if strings.Contains(name, "pki") || strings.HasSuffix(name, ".db") {
			t.Errorf("%s was taken", name)
		}
	}
	for name, part := range map[string]string{
		"about.txt": "midplane ", "ps.json": `"leader": "shm2"`, "inspect/blade1.json": `"command_line"`, "inspect/shelf.json": `"commit_index"`,
		"events.json": "[", "sel/blade2.json": "[", "state/shelf.yaml": "blade1", "state/logs/shm1.log": "after", "state/run/plan.json": masked,
		"state/nodes/blade1/console.log": "wget ftp://me:" + masked,
	} {
		if !strings.Contains(files["midplane/"+name], part) {
			t.Errorf("%s lacks %q:\n%s", name, part, files["midplane/"+name])
		}
	}
}

// A shelf that is down is collected all the same.
func TestCollectSaysWhatIsMissing(t *testing.T) {
	s := newFakeShelf(t)
	file := filepath.Join(t.TempDir(), "c.tgz")
	if got := s.run("collect", "-o", file); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	missed := untar(t, file)["midplane/missed.txt"]
	for _, part := range []string{"events.json: no replica of the shelf answers", "sel/blade1.json: blade1 does not answer"} {
		if !strings.Contains(missed, part) {
			t.Errorf("missed.txt lacks %q:\n%s", part, missed)
		}
	}
}

func untar(t *testing.T, file string) map[string]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(data)
	}
}
