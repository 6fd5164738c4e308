package power

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// hookPoll is how often a hook is asked for the VM's state.
const hookPoll = 5 * time.Second

// A HookConfig is how commands of one's own act on a VM: each is a program with its arguments, run
// without a shell. What is left out cannot be done, except that a cycle is off and then on.
type HookConfig struct {
	On     []string `json:"on" yaml:"on"`
	Off    []string `json:"off" yaml:"off"`
	Status []string `json:"status" yaml:"status"` // exit code 0: on, 1: off, another: not known
	Reset  []string `json:"reset,omitempty" yaml:"reset"`
	Cycle  []string `json:"cycle,omitempty" yaml:"cycle"`
	NMI    []string `json:"nmi,omitempty" yaml:"nmi"`
	Soft   []string `json:"soft,omitempty" yaml:"soft"` // press the power button
}

func (c *HookConfig) check() error {
	for _, a := range []struct {
		name string
		argv []string
		must bool
	}{
		{"on", c.On, true},
		{"off", c.Off, true},
		{"status", c.Status, true},
		{"reset", c.Reset, false},
		{"cycle", c.Cycle, false},
		{"nmi", c.NMI, false},
		{"soft", c.Soft, false},
	} {
		if a.must && len(a.argv) == 0 {
			return fmt.Errorf("hook.%s: is missing", a.name)
		}
		if len(a.argv) > 0 && a.argv[0] == "" {
			return fmt.Errorf("hook.%s: the program has no name", a.name)
		}
	}
	return nil
}

// A Hook commands a VM by programs of somebody's own. It sees only whether the VM is on: who resets
// it or why it is off is not told.
type Hook struct {
	tracker
	cfg    HookConfig
	env    []string
	ctx    context.Context
	cancel context.CancelFunc
	turn   sync.Mutex // one program at a time
	done   sync.WaitGroup
}

var (
	_ Driver = (*Hook)(nil)
	_ Cycler = (*Hook)(nil)
)

// NewHook begins to ask for the VM's state. A nil log is quiet.
func NewHook(cfg HookConfig, t Target, log *slog.Logger) *Hook { return newHook(cfg, t, log, hookPoll) }

func newHook(cfg HookConfig, t Target, log *slog.Logger, every time.Duration) *Hook {
	h := &Hook{cfg: cfg, env: t.environ()}
	h.log = quietUnless(log)
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.done.Go(func() { h.poll(every) })
	return h
}

func (h *Hook) poll(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		h.turn.Lock()
		h.look(h.ctx)
		h.turn.Unlock()
		select {
		case <-h.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look asks for the state and tells of a change. The caller has the turn.
func (h *Hook) look(ctx context.Context) {
	code, err := h.run(ctx, "status", h.cfg.Status)
	before, now := h.State(), Unknown
	switch {
	case ctx.Err() != nil:
		return
	case err == nil:
		now = Running
	case code == 1:
		now = Off
	case before != Unknown:
		h.log.Warn("VM's state is not known", "error", err)
	}
	switch {
	case now == before:
	case now == Running:
		h.enter(now, Event{Kind: EventStarted, Reason: "status"})
	case now == Off:
		h.enter(now, Event{Kind: EventExited, Reason: Exit{}.String()})
	default:
		h.enter(now, Event{Kind: EventLost, Reason: "status"})
	}
}

// act runs one program and then asks for the state.
func (h *Hook) act(ctx context.Context, name string, argv []string) error {
	h.turn.Lock()
	defer h.turn.Unlock()
	if err := h.ctx.Err(); err != nil {
		return err
	}
	if len(argv) == 0 {
		return fmt.Errorf("hook %s: %w", name, ErrUnsupported)
	}
	_, err := h.run(ctx, name, argv)
	h.look(ctx)
	return err
}

// living is act for a VM that is on.
func (h *Hook) living(ctx context.Context, name string, argv []string) error {
	if h.State() != Running {
		return fmt.Errorf("hook %s: %w", name, ErrNotRunning)
	}
	return h.act(ctx, name, argv)
}

// Start implements [Driver].
func (h *Hook) Start(ctx context.Context) error {
	if h.State() == Running {
		return ErrRunning
	}
	return h.act(ctx, "on", h.cfg.On)
}

// Kill implements [Driver].
func (h *Hook) Kill(ctx context.Context) error {
	if h.State() == Off {
		return nil
	}
	return h.act(ctx, "off", h.cfg.Off)
}

// Cycle implements [Cycler].
func (h *Hook) Cycle(ctx context.Context) error { return h.living(ctx, "cycle", h.cfg.Cycle) }

// Cont implements [Driver]: a hook knows no pause.
func (h *Hook) Cont(context.Context) error {
	if h.State() != Running {
		return ErrNotRunning
	}
	return nil
}

// Reset implements [Driver].
func (h *Hook) Reset(ctx context.Context) error {
	err := h.living(ctx, "reset", h.cfg.Reset)
	if err == nil {
		h.publish(Event{Kind: EventReset, Reason: "hook"})
	}
	return err
}

// PowerDown implements [Driver].
func (h *Hook) PowerDown(ctx context.Context) error {
	err := h.living(ctx, "soft", h.cfg.Soft)
	if err == nil {
		h.publish(Event{Kind: EventPowerDown, Reason: "hook"})
	}
	return err
}

// NMI implements [Driver].
func (h *Hook) NMI(ctx context.Context) error { return h.living(ctx, "nmi", h.cfg.NMI) }

// Close implements [Driver]. A program that runs is ended.
func (h *Hook) Close() error {
	h.cancel()
	h.done.Wait()
	h.feed.Close()
	return nil
}

// environ is what a hook's program learns of its VM.
func (t Target) environ() []string {
	return append(os.Environ(),
		fmt.Sprintf("MIDPLANE_SLOT=%d", t.Slot), "MIDPLANE_NAME="+t.Name, "MIDPLANE_UUID="+t.UUID)
}
