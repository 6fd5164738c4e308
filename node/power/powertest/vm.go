// Package powertest is a VM in memory, for tests of what starts, watches and ends one.
//
// It does no I/O and starts no goroutine, so it also runs in virtual time.
package powertest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/power/internal/feed"
)

// A VM is a [power.Launcher] without a process. It begins in [power.Off].
type VM struct {
	feed feed.Feed[power.Event]

	mu    sync.Mutex
	state power.State
	calls []string
	fail  map[string]error
	obeys bool

	next  power.Boot // of the next process
	order string     // of the next reset
	once  bool       // order goes with it
	boots []string   // what was booted so far
}

var _ power.Launcher = (*VM)(nil)

// New returns a VM whose guest obeys the power button.
func New() *VM { return &VM{state: power.Off, fail: make(map[string]error), obeys: true} }

// Foreign is the VM as a driver sees that of somebody else.
func (v *VM) Foreign() power.Driver { return struct{ power.Driver }{v} }

// Obey says whether the guest powers off when its power button is pressed.
func (v *VM) Obey(obeys bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.obeys = obeys
}

// Fail makes a command, by its method's name, return err; nil heals it.
func (v *VM) Fail(method string, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.fail[method] = err
}

// Calls lists the commands so far, by their methods' names.
func (v *VM) Calls() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.calls)
}

// State implements [power.Driver].
func (v *VM) State() power.State {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.state
}

// VMTimePaused implements [power.Driver].
func (v *VM) VMTimePaused() bool {
	s := v.State()
	return s != power.Running && s != power.Suspended && s != power.Unknown
}

// Subscribe implements [power.Driver].
func (v *VM) Subscribe(size int) *power.Events { return v.feed.Subscribe(size) }

// Close implements [power.Driver]; the VM keeps its state.
func (v *VM) Close() error {
	v.feed.Close()
	return nil
}

// Start implements [power.Driver].
func (v *VM) Start(context.Context) error {
	return v.command("Start", func() error {
		if v.alive() {
			return power.ErrRunning
		}
		v.enter(power.Prelaunch, power.Event{Kind: power.EventStarted, Reason: "prelaunch"})
		v.boots, v.order, v.once = append(v.boots, v.next.Order), v.next.Order, v.next.Once
		return nil
	})
}

// Adopt implements [power.Launcher]: it finds the VM that SetState left running.
func (v *VM) Adopt(context.Context) error {
	return v.living("Adopt", func() { v.enter(v.state, power.Event{Kind: power.EventStarted, Reason: v.state.String()}) })
}

// Kill implements [power.Driver].
func (v *VM) Kill(context.Context) error {
	return v.command("Kill", func() error {
		if v.alive() {
			v.end(power.Off, power.Exit{Known: true})
		}
		return nil
	})
}

// Cont implements [power.Driver].
func (v *VM) Cont(context.Context) error {
	return v.living("Cont", func() {
		if v.state != power.Running {
			v.enter(power.Running, power.Event{Kind: power.EventResume})
		}
	})
}

// Stop pauses the VM.
func (v *VM) Stop(context.Context) error {
	return v.living("Stop", func() {
		if v.state == power.Running {
			v.enter(power.Paused, power.Event{Kind: power.EventStop})
		}
	})
}

// Reset implements [power.Driver].
func (v *VM) Reset(context.Context) error {
	return v.living("Reset", func() { v.reset(power.Event{Kind: power.EventReset, Reason: "host-qmp-system-reset"}) })
}

// PowerDown implements [power.Driver].
func (v *VM) PowerDown(context.Context) error {
	return v.living("PowerDown", func() {
		v.enter(v.state, power.Event{Kind: power.EventPowerDown})
		if v.obeys && v.state == power.Running {
			v.poweroff()
		}
	})
}

// NMI implements [power.Driver].
func (v *VM) NMI(context.Context) error { return v.living("NMI", func() {}) }

// SetState puts the VM into a state without an event.
func (v *VM) SetState(s power.State) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.state = s
}

// GuestPoweroff is the guest powering itself off: its process ends.
func (v *VM) GuestPoweroff() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.poweroff()
}

// GuestReboot is the guest resetting itself.
func (v *VM) GuestReboot() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.reset(power.Event{Kind: power.EventReset, Guest: true, Reason: "guest-reset"})
}

// Crash is the process's end by a fault.
func (v *VM) Crash(exit power.Exit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.end(power.Crashed, exit)
}

func (v *VM) alive() bool { return v.state != power.Off && v.state != power.Crashed }

func (v *VM) command(name string, do func() error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.calls = append(v.calls, name)
	if err := v.fail[name]; err != nil {
		return err
	}
	return do()
}

func (v *VM) living(name string, do func()) error {
	return v.command(name, func() error {
		if !v.alive() {
			return power.ErrNotRunning
		}
		do()
		return nil
	})
}

func (v *VM) enter(s power.State, e power.Event) {
	v.state = s
	e.State, e.Time = s, time.Now()
	v.feed.Publish(e)
}

func (v *VM) reset(e power.Event) {
	s := v.state
	if s == power.Paused || s == power.Shutdown {
		s = power.Prelaunch
	}
	if v.once {
		v.order, v.once = "", false
	}
	v.boots = append(v.boots, v.order)
	v.enter(s, e)
}

func (v *VM) poweroff() {
	v.enter(v.state, power.Event{Kind: power.EventShutdown, Guest: true, Reason: "guest-shutdown"})
	v.end(power.Off, power.Exit{Known: true})
}

func (v *VM) end(s power.State, exit power.Exit) {
	v.enter(s, power.Event{Kind: power.EventExited, Exit: exit, Reason: exit.String()})
}
