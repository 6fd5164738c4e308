package power

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/midplane-project/midplane/node/power/qmp"
)

// The rhythm of dialling a monitor that is away, and how long one greeting may take.
const (
	redialFirst = 100 * time.Millisecond
	redialLast  = time.Second
	dialLimit   = 3 * time.Second
)

// An Attached commands a VM that somebody else starts and ends, over its QMP socket.
// It dials again whenever the monitor goes away. So that a VM can have power again after it was powered
// off, QEMU is told to keep its memory then: only who started it can start another.
type Attached struct {
	monitor
	socket, uuid string
	cancel       context.CancelFunc
	done         sync.WaitGroup
}

var _ Driver = (*Attached)(nil)

// Attach follows the VM behind a QMP socket, which need not exist yet. With a uuid, a monitor of
// another VM is refused. A nil log is quiet.
func Attach(socket, uuid string, log *slog.Logger) *Attached {
	ctx, cancel := context.WithCancel(context.Background())
	a := &Attached{socket: socket, uuid: uuid, cancel: cancel}
	a.log = quietUnless(log)
	a.done.Go(func() { a.run(ctx) })
	return a
}

func quietUnless(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}

func (a *Attached) run(ctx context.Context) {
	wait := redialFirst
	for {
		c, err := dialVM(ctx, a.socket, a.uuid)
		switch {
		case err == nil:
			wait = redialFirst
			a.serve(ctx, c)
		case absence(err) == Off:
			a.gone()
		default:
			a.disconnect(Unknown)
			a.log.Debug("VM monitor is away", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
			wait = min(2*wait, redialLast)
		}
	}
}

func (a *Attached) serve(ctx context.Context, c *qmp.Client) {
	defer c.Close()
	events, err := a.connect(ctx, c)
	if err != nil {
		return
	}
	if err := c.SetAction(ctx, qmp.Actions{Shutdown: "pause"}); err != nil {
		a.log.Warn("QEMU will end when its VM is powered off, and then the VM cannot be powered on", "error", err)
	}
	a.follow(ctx, c, events)
	a.disconnect(Unknown)
	a.publish(Event{Kind: EventLost})
}

// gone tells once that there is no QEMU.
func (a *Attached) gone() {
	if a.State() == Absent {
		return
	}
	a.disconnect(Absent)
	a.publish(Event{Kind: EventExited, Reason: Exit{}.String()})
}

// Start implements [Driver]: a VM that was powered off is reset and waits in prelaunch.
func (a *Attached) Start(ctx context.Context) error {
	switch a.State() {
	case Running, Paused, Suspended:
		return ErrRunning
	case Absent:
		return fmt.Errorf("%w: its QEMU has ended, and only who started it can start another", ErrNotRunning)
	case Prelaunch:
	default:
		if err := a.rewind(ctx); err != nil {
			return err
		}
	}
	a.publish(Event{Kind: EventStarted, Reason: "power on"})
	return nil
}

// rewind resets a stopped VM and waits until QEMU has done so.
func (a *Attached) rewind(ctx context.Context) error {
	events := a.Subscribe(queueSize)
	defer events.Cancel()
	if err := a.Reset(ctx); err != nil {
		return err
	}
	for a.State() != Prelaunch {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, ok := <-events.C():
			if !ok || e.Kind == EventLost {
				return ErrNotRunning
			}
		}
	}
	return nil
}

// Kill implements [Driver]: the VM stops, is reset, and waits. QMP has no power off that QEMU survives.
func (a *Attached) Kill(ctx context.Context) error {
	if s := a.State(); s == Absent || s == Shutdown {
		return nil
	}
	a.forGood(true)
	if err := a.Stop(ctx); err != nil {
		a.forGood(false)
		return err
	}
	return a.rewind(ctx)
}

// forGood says whether the next stop is a power off, and no pause.
func (a *Attached) forGood(off bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shutdown = off
}

// absence tells a QEMU that has ended from one that cannot be asked.
func absence(err error) State {
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
		return Off
	}
	return Unknown
}

// Close implements [Driver].
func (a *Attached) Close() error {
	a.cancel()
	a.done.Wait()
	a.feed.Close()
	return nil
}

// dialVM connects to a monitor and makes sure whose it is.
func dialVM(ctx context.Context, socket, uuid string) (*qmp.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	c, err := qmp.Dial(ctx, socket)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no greeting: another program holds the monitor, or QEMU is stopped: %w", err)
		}
		return nil, err
	}
	if uuid == "" {
		return c, nil
	}
	got, err := c.QueryUUID(ctx)
	if err == nil && !strings.EqualFold(got, uuid) {
		err = fmt.Errorf("%w: it has UUID %s, not %s", ErrForeign, got, uuid)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}
