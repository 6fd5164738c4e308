//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/deploy/lab"
)

// bin is the program under test.
var bin string

// home is the directory of all shelves of this run. Its name is short, because
// a socket's path has at most 107 bytes.
var home string

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if home, err = os.MkdirTemp("/tmp", "mpe"); err != nil {
		return 1, err
	}
	if err := setUp(); err != nil {
		return 1, errors.Join(err, os.RemoveAll(home))
	}
	code = m.Run()
	return code, errors.Join(downAll(), leftovers(), os.RemoveAll(home))
}

// setUp gives the tests a home of their own; the cache of guests stays the
// user's.
func setUp() error {
	for variable, sub := range map[string]string{"MIDPLANE_HOME": "s", "XDG_RUNTIME_DIR": "r"} {
		dir := filepath.Join(home, sub)
		if err := errors.Join(os.Mkdir(dir, 0o700), os.Setenv(variable, dir)); err != nil {
			return err
		}
	}
	if err := os.Unsetenv(lab.EnvShelf); err != nil {
		return err
	}
	if bin = os.Getenv("MIDPLANE_BIN"); bin != "" {
		_, err := os.Stat(bin)
		return err
	}
	bin = filepath.Join(home, "midplane")
	out, err := exec.Command("go", "build", "-o", bin, "github.com/midplane-project/midplane/cmd/midplane").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return nil
}

// downAll ends what tests share.
func downAll() error {
	h, err := lab.OpenHome()
	if err != nil {
		return err
	}
	names, err := h.Names()
	for _, name := range names {
		if out, failed := exec.Command(bin, "down", "--shelf", name).CombinedOutput(); failed != nil {
			err = errors.Join(err, fmt.Errorf("down %s: %w\n%s", name, failed, out))
		}
	}
	return err
}

// leftovers is an error when any process or socket of this run is still there.
func leftovers() error {
	var all []error
	for pid, line := range processes(home) {
		all = append(all, fmt.Errorf("process %s was left behind: %s", pid, line))
	}
	for _, path := range sockets(home) {
		all = append(all, fmt.Errorf("socket %s was left behind", path))
	}
	return errors.Join(all...)
}

// processes lists the processes whose command line mentions a path, by pid.
func processes(path string) map[string]string {
	found := map[string]string{}
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		data, err := os.ReadFile(file)
		line := strings.TrimSpace(strings.ReplaceAll(string(data), "\x00", " "))
		if pid := strings.Split(file, "/")[2]; err == nil && strings.Contains(line, path) && pid != fmt.Sprint(os.Getpid()) {
			found[pid] = line
		}
	}
	return found
}

// sockets lists the Unix sockets below a directory.
func sockets(dir string) (found []string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type() == fs.ModeSocket {
			found = append(found, path)
		}
		return nil
	})
	return found
}
