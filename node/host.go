package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/vm"
)

// HoldFile in a node's directory keeps a VM that was killed on purpose down
// until it is started again.
const HoldFile = "vm.hold"

// Pauses before a crashed VM is started again: doubled from first to last.
const (
	restartFirst = time.Second
	restartLast  = time.Minute
	// steady is how long a VM must run for its earlier crashes to be forgotten.
	steady = time.Minute
)

// host is the VM of a node, as far as its controller acts on it. Without a
// machine of its own it reaches the VM only by the VM protocol.
type host struct {
	machine power.Launcher // nil: somebody else starts the VM
	door    *vm.Door
	dir     string
	wanted  func(on bool) error // stores what the VM's power should be
	log     *slog.Logger

	mu    sync.Mutex
	on    bool // the VM should run
	start chan struct{}
}

func newHost(machine power.Launcher, dir string, on bool, wanted func(bool) error, log *slog.Logger) *host {
	return &host{machine: machine, dir: dir, on: on, wanted: wanted, log: log, start: make(chan struct{}, 1)}
}

// On reports whether the VM has power.
func (h *host) On() bool {
	if h.machine == nil {
		return len(h.door.Connected()) > 0
	}
	switch h.machine.State() {
	case power.Off, power.Crashed, power.Shutdown, power.Unknown:
		return false
	}
	return true
}

// PowerOn starts the VM, which is under way when PowerOn returns.
func (h *host) PowerOn(ctx context.Context) error {
	if h.machine == nil {
		if h.On() {
			return nil
		}
		return fmt.Errorf("the VM is started by somebody else: %w", ipmb.ErrState)
	}
	if err := os.Remove(filepath.Join(h.dir, HoldFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := h.want(true); err != nil {
		return err
	}
	if h.On() {
		return h.machine.Cont(ctx)
	}
	select {
	case h.start <- struct{}{}:
	default:
	}
	return nil
}

// PowerOff takes the VM's power at once.
func (h *host) PowerOff(ctx context.Context) error {
	if err := h.want(false); err != nil {
		return err
	}
	err := h.door.Hardware(vm.CommandPowerOff)
	if err != nil && h.machine != nil {
		return h.machine.Kill(ctx)
	}
	if errors.Is(err, vm.ErrNotConnected) && !h.On() {
		return nil
	}
	return err
}

func (h *host) want(on bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.on == on {
		return nil
	}
	if err := h.wanted(on); err != nil {
		return err
	}
	h.on = on
	return nil
}

func (h *host) shouldRun() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := os.Stat(filepath.Join(h.dir, HoldFile))
	return h.on && errors.Is(err, os.ErrNotExist)
}

// connected lets a VM run that waits before its first instruction: its
// controller is there now.
func (h *host) connected(ctx context.Context) {
	if h.machine == nil || h.machine.State() != power.Prelaunch || !h.shouldRun() {
		return
	}
	if err := h.machine.Cont(ctx); err != nil {
		h.log.Warn("VM does not go on", "err", err)
	}
}

// run keeps the VM as it should be until ctx ends, and leaves it running then.
func (h *host) run(ctx context.Context) error {
	if h.machine == nil {
		<-ctx.Done()
		return nil
	}
	events := h.machine.Subscribe(64)
	defer events.Cancel()
	if err := h.machine.Adopt(ctx); err != nil && !errors.Is(err, power.ErrNotRunning) {
		h.log.Warn("VM of an earlier run not adopted", "err", err)
	}
	h.door.SetPaused(h.machine.VMTimePaused())
	pause, began := restartFirst, time.Now()
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.start:
			retry.Reset(0)
		case <-retry.C:
			if h.shouldRun() && !h.On() {
				began = time.Now()
				h.launch(ctx, retry, pause)
			}
		case e, ok := <-events.C():
			if !ok {
				return nil
			}
			if h.happened(ctx, e) {
				if time.Since(began) > steady {
					pause = restartFirst
				}
				retry.Reset(pause)
				pause = min(2*pause, restartLast)
			}
		}
	}
}

// launch starts the VM; one that cannot be started is tried again.
func (h *host) launch(ctx context.Context, retry *time.Timer, pause time.Duration) {
	if err := h.machine.Start(ctx); err != nil {
		h.log.Error("VM not started", "err", err)
		retry.Reset(pause)
	}
}

// happened takes note of an event, and reports whether the VM crashed and
// should be started again.
func (h *host) happened(ctx context.Context, e power.Event) (crashed bool) {
	h.log.Info("VM", "event", e.Kind, "state", e.State.String(), "guest", e.Guest, "reason", e.Reason)
	h.door.SetPaused(h.machine.VMTimePaused())
	switch e.Kind {
	case power.EventShutdown:
		// A guest that powered off stays off; it is not a crash.
		if err := h.want(false); err != nil {
			h.log.Error("VM's power state not stored", "err", err)
		}
	case power.EventStarted:
		if len(h.door.Connected()) > 0 {
			h.connected(ctx)
		}
	case power.EventExited:
		return e.State == power.Crashed && h.shouldRun()
	}
	return false
}
