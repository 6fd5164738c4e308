package power

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/midplane-project/midplane/node/power/qmp"
)

// Start implements [Driver]. The disk's overlay is made when missing, the VM waits in prelaunch.
func (m *Machine) Start(ctx context.Context) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer func() { <-m.turn }()
	if p, _ := m.current(); p != nil {
		return ErrRunning
	}
	argv, err := m.prepare(ctx)
	if err != nil {
		return err
	}
	p, err := m.spawn(argv)
	if err != nil {
		return err
	}
	if err := m.welcome(ctx, p); err != nil {
		err = m.explain(err)
		p.kill()
		<-p.done
		p.fd.Close()
		return fmt.Errorf("VM %q did not start: %w", m.cfg.Spec.Name, err)
	}
	return nil
}

func (m *Machine) prepare(ctx context.Context) ([]string, error) {
	s := m.cfg.Spec.withDefaults()
	s.Boot = m.nextBoot()
	if err := Check(s); err != nil {
		return nil, err
	}
	if s.Version == (qmp.Version{}) {
		v, err := QEMUVersion(ctx, s.Binary)
		if err != nil {
			return nil, err
		}
		s.Version = v
	}
	if err := ensureOverlay(ctx, s.Disk); err != nil {
		return nil, err
	}
	path, err := find(s.Binary)
	if err != nil {
		return nil, err
	}
	s.Binary = path
	return Args(s)
}

func (m *Machine) spawn(argv []string) (*process, error) {
	log, err := os.OpenFile(m.LogPath(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("QEMU's log: %w", err)
	}
	defer log.Close()
	return spawn(argv, log)
}

// welcome waits for a new process's monitor and takes it over. Its identity is saved as soon as it is
// known, so that a crash of ours in between still leaves a process that can be found.
func (m *Machine) welcome(ctx context.Context, p *process) error {
	if err := m.remember(p.pid); err != nil {
		return err
	}
	c, err := m.greet(ctx, p)
	if err != nil {
		return err
	}
	// The folder is closed to others already; this holds where somebody chose another one.
	for _, path := range m.cfg.Spec.sockets() {
		if err := os.Chmod(path, 0o600); err != nil {
			c.Close()
			return fmt.Errorf("socket: %w", err)
		}
	}
	if err := m.own(ctx, p, c); err != nil {
		c.Close()
		return err
	}
	return nil
}

// greet dials until the monitor of p answers, or p has ended.
func (m *Machine) greet(ctx context.Context, p *process) (*qmp.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		c, err := dialVM(ctx, m.cfg.Spec.QMPSocket, m.cfg.Spec.UUID)
		if err == nil {
			return c, nil
		}
		if absence(err) != Off {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("its monitor does not answer: %w", ctx.Err())
		case <-p.done:
			return nil, fmt.Errorf("QEMU ended at once (%s)", p.exit)
		case <-time.After(pollEvery):
		}
	}
}

// explain adds QEMU's last words to err.
func (m *Machine) explain(err error) error {
	const lastWords = 1 << 10
	text, readErr := os.ReadFile(m.LogPath())
	if text = bytes.TrimSpace(text); readErr != nil || len(text) == 0 {
		return err
	}
	return fmt.Errorf("%w: %s", err, text[max(0, len(text)-lastWords):])
}

// Kill implements [Driver]: quit, and SIGKILL where that does not help. It also ends a process that
// an earlier owner left and that cannot be adopted, for example because it is stopped.
func (m *Machine) Kill(ctx context.Context) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer func() { <-m.turn }()
	m.procMu.Lock()
	p, settled := m.proc, m.settled
	m.killing = true
	m.procMu.Unlock()
	if p == nil {
		return m.killSaved(ctx)
	}
	if !m.quit(ctx, p) {
		if err := p.kill(); err != nil {
			return fmt.Errorf("kill QEMU %d: %w", p.pid, err)
		}
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("QEMU %d has not ended yet: %w", p.pid, ctx.Err())
	case <-settled:
		return nil
	}
}

func (m *Machine) killSaved(ctx context.Context) error {
	p := m.saved()
	if p == nil {
		return nil
	}
	defer p.release()
	if err := p.kill(); err != nil {
		return fmt.Errorf("kill QEMU %d: %w", p.pid, err)
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("QEMU %d has not ended yet: %w", p.pid, ctx.Err())
	case <-p.done:
		return os.Remove(m.identityPath())
	}
}

// quit asks QEMU to end and reports whether it did in time.
func (m *Machine) quit(ctx context.Context, p *process) bool {
	ctx, cancel := context.WithTimeout(ctx, quitLimit)
	defer cancel()
	if m.command(ctx, "end", (*qmp.Client).Quit) != nil {
		return false
	}
	select {
	case <-p.done:
		return true
	case <-ctx.Done():
		return false
	}
}

// takeLock locks a file for as long as it is open. QEMU does not inherit it.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w (lock %s)", ErrInUse, path)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}
