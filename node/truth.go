package node

import (
	"fmt"

	"github.com/midplane-project/midplane/node/power"
)

// A powerRequest is what somebody wants of the VM's power.
type powerRequest int

// The requests.
const (
	requestOn powerRequest = iota
	requestOff
	requestCycle
	requestReset
	requestSoft
	requestNMI
	powerRequests
)

var requestNames = [powerRequests]string{"on", "off", "cycle", "reset", "soft", "nmi"}

// String is the request's name.
func (r powerRequest) String() string { return requestNames[r] }

// A powerState is where a VM is as far as its power is concerned.
type powerState int

// The states.
const (
	stateAbsent  powerState = iota // none, and none can be started from here
	stateLinked                    // somebody else's: only the VM protocol reaches it
	stateUnknown                   // it cannot be asked at present
	stateOff                       // never had power, lost it, or its guest powered off
	stateHeld                      // killed on purpose, and down until it is started
	stateEnding                    // told to end, and has not yet
	stateWaiting                   // before its first instruction
	stateRunning
	statePaused
	stateCrashed
	powerStates
)

var powerStateNames = [powerStates]string{
	"absent", "linked", "unknown", "off", "held", "ending", "waiting", "running", "paused", "crashed",
}

// String is the state's name.
func (s powerState) String() string { return powerStateNames[s] }

// An outcome is what becomes of a request.
type outcome int

// The outcomes.
const (
	refuse   outcome = iota // D5h: not in this state
	busy                    // C0h: ask again
	activate                // D5h, and the shelf is asked for the grant
	done                    // it is so already
	start
	resume
	end
	cycle // also what resets a VM that crashed
	press // a reset, an NMI or the power button
)

var outcomeNames = [...]string{"refuse", "busy", "activate", "done", "start", "resume", "end", "cycle", "press"}

// String is the outcome's name.
func (o outcome) String() string { return outcomeNames[o] }

// powerTruth is what each request comes to in each state, for a VM that the
// shelf lets have power. A power button that is pressed, or an NMI that is
// raised, while the VM's time stands still would not be seen: it is refused.
var powerTruth = [powerStates][powerRequests]outcome{
	//              on      off   cycle   reset   soft    NMI
	stateAbsent:  {refuse, done, refuse, refuse, refuse, refuse},
	stateLinked:  {done, end, refuse, press, press, press},
	stateUnknown: {busy, end, busy, busy, busy, busy},
	stateOff:     {start, done, refuse, refuse, refuse, refuse},
	stateHeld:    {start, done, refuse, refuse, refuse, refuse},
	stateEnding:  {start, done, refuse, refuse, refuse, refuse},
	stateWaiting: {resume, end, cycle, press, refuse, refuse},
	stateRunning: {done, end, cycle, press, press, press},
	statePaused:  {resume, end, cycle, press, refuse, refuse},
	stateCrashed: {start, end, cycle, cycle, refuse, refuse},
}

// decide is the truth table of power. Without the shelf's grant a VM can only
// lose its power.
func decide(granted bool, s powerState, r powerRequest) outcome {
	switch {
	case granted || r == requestOff:
		return powerTruth[s][r]
	case r == requestOn:
		return activate
	}
	return refuse
}

// A condition is what else matters of a VM beside its driver's state.
type condition struct {
	own    bool // the node starts it, and nobody else
	wanted bool // it should have power
	held   bool // killed on purpose
	ending bool // told to end
}

// place gives the state of a VM that has a driver.
func place(s power.State, c condition) powerState {
	switch s {
	case power.Absent:
		return stateAbsent
	case power.Off, power.Shutdown, power.Crashed:
		if c.held {
			return stateHeld
		}
		if s == power.Crashed {
			return stateCrashed
		}
		return stateOff
	case power.Prelaunch:
		// Somebody else's VM waits for its first start, or was powered off
		// and kept its memory.
		if !c.own && !c.wanted {
			return stateOff
		}
	}
	if c.ending {
		return stateEnding
	}
	switch s {
	case power.Prelaunch:
		return stateWaiting
	case power.Running, power.Suspended:
		return stateRunning
	case power.Paused:
		return statePaused
	}
	return stateUnknown
}

// A powerRefusal is a request that cannot be done now.
func powerRefusal(o outcome, s powerState, r powerRequest) error {
	switch {
	case o == activate:
		return ErrNotGranted
	case s == stateAbsent || s == stateLinked:
		return ErrNoVM
	case s == stateOff || s == stateHeld:
		return ErrVMOff
	}
	return stateError(fmt.Sprintf("the VM is %s, so there is no power %s", s, r))
}
