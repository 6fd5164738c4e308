package power

import (
	"fmt"
	"syscall"
	"time"
)

// A State is where a VM is.
type State int

// The states. In Off, Absent and mostly Crashed there is no process; the VM's clock runs in Running and Suspended only.
const (
	Unknown   State = iota // nothing can be asked at present
	Off                    // the process ended in an orderly way, or there was none
	Prelaunch              // loaded and never run, or reset while stopped
	Running
	Paused
	Suspended // the guest sleeps (S3)
	Shutdown  // the guest powered off and QEMU kept its memory
	Crashed   // the process ended by itself without a shutdown, or QEMU or the guest broke down
	Absent    // there is no process, and this driver cannot make one
)

var stateNames = [...]string{"unknown", "off", "prelaunch", "running", "paused", "suspended", "shutdown", "crashed", "absent"}

// String is the state's name in small letters.
func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("state(%#x)", int(s))
	}
	return stateNames[s]
}

// timePaused reports whether the VM's clock stands still in s. Where nothing is known it is taken to run:
// a request answered too early by our clock is safe, one answered too late by the VM's is not.
func (s State) timePaused() bool { return s != Running && s != Suspended && s != Unknown }

// stateOf maps QEMU's run states (qapi/run-state.json) to ours. States on the way through a migration
// or a snapshot are pauses.
func stateOf(status string) State {
	switch status {
	case "running":
		return Running
	case "prelaunch", "inmigrate":
		return Prelaunch
	case "suspended":
		return Suspended
	case "shutdown":
		return Shutdown
	case InternalError, "guest-panicked":
		return Crashed
	}
	return Paused
}

// An EventKind names what happened.
type EventKind string

// The kinds of events.
const (
	EventStarted   EventKind = "started"   // the node reached the VM: started, adopted or attached
	EventLost      EventKind = "lost"      // the monitor's connection broke; the VM may go on
	EventExited    EventKind = "exited"    // the process ended: see Exit
	EventReset     EventKind = "reset"     // the machine was reset, once per reset
	EventPowerDown EventKind = "powerdown" // the ACPI power button was pressed
	EventShutdown  EventKind = "shutdown"  // the guest or the host ended the machine: see Guest
	EventStop      EventKind = "stop"      // the processors and the VM's clock stopped
	EventResume    EventKind = "resume"    // they run
	EventSuspend   EventKind = "suspend"   // the guest went to sleep
	EventWakeup    EventKind = "wakeup"    // it woke
	EventPanicked  EventKind = "panicked"  // the guest's kernel said so through pvpanic
	EventWatchdog  EventKind = "watchdog"  // QEMU's own watchdog device fired
	EventMemory    EventKind = "memory"    // memory of the host's under the VM's is broken: see Reason
)

// InternalError is QEMU's word for a VM that it cannot run on: the reason of its stop.
const InternalError = "internal-error"

// An Event is one thing that happened to the VM.
type Event struct {
	Kind   EventKind
	Time   time.Time // QEMU's clock where it comes from QEMU
	State  State     // after the event
	Guest  bool      // reset, shutdown: the guest caused it
	Reason string    // QEMU's word for the cause or its action, such as guest-shutdown
	Exit   Exit      // of EventExited
}

// An Exit is how the process ended.
type Exit struct {
	Known  bool           // false for an adopted process, whose status went to its real parent
	Code   int            // exit code, when Signal is 0
	Signal syscall.Signal // what killed it, or 0
}

// String says it in words.
func (e Exit) String() string {
	switch {
	case !e.Known:
		return "ended"
	case e.Signal != 0:
		return "killed by " + e.Signal.String()
	}
	return fmt.Sprintf("exit code %d", e.Code)
}
