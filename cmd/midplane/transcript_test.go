package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTranscripts runs the commands in testdata/transcripts/NAME.txt and
// compares what they print: a line that begins with $ is a command for sh, those
// with > are its output, both streams together, and [N] is an exit code that is
// not 0. All else is for the reader. Commands run in a directory, $WORK, with the files of transcripts/NAME.
// No root, no QEMU, no network. With -update the files are written anew.
func TestTranscripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/transcripts/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal("no transcripts", err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		t.Run(name, func(t *testing.T) {
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s := newStage(t, exe, strings.TrimSuffix(path, ".txt"))
			got := s.replay(string(want))
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(want), got); diff != "" && !*update {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// stage is where a transcript's commands run.
type stage struct {
	t    *testing.T
	work string
	env  []string
}

func newStage(t *testing.T, exe, files string) *stage {
	t.Helper()
	work, err := os.MkdirTemp("", "mid") // sockets need short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(work) })
	s := &stage{t: t, work: work}
	for _, dir := range []string{"", "bin", "run", "here"} {
		if err := os.MkdirAll(filepath.Join(s.work, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	// No symbolic link: the command starts itself by its own name.
	if err := linkTo(exe, filepath.Join(s.work, "bin", "midplane")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(files); err == nil {
		if err := os.CopyFS(filepath.Join(s.work, "here"), os.DirFS(files)); err != nil {
			t.Fatal(err)
		}
	}
	s.env = []string{
		"PATH=" + filepath.Join(s.work, "bin") + ":/usr/bin:/bin", "WORK=" + s.work, "HOME=" + s.work,
		"MIDPLANE_HOME=" + filepath.Join(s.work, "home"), "XDG_RUNTIME_DIR=" + filepath.Join(s.work, "run"),
		"LC_ALL=C",
		"GORACE=atexit_sleep_ms=0", // or every command takes a second to end
	}
	t.Cleanup(s.clear)
	return s
}

// clear takes down what a transcript that failed has left.
func (s *stage) clear() {
	cmd := exec.Command("sh", "-c", `for f in "$MIDPLANE_HOME"/*/shelf.yaml; do
		test ! -e "$f" || midplane --shelf "$(basename "$(dirname "$f")")" down; done`)
	cmd.Dir, cmd.Env = s.work, s.env
	if text, err := cmd.CombinedOutput(); err != nil {
		s.t.Errorf("%v: %s", err, text)
	}
}

// linkTo gives a program another name, on another file system by a copy.
func linkTo(from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o700)
}

// replay gives the transcript as it is now.
func (s *stage) replay(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		command, ok := strings.CutPrefix(line, "$ ")
		switch {
		case ok:
			out.WriteString(line)
			out.WriteString(s.sh(command))
		case !strings.HasPrefix(line, ">"):
			out.WriteString(line)
		}
	}
	return out.String()
}

// What differs from run to run: shelves of other homes have ids too, and not
// everybody may have port 623.
var (
	anyID       = regexp.MustCompile(`\b127\.77\.[0-9]+\.`)
	anyPort     = regexp.MustCompile(`(-p |127\.77\.ID\.[0-9]+:)(623|6230)\b`)
	anyPassword = regexp.MustCompile(`\bpassword [A-Za-z0-9]{16}\b`)
)

func (s *stage) neutral(line string) string {
	line = strings.ReplaceAll(line, s.work, "$WORK")
	line = anyPort.ReplaceAllString(anyID.ReplaceAllString(line, "127.77.ID."), "${1}PORT")
	return anyPassword.ReplaceAllString(line, "password PASSWORD")
}

func (s *stage) sh(command string) string {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "sh", "-c", command)
	cmd.Dir, cmd.Env = filepath.Join(s.work, "here"), s.env
	text, err := cmd.CombinedOutput()
	var out strings.Builder
	for line := range bytes.Lines(text) {
		line := s.neutral(strings.TrimRight(string(line), " \n"))
		out.WriteString(strings.TrimSpace("> "+line) + "\n")
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		fmt.Fprintf(&out, "> [%d]\n", exit.ExitCode())
	} else if err != nil {
		s.t.Fatal(err)
	}
	return out.String()
}
