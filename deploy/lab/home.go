package lab

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/midplane-project/midplane/internal/problem"
)

// Home is where all shelves of one user live.
type Home struct {
	State string // a directory per shelf
	Run   string // a directory of sockets per shelf
	Cache string // guest images and probes, for all shelves
}

// OpenHome finds the directories of this user, and makes them.
//
// State is $MIDPLANE_HOME, $XDG_STATE_HOME/midplane, ~/.local/state/midplane or
// /var/tmp/midplane-UID; sockets are in $XDG_RUNTIME_DIR/midplane or
// /tmp/midplane-UID; the cache in $XDG_CACHE_HOME/midplane, ~/.cache/midplane
// or the state directory.
func OpenHome() (Home, error) {
	h := homeFrom(os.Getenv, os.Getuid())
	if privateDir(h.Cache, os.Getuid()) != nil {
		h.Cache = filepath.Join(h.State, ".cache") // a HOME that is not there, for one
	}
	if unusable(filepath.Dir(h.Run)) {
		h.Run = fallbackRun(os.Getuid()) // an XDG_RUNTIME_DIR of a session that has ended
	}
	for _, dir := range []string{h.State, h.Run, h.Cache} {
		if err := privateDir(dir, os.Getuid()); err != nil {
			return Home{}, err
		}
	}
	return h, nil
}

func homeFrom(env func(string) string, uid int) Home {
	id := strconv.Itoa(uid)
	h := Home{State: env("MIDPLANE_HOME")}
	under := func(variable, sub string) string {
		if base := env(variable); filepath.IsAbs(base) {
			return filepath.Join(base, sub, "midplane")
		}
		return ""
	}
	h.State = first(h.State, under("XDG_STATE_HOME", ""), under("HOME", ".local/state"), filepath.Join("/var/tmp", "midplane-"+id))
	if abs, err := filepath.Abs(h.State); err == nil {
		h.State = abs
	}
	h.Run = first(under("XDG_RUNTIME_DIR", ""), fallbackRun(uid))
	h.Cache = first(under("XDG_CACHE_HOME", ""), under("HOME", ".cache"), filepath.Join(h.State, ".cache"))
	return h
}

func fallbackRun(uid int) string { return filepath.Join("/tmp", "midplane-"+strconv.Itoa(uid)) }

func unusable(dir string) bool {
	info, err := os.Stat(dir)
	return err != nil || !info.IsDir()
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// privateDir makes dir for this user alone, and refuses one that somebody else
// has put there: names under /tmp can be guessed.
func privateDir(dir string, uid int) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return &problem.Error{
			Code: problem.Failed, What: "cannot make a directory for Midplane", Why: err,
			Do: "set MIDPLANE_HOME to a directory that you may write",
		}
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return refuseDir(dir, "it is not a directory")
	case ok && int(owner.Uid) != uid:
		return refuseDir(dir, fmt.Sprintf("it belongs to user %d", owner.Uid))
	case info.Mode().Perm()&0o022 != 0:
		return refuseDir(dir, fmt.Sprintf("others may write to it (mode %04o)", info.Mode().Perm()&fs.ModePerm))
	}
	return nil
}

func refuseDir(dir, why string) error {
	return problem.Refusedf("look at it, remove it, or set MIDPLANE_HOME and XDG_RUNTIME_DIR",
		"the directory %s is not safe to use: %s", dir, why)
}

// guestCache has the lab guests.
func (h Home) guestCache() string { return filepath.Join(h.Cache, "guest") }
