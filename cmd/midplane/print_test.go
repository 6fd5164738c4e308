package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/midplane-project/midplane/deploy/lab"
	"github.com/midplane-project/midplane/internal/problem"
)

func TestPrint(t *testing.T) {
	value := []struct {
		Name string `json:"name"`
		N    int    `json:"count"`
	}{{"a", 1}, {"", 2}}
	for format, want := range map[string]string{
		formatTable: "NAME  COUNT\na     1\n-     2\n",
		formatJSON:  "[\n  {\n    \"name\": \"a\",\n    \"count\": 1\n  },\n  {\n    \"name\": \"\",\n    \"count\": 2\n  }\n]\n",
		formatYAML:  "- name: a\n  count: 1\n- name: \"\"\n  count: 2\n",
	} {
		var out bytes.Buffer
		a := &app{out: &out, format: format}
		err := a.print(value, func(t *table) {
			t.header = []string{"NAME", "COUNT"}
			for _, v := range value {
				t.row(v.Name, v.N)
			}
		})
		if err != nil || out.String() != want {
			t.Errorf("%s: %q, %v, want %q", format, out.String(), err, want)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want problem.Code
	}{
		{problem.Usagef("x"), problem.Usage},
		{fmt.Errorf("x: %w", problem.Refusedf("", "y")), problem.Refused},
		{context.DeadlineExceeded, problem.Timeout},
		{os.ErrNotExist, problem.NotFound},
		{status.Error(codes.Unavailable, "no leader"), problem.Unavailable},
		{fmt.Errorf("x: %w", status.Error(codes.PermissionDenied, "no")), problem.Refused},
		{status.Error(codes.Internal, "x"), problem.Failed},
		{errors.New("x"), problem.Failed},
	} {
		if got := codeOf(tt.err); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.err, got, tt.want)
		}
	}
	if code, ok := exitOf(fmt.Errorf("exec: %w", exitError(42))); !ok || code != 42 {
		t.Errorf("%d, %v", code, ok)
	}
}

func TestLogsOfSeveralHaveTheirNames(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) lab.LogFile {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return lab.LogFile{Name: name, Path: path}
	}
	put("b.1", "older\n")
	var out bytes.Buffer
	a := &app{out: &out}
	files := []lab.LogFile{put("a", "one\n\ntwo"), put("b", "three\n"), {Name: "none", Path: filepath.Join(dir, "none")}}
	if err := a.printLogs(t.Context(), files, false); err != nil {
		t.Fatal(err)
	}
	if want := "a | one\na | \na | two\nb | older\nb | three\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	out.Reset()
	if err := a.printLogs(t.Context(), files[1:2], false); err != nil || out.String() != "older\nthree\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestAFollowedLogMayBeTurnedOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	var out bytes.Buffer
	r := &logReader{path: path, w: &out}
	for _, step := range []struct{ text, want string }{
		{"one\n", "one\n"}, {"one\ntwo\n", "two\n"}, {"one\ntwo\n", ""}, {"new\n", "new\n"},
	} {
		if err := os.WriteFile(path, []byte(step.text), 0o600); err != nil {
			t.Fatal(err)
		}
		out.Reset()
		if err := r.more(); err != nil || out.String() != step.want {
			t.Errorf("%q: %q, %v, want %q", step.text, out.String(), err, step.want)
		}
	}
}

func TestPurgeAsksSomebody(t *testing.T) {
	var out bytes.Buffer
	a := &app{in: strings.NewReader("y\n"), out: &out}
	if ok, err := a.confirm([]string{"/x"}, false); ok || codeOf(err) != problem.Refused {
		t.Errorf("without a terminal: %v, %v", ok, err)
	}
	if ok, err := a.confirm([]string{"/x"}, true); !ok || err != nil {
		t.Errorf("with --yes: %v, %v", ok, err)
	}
	if text, _ := io.ReadAll(&out); !bytes.Contains(text, []byte("  /x\n")) {
		t.Errorf("%q", text)
	}
}
