package power

import (
	"context"
	"errors"
	"time"

	"github.com/midplane-project/midplane/node/power/internal/feed"
)

// Errors that callers tell apart.
var (
	ErrNotRunning = errors.New("the VM is not running")
	ErrRunning    = errors.New("the VM is running already")
	ErrInUse      = errors.New("another process manages this VM")
	ErrForeign    = errors.New("the monitor belongs to another VM")
	// ErrUnsupported says that a driver has no means for a command.
	ErrUnsupported = errors.New("there is no way to do this to the VM")
)

// Events is a subscriber's bounded queue: when it is full the oldest event is dropped and counted,
// and [Driver.State] tells where the VM is in any case.
type Events = feed.Subscription[Event]

// A Driver commands one VM and tells what happens to it. Its methods may be called concurrently.
// Commands return [ErrNotRunning] when there is no VM to command, and [ErrUnsupported] when this
// driver never can.
type Driver interface {
	// State is where the VM is, as far as its last event tells.
	State() State
	// VMTimePaused reports whether the VM's clock stands still, and with it QEMU's IPMI timeouts.
	// It is false while the state is unknown.
	VMTimePaused() bool
	// Subscribe returns a queue of size events, filled from now on and closed with the driver.
	Subscribe(size int) *Events

	// Start gives the VM power: it is in prelaunch then, or runs. [ErrRunning] if it has power.
	Start(context.Context) error
	// Kill takes its power at once and is fine if it has none. Where the process stays the VM is in
	// shutdown or prelaunch after it.
	Kill(context.Context) error

	Cont(context.Context) error      // start or resume the processors
	Reset(context.Context) error     // press the reset button; a paused VM stays stopped until Cont
	PowerDown(context.Context) error // press the ACPI power button
	NMI(context.Context) error       // raise an NMI

	// Close lets go of the VM, which goes on as it is.
	Close() error
}

// A Launcher is a Driver whose VM nobody else starts or ends: it owns the VM's process.
type Launcher interface {
	Driver
	Adopt(context.Context) error // find the process that an earlier owner left; ErrNotRunning if there is none
}

// A Cycler is a Driver with a way of its own to take power away for a while and give it back.
type Cycler interface {
	Cycle(context.Context) error
}

// A Threaded is a Driver that knows where its VM's process is: see [Attached].
type Threaded interface {
	Thread() (thread, cpus int)
}

// A Metered is a Driver that says how much processor time its VM has used, and
// of how many processors.
type Metered interface {
	CPUTime(context.Context) (used time.Duration, cpus int, err error)
}
