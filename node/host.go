package node

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
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
	// ErrNotGranted says that the shelf does not let the VM have power.
	ErrNotGranted error = stateError("the shelf has not granted power to the VM")
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
	machine power.Driver   // nil: only the VM protocol reaches the VM
	own     power.Launcher // the machine, when nobody else starts it; else nil
	managed bool           // who manages the VM's process is to be told of its end first
	door    door
	watch   vmWatcher
	dir     string
	wanted  func(on bool) error // stores what the VM's power should be
	life    *life
	observe func(e power.Event, paused bool)
	console recorder // nil: nobody's
	log     *slog.Logger
	changed chan struct{} // one slot: on or cycle changed
	jobs    chan job      // what is done before it is answered
	end     *time.Timer   // runs while the VM may obey the VM protocol's power off
	grace   *time.Timer   // runs while the guest may end itself

	onGuestPoweroff string
	leave           func()           // asks for the board's deactivation
	saveGranted     func(bool) error // stores the shelf's grant

	mu      sync.Mutex
	on      bool // the VM should run
	ending  bool // it was told to end and has not yet
	cycle   bool // it should be off for a while
	granted bool // the shelf lets it have power
	asked   bool // somebody else's VM is to have power, and has not yet
}

func newHost(machine power.Driver, dir string, on bool, wanted func(bool) error, log *slog.Logger) *host {
	h := &host{
		machine: machine, watch: unwatched{}, dir: dir, on: on, granted: true, wanted: wanted, life: newLife(&mc.MemoryRecords{}, log), log: log,
		changed: make(chan struct{}, 1), jobs: make(chan job), end: time.NewTimer(offWithin), grace: time.NewTimer(gracefulWithin),
		observe: func(power.Event, bool) {}, leave: func() {},
	}
	h.own, _ = machine.(power.Launcher)
	h.end.Stop()
	h.grace.Stop()
	return h
}

// where is the VM's power.
func (h *host) where() powerState {
	if h.machine == nil {
		if len(h.door.Connected()) > 0 {
			return stateLinked
		}
		return stateAbsent
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return place(h.machine.State(), condition{own: h.own != nil, wanted: h.on, held: h.isHeld(), ending: h.ending})
}

// On reports whether the VM has power.
func (h *host) On() bool {
	switch h.where() {
	case stateLinked, stateWaiting, stateRunning, statePaused:
		return true
	case stateEnding:
		s := h.machine.State()
		return s != power.Unknown
	}
	return false
}

// decide looks up what becomes of a request, and says why if nothing does.
func (h *host) decide(r powerRequest) (outcome, error) {
	h.mu.Lock()
	granted := h.granted
	h.mu.Unlock()
	s := h.where()
	o := decide(granted, s, r)
	switch o {
	case refuse, busy, activate:
		err := powerRefusal(o, s, r)
		if o == busy {
			err = ipmb.ErrBusy
		}
		h.log.Warn("power request refused", "request", r.String(), "vm", s.String(), "err", err)
		return o, err
	}
	if r != requestNMI {
		h.grace.Stop() // what was asked before is overtaken
	}
	return o, nil
}

// Grant notes whether the shelf lets the VM have power. It is remembered, so
// that a VM can start while no shelf manager is there.
func (h *host) Grant(granted bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.granted == granted {
		return nil
	}
	if err := h.saveGranted(granted); err != nil {
		return err
	}
	h.granted = granted
	return nil
}

// PowerOn starts the VM, which is under way when PowerOn returns, or lets a
// paused one go on.
func (h *host) PowerOn(ctx context.Context) error {
	todo, err := h.decide(requestOn)
	if err != nil || h.machine == nil {
		return err
	}
	if err := os.Remove(filepath.Join(h.dir, HoldFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := h.want(true); err != nil {
		return err
	}
	switch {
	case todo == resume:
		return h.goOn(ctx)
	case todo == start && h.own == nil:
		return h.askStart(ctx)
	}
	return nil
}

// PowerOff takes the VM's power at once.
func (h *host) PowerOff(ctx context.Context) error {
	todo, err := h.decide(requestOff)
	if err == nil {
		err = h.want(false)
	}
	if err != nil || todo == done {
		return err
	}
	switch {
	case h.machine == nil:
		return h.door.Hardware(vm.CommandPowerOff)
	case h.machine.State() == power.Crashed:
		return h.machine.Kill(ctx) // of its process, perhaps nothing is there
	}
	h.setEnding(true)
	h.end.Reset(offWithin)
	switch {
	case h.managed:
		err = h.attempt(ctx, "off", func(ctx context.Context, k *keeper) error { return k.machine.Kill(ctx) })
	case h.door.Hardware(vm.CommandPowerOff) != nil:
		err = h.machine.Kill(ctx)
	}
	if err != nil {
		h.setEnding(false)
	}
	return err
}

// Cycle takes the VM's power for a while. It is under way when Cycle returns.
func (h *host) Cycle(context.Context) error {
	if _, err := h.decide(requestCycle); err != nil {
		return err
	}
	h.startCycle()
	return nil
}

func (h *host) startCycle() {
	h.mu.Lock()
	h.cycle = true
	h.mu.Unlock()
	h.notify()
}

// pressed are the requests that the VM protocol's commands stand for.
var pressed = map[vm.Command]powerRequest{
	vm.CommandReset: requestReset, vm.CommandNMI: requestNMI, vm.CommandGracefulPower: requestSoft,
}

// Press resets the VM, raises an NMI or presses its power button. The VM
// protocol comes first: its command stands before the answer to the guest that
// asks for it. A guest that does not power off in time after its button was
// pressed loses its power.
func (h *host) Press(ctx context.Context, c vm.Command) error {
	r, ok := pressed[c]
	if !ok {
		return ipmb.ErrInvalidField
	}
	todo, err := h.decide(r)
	if err != nil {
		return err
	}
	if todo == cycle {
		h.startCycle()
		return nil
	}
	soft := r == requestSoft && h.machine != nil
	if soft {
		h.grace.Reset(gracefulWithin) // before: the guest may be quick
	}
	err = h.door.Hardware(c)
	if err != nil && h.machine != nil {
		err = h.press(ctx, c)
	}
	if err != nil && soft {
		h.grace.Stop()
	}
	return err
}

func (h *host) press(ctx context.Context, c vm.Command) (err error) {
	switch c {
	case vm.CommandReset:
		err = h.machine.Reset(ctx)
	case vm.CommandNMI:
		err = h.machine.NMI(ctx)
	default:
		err = h.machine.PowerDown(ctx)
	}
	if errors.Is(err, power.ErrNotRunning) || errors.Is(err, power.ErrUnsupported) {
		return h.failed(c.String(), err)
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

func (h *host) setAsked(asked bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = asked
}

func (h *host) isAsked() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked
}

// shouldRun reports whether the VM should have power, may have it, and is not
// held down.
func (h *host) shouldRun() bool { return h.wants() && h.isGranted() && !h.isHeld() }

func (h *host) isGranted() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.granted
}

func (h *host) isHeld() bool {
	_, err := os.Stat(filepath.Join(h.dir, HoldFile))
	return !errors.Is(err, os.ErrNotExist)
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
	if err := h.goOn(ctx); err != nil {
		h.log.Warn("VM does not go on", "err", err)
	}
}

// goOn lets a VM run that stands still. Its first words are waited for by whoever
// records its console, if it can be had in time.
func (h *host) goOn(ctx context.Context) error {
	h.listen(ctx, recorder.Ready)
	return h.machine.Cont(ctx)
}

// A recorder keeps what the VM says on its console.
type recorder interface {
	// Ready waits until what the VM's process says is recorded, and Over until
	// all is that one which has ended has said.
	Ready(context.Context) error
	Over(context.Context) error
}

// recordWithin is how long a VM waits for its console's recorder.
const recordWithin = time.Second

// listen waits for the recorder of the VM's console.
func (h *host) listen(ctx context.Context, until func(recorder, context.Context) error) {
	if h.console == nil {
		return
	}
	wait, cancel := context.WithTimeout(ctx, recordWithin)
	defer cancel()
	if err := until(h.console, wait); err != nil && ctx.Err() == nil {
		h.log.Warn("some of what the VM says may not be recorded", "err", err)
	}
}
