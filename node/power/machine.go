package power

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/midplane-project/midplane/node/power/qmp"
)

// Limits of a start and of an end.
const (
	startLimit = 20 * time.Second       // from the process's start to its monitor's answer
	quitLimit  = 2 * time.Second        // for an orderly end before SIGKILL
	pollEvery  = 20 * time.Millisecond  // while a new process has not opened its monitor
	redialWait = 200 * time.Millisecond // after a monitor broke off
)

// A MachineConfig says which VM a Machine owns.
type MachineConfig struct {
	Spec Spec         // needs a UUID and a QMPSocket
	Dir  string       // for the lock, the process's identity and QEMU's messages; made when missing
	Log  *slog.Logger // nil is quiet
}

// A Machine owns one QEMU process. The process outlives the Machine: after [Machine.Close], or when
// the program is killed, another Machine with the same Dir adopts it. Only one may exist at a time.
type Machine struct {
	monitor
	cfg  MachineConfig
	lock *os.File
	turn chan struct{} // held by Start, Adopt and Kill
	ctx  context.Context
	stop context.CancelFunc

	procMu  sync.Mutex
	proc    *process      // nil: no process
	settled chan struct{} // closed when proc's end, or letting go of it, has been dealt with
	killing bool          // the end is our own wish
	boot    Boot          // of the next process
}

var _ Launcher = (*Machine)(nil)

// NewMachine takes the VM's lock; [ErrInUse] if another process has it. No process is started or looked for.
func NewMachine(cfg MachineConfig) (*Machine, error) {
	if cfg.Spec.UUID == "" || cfg.Spec.QMPSocket == "" {
		return nil, fmt.Errorf("VM %q needs a UUID and a QMP socket", cfg.Spec.Name)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("VM %q: %w", cfg.Spec.Name, err)
	}
	lock, err := takeLock(filepath.Join(cfg.Dir, "vm.lock"))
	if err != nil {
		return nil, fmt.Errorf("VM %q: %w", cfg.Spec.Name, err)
	}
	m := &Machine{cfg: cfg, lock: lock, turn: make(chan struct{}, 1)}
	m.log = quietUnless(cfg.Log).With("vm", cfg.Spec.Name)
	m.state = Off
	m.ctx, m.stop = context.WithCancel(context.Background())
	return m, nil
}

// Close implements [Driver]: QEMU goes on, and the next Machine may adopt it.
func (m *Machine) Close() error {
	m.stop()
	m.turn <- struct{}{}
	defer func() { <-m.turn }()
	if _, settled := m.current(); settled != nil {
		<-settled
	}
	m.feed.Close()
	return m.lock.Close()
}

// begin waits for the other life cycle calls. Its error is ctx's or that of a closed Machine.
func (m *Machine) begin(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case m.turn <- struct{}{}:
	}
	if m.ctx.Err() != nil {
		<-m.turn
		return errors.New("the machine is closed")
	}
	return nil
}

func (m *Machine) current() (*process, <-chan struct{}) {
	m.procMu.Lock()
	defer m.procMu.Unlock()
	return m.proc, m.settled
}

// own follows a process whose monitor has answered until it ends or the Machine is closed.
func (m *Machine) own(ctx context.Context, p *process, c *qmp.Client) error {
	events, err := m.connect(ctx, c)
	if err != nil {
		return err
	}
	settled := make(chan struct{})
	m.procMu.Lock()
	m.proc, m.settled, m.killing = p, settled, false
	m.procMu.Unlock()
	go func() {
		defer close(settled)
		m.attend(p, c, events)
	}()
	return nil
}

// attend follows the monitor, and dials it again should it break off before the process ends.
func (m *Machine) attend(p *process, c *qmp.Client, events *qmp.Events) {
	for c != nil {
		m.follow(m.ctx, c, events)
		c.Close()
		m.disconnect(Unknown)
		c, events = m.again(p)
	}
	if m.ctx.Err() != nil {
		p.release()
	}
	if p.gone {
		m.ended(p)
	}
}

// again returns a new connection to the process's monitor, or nil when the process has ended or is let go.
func (m *Machine) again(p *process) (*qmp.Client, *qmp.Events) {
	for {
		select {
		case <-m.ctx.Done():
			return nil, nil
		case <-p.done:
			return nil, nil
		case <-time.After(redialWait):
		}
		c, err := dialVM(m.ctx, m.cfg.Spec.QMPSocket, m.cfg.Spec.UUID)
		if err != nil {
			m.log.Debug("VM monitor is away", "error", err)
			continue
		}
		if events, err := m.connect(m.ctx, c); err == nil {
			return c, events
		}
		c.Close()
	}
}

// ended records the end of the process and tells it.
func (m *Machine) ended(p *process) {
	p.fd.Close()
	if err := os.Remove(m.identityPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		m.log.Warn("stale process identity stays", "error", err)
	}
	m.procMu.Lock()
	killed := m.killing
	m.proc, m.settled = nil, nil
	m.procMu.Unlock()
	m.mu.Lock()
	orderly := killed || m.shutdown || p.exit.Known && p.exit.Signal == 0 && p.exit.Code == 0
	m.mu.Unlock()
	state := Off
	if !orderly {
		state = Crashed
	}
	m.disconnect(state)
	m.publish(Event{Kind: EventExited, Exit: p.exit, Reason: p.exit.String()})
}

// PID is the process's id, 0 while there is none.
func (m *Machine) PID() int {
	if p, _ := m.current(); p != nil {
		return p.pid
	}
	return 0
}

func (m *Machine) identityPath() string { return filepath.Join(m.cfg.Dir, "vm.json") }

// LogPath is the file with QEMU's own messages since its last start.
func (m *Machine) LogPath() string { return filepath.Join(m.cfg.Dir, "qemu.log") }
