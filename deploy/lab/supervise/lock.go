package supervise

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/midplane-project/midplane/deploy/lab/proc"
	"github.com/midplane-project/midplane/internal/jsonfile"
)

// ErrRunning says that another supervisor has the shelf.
var ErrRunning = errors.New("a supervisor runs already")

func (d Dir) lockPath() string { return filepath.Join(string(d), "run", "supervisor.lock") }

// idPath tells others who holds the lock. It is a file of its own, so that it
// can be replaced as a whole.
func (d Dir) idPath() string { return filepath.Join(string(d), "run", "supervisor.id") }

// lock makes the caller the shelf's only supervisor until the file is closed.
func (d Dir) lock() (*os.File, error) {
	f, err := os.OpenFile(d.lockPath(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := d.take(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", d.lockPath(), err)
	}
	id, err := proc.Identify(os.Getpid())
	if err == nil {
		err = jsonfile.Write(d.idPath(), id)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// forkTime is how long a process that a supervisor was just starting when it
// ended may hold its lock: until it runs its own program.
const forkTime = 2 * time.Second

// take gets the lock; ErrRunning while a living supervisor has it.
func (d Dir) take(f *os.File) error {
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		if p, err := d.Supervisor(); err == nil {
			p.Close()
			return ErrRunning
		}
		if time.Since(began) > forkTime {
			return ErrRunning
		}
	}
}

// Supervisor finds the living supervisor; fs.ErrNotExist if there is none.
func (d Dir) Supervisor() (*proc.Process, error) {
	var id proc.ID
	if err := jsonfile.Read(d.idPath(), &id); err != nil {
		return nil, err
	}
	return proc.Open(id)
}

// Nudge makes the supervisor look at once. It reports whether there is one.
func (d Dir) Nudge() (bool, error) {
	p, err := d.Supervisor()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer p.Close()
	return true, p.Signal(syscall.SIGHUP)
}
