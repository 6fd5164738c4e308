package power

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/midplane-project/midplane/node/power/qmp"
)

// Adopt implements [Launcher]. The saved identity and the monitor's own process must agree; without a
// saved one, as after a crash in the middle of a start, the monitor's process is taken at its UUID.
func (m *Machine) Adopt(ctx context.Context) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer func() { <-m.turn }()
	if p, _ := m.current(); p != nil {
		return ErrRunning
	}
	if err := m.adopt(ctx, m.saved()); err != nil {
		return fmt.Errorf("adopt VM %q: %w", m.cfg.Spec.Name, err)
	}
	return nil
}

// saved opens the process whose identity is on disk; nil if there is none or it is long gone.
func (m *Machine) saved() *process {
	id, err := loadIdentity(m.identityPath())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		m.log.Warn("process identity is not readable, asking the monitor", "error", err)
		return nil
	}
	p, err := openProcess(id.PID)
	if err != nil {
		return nil
	}
	// Only now is the pid held fast, so only now does a comparison mean something.
	if now, err := identify(id.PID, m.cfg.Spec.UUID); err != nil || now != id {
		p.release()
		return nil
	}
	return p
}

// adopt takes over p, or whoever answers at the monitor if p is nil.
func (m *Machine) adopt(ctx context.Context, p *process) error {
	c, err := dialVM(ctx, m.cfg.Spec.QMPSocket, m.cfg.Spec.UUID)
	if err != nil {
		return m.absent(p, err)
	}
	p, err = m.match(p, c)
	if err == nil {
		err = m.remember(p.pid)
	}
	if err == nil {
		err = m.own(ctx, p, c)
	}
	if err != nil {
		c.Close()
		if p != nil {
			p.release()
		}
	}
	return err
}

// absent says what it means that no monitor answered.
func (m *Machine) absent(p *process, err error) error {
	if p == nil {
		if absence(err) == Off {
			return ErrNotRunning
		}
		return err
	}
	defer p.release()
	if p.hasEnded() {
		return ErrNotRunning
	}
	return fmt.Errorf("QEMU %d lives, but: %w", p.pid, err)
}

// match makes sure that p is the process behind the monitor, or opens that one if p is nil.
func (m *Machine) match(p *process, c *qmp.Client) (*process, error) {
	pid, err := c.PeerPID()
	switch {
	case err != nil:
		return p, err
	case p == nil:
		return openProcess(pid)
	case p.pid != pid:
		return p, fmt.Errorf("%w: process %d has it, not %d", ErrForeign, pid, p.pid)
	}
	return p, nil
}

// remember saves the identity of the VM's process for the next owner.
func (m *Machine) remember(pid int) error {
	id, err := identify(pid, m.cfg.Spec.UUID)
	if err != nil {
		return err
	}
	if err := id.save(m.identityPath()); err != nil {
		return fmt.Errorf("process identity: %w", err)
	}
	return nil
}
