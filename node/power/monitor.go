package power

import (
	"context"
	"fmt"
	"time"

	"github.com/midplane-project/midplane/node/power/qmp"
)

// queueSize is how many of QEMU's events may wait for the monitor's goroutine.
const queueSize = 256

// queryLimit bounds the monitor's own questions to QEMU.
const queryLimit = 5 * time.Second

// monitor is what the drivers that speak QMP have: the state that follows QEMU's events, and the commands.
type monitor struct {
	tracker

	client   *qmp.Client // nil while there is no connection; under mu, as are the rest
	shutdown bool        // a SHUTDOWN event has come and no RESUME since
	resets   resetFilter
	thread   int // of one of the VM's processors, 0 when QEMU does not say
	cpus     int
}

// Cont implements [Driver].
func (m *monitor) Cont(ctx context.Context) error { return m.command(ctx, "start", (*qmp.Client).Cont) }

// Stop pauses the processors.
func (m *monitor) Stop(ctx context.Context) error { return m.command(ctx, "pause", (*qmp.Client).Stop) }

// Reset implements [Driver].
func (m *monitor) Reset(ctx context.Context) error {
	return m.command(ctx, "reset", (*qmp.Client).SystemReset)
}

// PowerDown implements [Driver].
func (m *monitor) PowerDown(ctx context.Context) error {
	return m.command(ctx, "press the power button of", (*qmp.Client).Powerdown)
}

// NMI implements [Driver].
func (m *monitor) NMI(ctx context.Context) error {
	return m.command(ctx, "interrupt", (*qmp.Client).InjectNMI)
}

// Break sends a break to the guest's serial port behind a chardev, which its socket cannot carry.
func (m *monitor) Break(ctx context.Context, chardev string) error {
	return m.command(ctx, "send a break to", func(c *qmp.Client, ctx context.Context) error { return c.ChardevSendBreak(ctx, chardev) })
}

func (m *monitor) command(ctx context.Context, verb string, run func(*qmp.Client, context.Context) error) error {
	m.mu.Lock()
	c := m.client
	m.mu.Unlock()
	if c == nil {
		return fmt.Errorf("cannot %s the VM: %w", verb, ErrNotRunning)
	}
	if err := run(c, ctx); err != nil {
		return fmt.Errorf("cannot %s the VM: %w", verb, err)
	}
	return nil
}

// connect takes a fresh connection into use. It subscribes before it asks, so that no change falls between.
func (m *monitor) connect(ctx context.Context, c *qmp.Client) (*qmp.Events, error) {
	events := c.Subscribe(queueSize)
	ctx, cancel := context.WithTimeout(ctx, queryLimit)
	defer cancel()
	status, err := c.QueryStatus(ctx)
	if err != nil {
		events.Cancel()
		return nil, err
	}
	cpus, err := c.QueryCPUs(ctx)
	if err != nil || len(cpus) == 0 {
		m.log.Debug("QEMU does not say which threads are the VM's processors", "error", err)
		cpus = []qmp.CPU{{}}
	}
	m.mu.Lock()
	m.thread, m.cpus = cpus[0].Thread, len(cpus)
	m.client, m.state, m.shutdown = c, stateOf(status.Status), status.Status == "shutdown"
	m.resets = resetFilter{burst: burstWindow}
	m.mu.Unlock()
	m.publish(Event{Kind: EventStarted, Reason: status.Status})
	return events, nil
}

// follow applies events until the connection or ctx ends.
func (m *monitor) follow(ctx context.Context, c *qmp.Client, events *qmp.Events) {
	defer events.Cancel()
	var missed uint64
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-events.C():
			if !ok {
				return
			}
			m.apply(ctx, c, e)
		}
		if n := events.Missed(); n != missed {
			missed = n
			m.refresh(ctx, c)
		}
	}
}

// refresh asks for the state after events were lost.
func (m *monitor) refresh(ctx context.Context, c *qmp.Client) {
	ctx, cancel := context.WithTimeout(ctx, queryLimit)
	defer cancel()
	status, err := c.QueryStatus(ctx)
	if err != nil {
		m.log.Warn("VM events were lost and its state cannot be asked", "error", err)
		return
	}
	m.mu.Lock()
	m.state = stateOf(status.Status)
	m.mu.Unlock()
}

// Thread gives a thread of the VM's process on this machine, which stands for the process in /proc, and how
// many processors the VM has. The thread is 0 while it is not known.
func (m *monitor) Thread() (thread, cpus int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.client == nil {
		return 0, 0
	}
	return m.thread, m.cpus
}

// disconnect forgets the connection and enters state.
func (m *monitor) disconnect(state State) {
	m.mu.Lock()
	m.client, m.state = nil, state
	m.mu.Unlock()
}
