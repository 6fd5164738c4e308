package serial

import (
	"bufio"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// tty opens a terminal by its link.
func tty(t *testing.T, link string) *os.File {
	t.Helper()
	f, err := os.OpenFile(link, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// types says a line on a terminal and reads the answer.
func types(t *testing.T, f *os.File, say, want string) {
	t.Helper()
	if _, err := f.WriteString(say + "\r"); err != nil {
		t.Fatal(err)
	}
	_ = f.SetReadDeadline(time.Now().Add(10 * time.Second)) // no answer is a failure, not a hang
	got, err := bufio.NewReader(f).ReadString('\n')
	if err != nil || strings.TrimSpace(got) != want {
		t.Errorf("%s: %q, %v, want %s", say, got, err, want)
	}
}

// A terminal is a port to whoever opens it, one after the other; a session ends
// when he closes it.
func TestPTY(t *testing.T) {
	link := filepath.Join(t.TempDir(), "tty")
	if err := os.Symlink("/nowhere", link); err != nil { // left by an earlier process
		t.Fatal(err)
	}
	p, err := OpenPTY(link)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(link)
	if to, _ := os.Readlink(link); err != nil || to != p.Name() || info.Mode().Perm() != ptyMode {
		t.Errorf("%s leads to %s, %v, %v", link, to, info.Mode(), err)
	}
	d, err := New(Config{
		Mode: Terminal, Origin: ipmb.Origin{Channel: 2},
		Account: func(name string, _ ipmb.Privilege) (mc.Account, error) {
			password := append([]byte("secret"), make([]byte, mc.PasswordLen-6)...)
			return mc.Account{ID: 2, Name: name, Password: password, Limit: ipmb.PrivilegeAdmin}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.ServePTY(ctx, p) }()
	for range 3 {
		f := tty(t, link)
		types(t, f, "[SYS TMODE]", "[OK TMODE]")
		types(t, f, "[SYS PWD -U bob secret]", "[OK]")
		if d.Sessions() != 1 {
			t.Error("no session")
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(10 * time.Second); d.Sessions() > 0; time.Sleep(time.Millisecond) { // until the door notices
			if time.Now().After(end) {
				t.Fatal("the session outlives its line")
			}
		}
	}
	other, err := OpenPTY(link) // as another process that takes over
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if to, err := os.Readlink(link); err != nil || to != other.Name() {
		t.Errorf("the link leads to %q, %v, want %s", to, err, other.Name())
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(link); err == nil {
		t.Error("the link is left behind")
	}
}

// A file that is in the way stays.
func TestPTYInTheWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := OpenPTY(path); err == nil {
		_ = p.Close()
		t.Error("it was replaced")
	}
	if p, err := OpenPTY(filepath.Join(path, "x")); err == nil {
		_ = p.Close()
		t.Error("a link where none can be")
	}
}
