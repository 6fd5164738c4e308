package port

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/midplane-project/midplane/internal/trust"
)

// socketPath is short enough wherever temporary directories are.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func TestUnixModeAndGroup(t *testing.T) {
	for _, tc := range []struct {
		mode  fs.FileMode
		group string
	}{{0o600, ""}, {0o660, strconv.Itoa(os.Getgid())}} {
		path := socketPath(t)
		l, err := ListenUnix(path, tc.mode, tc.group)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(path)
		if err != nil || info.Mode().Perm() != tc.mode || info.Mode().Type() != fs.ModeSocket {
			t.Errorf("%v, %v; want a socket of mode %#o", info.Mode(), err, tc.mode)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after Close: %v", err)
		}
	}
}

func TestUnixStaleIsReplacedAndLiveIsTaken(t *testing.T) {
	path := socketPath(t)
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
	live, err := ListenUnix(path, 0o600, "")
	if err != nil {
		t.Fatalf("over a stale socket: %v", err)
	}
	if _, err := ListenUnix(path, 0o600, ""); !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), path) {
		t.Errorf("over a live one: %v, want ErrTaken", err)
	}
	probe, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the live one was disturbed: %v", err)
	}
	_ = probe.Close()
	_ = live.Close()
}

func TestUnixConcurrentStartHasOneWinner(t *testing.T) {
	path := socketPath(t)
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
	listeners := make([]*UnixListener, 8)
	var wg sync.WaitGroup
	for i := range listeners {
		wg.Go(func() {
			var err error
			if listeners[i], err = ListenUnix(path, 0o600, ""); err != nil && !errors.Is(err, ErrTaken) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	won := 0
	for _, l := range listeners {
		if l != nil {
			won++
			defer l.Close()
		}
	}
	if won != 1 {
		t.Errorf("%d listen on the same path", won)
	}
}

func TestUnixCloseLeavesASuccessor(t *testing.T) {
	path := socketPath(t)
	old, err := ListenUnix(path, 0o600, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	successor, err := ListenUnix(path, 0o600, "")
	if err != nil {
		t.Fatal(err)
	}
	defer successor.Close()
	_, _ = old.Close(), old.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the successor's path is gone: %v", err)
	}
}

func TestUnixRefused(t *testing.T) {
	path := socketPath(t)
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ path, group, want string }{
		"file":      {path: path, want: "not a socket"},
		"long":      {path: "/tmp/" + strings.Repeat("x", maxPath-4), want: "107"},
		"empty":     {want: "path"},
		"abstract":  {path: "@x", want: "path"},
		"no dir":    {path: path + ".d/s", want: "no such file"},
		"no group":  {path: path + "2", group: "no-such-group-here", want: "no-such-group-here"},
		"odd group": {path: path + "2", group: "-1", want: "-1"},
	} {
		if l, err := ListenUnix(tc.path, 0o600, tc.group); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, %v; want an error with %q", name, l, err, tc.want)
		}
	}
	if data, err := os.ReadFile(path); string(data) != "precious" || err != nil {
		t.Errorf("the file that was there: %q, %v", data, err)
	}
	longest := filepath.Join(filepath.Dir(path), strings.Repeat("x", maxPath-len(filepath.Dir(path))-1))
	l, err := ListenUnix(longest, 0o600, "")
	if err != nil {
		t.Fatalf("a path of %d characters: %v", len(longest), err)
	}
	_ = l.Close()
}

func TestLocalIdentity(t *testing.T) {
	for _, tc := range []struct {
		caller uint32
		daemon int
		want   string
	}{{0, 0, "uid-0"}, {0, 1000, "uid-0"}, {1000, 1000, "uid-1000"}, {1001, 1000, ""}, {1000, 0, ""}} {
		got := localIdentity(tc.caller, tc.daemon)
		if got.Name != tc.want || (tc.want != "") != (got.Role == trust.Admin) {
			t.Errorf("uid %d at a daemon of uid %d is %+v, want %q", tc.caller, tc.daemon, got, tc.want)
		}
	}
}
