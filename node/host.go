package node

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/vm"
)

// HoldFile in a node's directory keeps a VM that was killed on purpose down
// until it is started again.
const HoldFile = "vm.hold"

// stateError says what the VM is not in the state for: D5h on the wire.
type stateError string

func (e stateError) Error() string { return string(e) }
func (stateError) Unwrap() error   { return ipmb.ErrState }

// Errors of what acts on the VM.
var (
	// ErrNoVM says that somebody else starts this node's VM, or that it has none.
	ErrNoVM error = stateError("this node does not start a VM")
	// ErrVMOff says that the VM has no power.
	ErrVMOff error = stateError("the VM is off")
)

// door is what the host needs of the guest's door.
type door interface {
	Hardware(vm.Command) error
	Connected() []vm.Link
	SetPaused(bool)
}

// host is the VM of a node, as far as its controller acts on it. Without a
// machine of its own it reaches the VM only by the VM protocol. What it is
// told to do is wished at once and done by run.
type host struct {
	machine power.Launcher // nil: somebody else starts the VM
	door    door
	dir     string
	wanted  func(on bool) error // stores what the VM's power should be
	system  func(on bool)       // told that the VM was started or reset, or else ended
	log     *slog.Logger
	changed chan struct{} // one slot: on or cycle changed

	mu     sync.Mutex
	on     bool // the VM should run
	ending bool // it was told to end and has not yet
	cycle  bool // it should be off for a while
}

func newHost(machine power.Launcher, dir string, on bool, wanted func(bool) error, log *slog.Logger) *host {
	return &host{
		machine: machine, dir: dir, on: on, wanted: wanted, system: func(bool) {}, log: log, changed: make(chan struct{}, 1),
	}
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

// PowerOn starts the VM, which is under way when PowerOn returns, or lets a
// paused one go on.
func (h *host) PowerOn(ctx context.Context) error {
	if h.machine == nil {
		if h.On() {
			return nil
		}
		return ErrNoVM
	}
	if err := os.Remove(filepath.Join(h.dir, HoldFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := h.want(true); err != nil {
		return err
	}
	if h.On() && !h.isEnding() {
		return h.machine.Cont(ctx)
	}
	return nil
}

// PowerOff takes the VM's power at once.
func (h *host) PowerOff(ctx context.Context) error {
	if err := h.want(false); err != nil {
		return err
	}
	if !h.On() {
		return nil
	}
	h.setEnding(h.machine != nil)
	err := h.door.Hardware(vm.CommandPowerOff)
	if err != nil && h.machine != nil {
		return h.machine.Kill(ctx)
	}
	return err
}

// Cycle takes the VM's power for a while. It is under way when Cycle returns.
func (h *host) Cycle(context.Context) error {
	switch {
	case h.machine == nil:
		return ErrNoVM
	case !h.On():
		return ErrVMOff
	}
	h.mu.Lock()
	h.cycle = true
	h.mu.Unlock()
	h.notify()
	return nil
}

// Press resets the VM, raises an NMI or presses its power button. The VM
// protocol comes first: its command stands before the answer to the guest that
// asks for it.
func (h *host) Press(ctx context.Context, c vm.Command) error {
	if !h.On() {
		return ErrVMOff
	}
	err := h.door.Hardware(c)
	if err == nil || h.machine == nil {
		return err
	}
	switch c {
	case vm.CommandReset:
		return h.machine.Reset(ctx)
	case vm.CommandNMI:
		return h.machine.NMI(ctx)
	case vm.CommandGracefulPower:
		return h.machine.PowerDown(ctx)
	}
	return err
}

// want notes what the VM's power should be, on disk first.
func (h *host) want(on bool) error {
	defer h.notify()
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

func (h *host) wants() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.on
}

func (h *host) isEnding() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ending
}

func (h *host) setEnding(ending bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ending = ending
}

// shouldRun reports whether the VM should have power and is not held down.
func (h *host) shouldRun() bool {
	_, err := os.Stat(filepath.Join(h.dir, HoldFile))
	return h.wants() && errors.Is(err, os.ErrNotExist)
}

// takeCycle reports once that a power cycle is wished.
func (h *host) takeCycle() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	cycle := h.cycle
	h.cycle = false
	return cycle
}

func (h *host) notify() {
	select {
	case h.changed <- struct{}{}:
	default:
	}
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
