package port

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// maxPath is the longest path that fits a Unix socket address on Linux
// (sockaddr_un.sun_path is 108 bytes with its final NUL; unix(7)).
const maxPath = 107

// ErrTaken says that somebody listens on the socket already.
var ErrTaken = errors.New("taken: another process listens there")

// UnixListener is a listening Unix socket that removes its path on Close,
// unless another has taken the path since.
type UnixListener struct {
	*net.UnixListener
	path  string
	file  fs.FileInfo
	close func() error // once: a second removal could hit another's socket
}

// ListenUnix listens on path, which is never more open than mode; group, a
// name or a number, may be empty. A socket that a dead process left behind is
// replaced; a live one is refused with ErrTaken, and what is no socket with an
// error.
func ListenUnix(path string, mode fs.FileMode, group string) (*UnixListener, error) {
	l, err := listenUnix(path, mode, group)
	if err != nil {
		return nil, fmt.Errorf("listen on socket %s: %w", path, err)
	}
	return l, nil
}

func listenUnix(path string, mode fs.FileMode, group string) (*UnixListener, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	gid, err := lookupGroup(group)
	if err != nil {
		return nil, err
	}
	unlock, err := lockParent(path)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := removeStale(path); err != nil {
		return nil, err
	}
	ln, err := bind(path)
	if err != nil {
		return nil, err
	}
	file, err := open(path, mode, gid)
	if err != nil {
		return nil, errors.Join(err, ln.Close(), os.Remove(path))
	}
	l := &UnixListener{UnixListener: ln, path: path, file: file}
	l.close = sync.OnceValue(l.closeAndRemove)
	return l, nil
}

// Close stops listening and removes the path if it is still this socket's.
func (l *UnixListener) Close() error { return l.close() }

func (l *UnixListener) closeAndRemove() error {
	unlock, err := lockParent(l.path)
	if err != nil {
		return l.UnixListener.Close() // the directory is gone, and the path with it
	}
	defer unlock()
	if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.file) {
		_ = os.Remove(l.path)
	}
	return l.UnixListener.Close()
}

func checkPath(path string) error {
	switch {
	case path == "" || strings.HasPrefix(path, "@") || strings.ContainsRune(path, 0):
		return errors.New("want the path of a file")
	case len(path) > maxPath:
		return fmt.Errorf("the path has %d characters and a socket's may have %d: choose a shorter directory", len(path), maxPath)
	}
	return nil
}

// lookupGroup gives the number of a group, -1 for none.
func lookupGroup(group string) (int, error) {
	if group == "" {
		return -1, nil
	}
	if gid, err := strconv.ParseUint(group, 10, 31); err == nil {
		return int(gid), nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}

// lockParent keeps two starting processes from removing each other's new
// socket as stale. It locks the directory itself, so that nothing stays behind.
func lockParent(path string) (unlock func(), err error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return func() { _ = dir.Close() }, nil
}

// removeStale clears the way only if it is a socket that nobody answers at.
func removeStale(path string) error {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("there is something that is not a socket: move it away")
	}
	conn, err := net.Dial("unix", path)
	switch {
	case err == nil:
		return errors.Join(ErrTaken, conn.Close())
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	case errors.Is(err, syscall.EAGAIN):
		return ErrTaken // alive, with a full backlog
	}
	return fmt.Errorf("there is a socket that cannot be tried: %w", err)
}

// bind makes the socket private before it has a path: Linux gives the file the
// mode of the descriptor.
func bind(path string) (*net.UnixListener, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var inner error
		err := c.Control(func(fd uintptr) { inner = syscall.Fchmod(int(fd), 0o600) })
		return errors.Join(err, inner)
	}}
	ln, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	unix := ln.(*net.UnixListener)
	unix.SetUnlinkOnClose(false)
	return unix, nil
}

// open gives the socket its group and then its mode.
func open(path string, mode fs.FileMode, gid int) (fs.FileInfo, error) {
	if gid >= 0 {
		if err := os.Lchown(path, -1, gid); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(path, mode.Perm()); err != nil {
		return nil, err
	}
	return os.Lstat(path)
}
