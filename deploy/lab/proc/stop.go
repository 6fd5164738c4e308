package proc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"
)

// Stop ends processes: SIGTERM, and SIGKILL for those that are still there
// after grace. A stopped one is continued, so that it can obey. It reports how
// many had to be killed.
func Stop(ctx context.Context, ids []ID, grace time.Duration) (killed int, err error) {
	var held []*Process
	defer func() {
		for _, p := range held {
			p.Close()
		}
	}()
	for _, id := range ids {
		p, err := Open(id)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		held = append(held, p)
		if err := errors.Join(p.Signal(syscall.SIGTERM), p.Signal(syscall.SIGCONT)); err != nil {
			return 0, err
		}
	}
	patience := time.After(grace)
	for _, p := range held {
		select {
		case <-p.Done():
			continue
		case <-ctx.Done():
		case <-patience:
			patience = expired
		}
		killed++
		if err := kill(p); err != nil {
			return killed, err
		}
	}
	return killed, nil
}

// expired lets everybody after the first latecomer be killed at once.
var expired = func() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}()

// killLimit is how long the kernel may take to end a killed process.
const killLimit = 10 * time.Second

func kill(p *Process) error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	select {
	case <-p.Done():
		return nil
	case <-time.After(killLimit):
		return fmt.Errorf("process %d does not end, even by SIGKILL", p.ID.PID)
	}
}
