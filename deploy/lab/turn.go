package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lockEvery is how often a turn that somebody else has is asked for again.
const lockEvery = 50 * time.Millisecond

// takeTurn makes the caller the only one who changes the shelf called name,
// between processes too; waiting is called once if that takes time. The file
// stays when the shelf's state is purged, so that a lock is never on a file
// that is gone. An empty name is for what all shelves share.
func (h Home) takeTurn(ctx context.Context, name string, waiting func()) (release func(), err error) {
	path := filepath.Join(h.State, "."+name+".lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for first := true; ; first = false {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if first && waiting != nil {
			waiting()
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for another midplane: %w", ctx.Err())
		case <-time.After(lockEvery):
		}
	}
}
