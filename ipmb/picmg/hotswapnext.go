package picmg

import "github.com/midplane-project/midplane/ipmb"

// HotSwap is where a FRU is between M1 and M6, and what holds it there. M0 and
// M7 are the shelf manager's to conclude: a FRU is never there itself.
type HotSwap struct {
	State              State
	Locked             bool // M1 does not become M2 by itself
	DeactivationLocked bool // M4 does not become M5
}

// HotSwapInput is what happens to a FRU.
type HotSwapInput uint8

// Inputs.
const (
	WantOn      HotSwapInput = iota // its power is wanted: a power button, a handle that is closed
	WantOff                         // it wants to leave: its payload ended by itself, a handle is opened
	SetActive                       // Set FRU Activation(1)
	SetInactive                     // Set FRU Activation(0)
	Unlock                          // Set FRU Activation Policy clears Locked
	PowerUp                         // Set Power Level gave its payload power
	PowerDown                       // Set Power Level takes it
	Quiesced                        // its payload has no power any more
	hotSwapInputs
)

// Cause is why a state changes by this input, in its event.
func (i HotSwapInput) Cause() Cause {
	switch i {
	case WantOn, WantOff:
		return CauseProgram
	case PowerUp, Quiesced:
		return CauseNormal
	}
	return CauseCommanded
}

// HotSwapEffect is what a FRU has to do for its payload; when that is done,
// Quiesced is the next input.
type HotSwapEffect uint8

// Effects.
const (
	NoEffect HotSwapEffect = iota
	Quiesce                // end the payload in good order
	CutPower               // end it at once
)

// hotSwapMove is what becomes of an input in a state: the zero value is a
// refusal, M0 stands for the state itself.
type hotSwapMove struct {
	ok     bool
	to     State
	effect HotSwapEffect
}

var (
	refused = hotSwapMove{}
	stays   = hotSwapMove{ok: true}
	toM1    = hotSwapMove{ok: true, to: M1}
	toM2    = hotSwapMove{ok: true, to: M2}
	toM3    = hotSwapMove{ok: true, to: M3}
	toM4    = hotSwapMove{ok: true, to: M4}
	toM5    = hotSwapMove{ok: true, to: M5}
	quiesce = hotSwapMove{ok: true, to: M6, effect: Quiesce}
	cut     = hotSwapMove{ok: true, to: M6, effect: CutPower}
)

// hotSwapTruth is the hot swap of a FRU. Unlocking an inactive one is how
// operators ask for its activation, whether it was locked or not. One that is
// to have no power is deactivated.
var hotSwapTruth = [M7][hotSwapInputs]hotSwapMove{
	//   on       off      active   inactive unlock power up down   quiesced
	M1: {toM2, stays, refused, stays, toM2, refused, stays, refused},
	M2: {stays, toM1, toM3, toM1, stays, refused, stays, refused},
	M3: {stays, quiesce, stays, quiesce, stays, toM4, stays, refused},
	M4: {stays, toM5, stays, quiesce, stays, stays, cut, refused},
	M5: {toM4, stays, toM4, quiesce, stays, refused, cut, refused},
	M6: {refused, stays, refused, stays, stays, refused, cut, toM1},
}

// Next gives the state that an input leads to, and what is to be done then. The
// error is D5h, not in this state.
func (h HotSwap) Next(in HotSwapInput) (State, HotSwapEffect, error) {
	if h.State >= M7 || in >= hotSwapInputs {
		return h.State, NoEffect, ipmb.ErrState
	}
	m := hotSwapTruth[h.State][in]
	locked := in == WantOn && h.State == M1 && h.Locked || in == WantOff && h.State == M4 && h.DeactivationLocked
	switch {
	case !m.ok || locked:
		return h.State, NoEffect, ipmb.ErrState
	case m.to == M0:
		return h.State, m.effect, nil
	}
	return m.to, m.effect, nil
}
