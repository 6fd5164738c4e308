package picmg

import "fmt"

// State is the hot-swap state of a FRU, also the event offset and the state
// bit of its sensor (sensor type F0h).
type State uint8

// Hot-swap states.
const (
	M0 State = iota // not installed
	M1              // inactive
	M2              // activation request
	M3              // activation in progress
	M4              // active
	M5              // deactivation request
	M6              // deactivation in progress
	M7              // communication lost
)

var stateNames = [...]string{
	"not installed", "inactive", "activation request", "activation in progress",
	"active", "deactivation request", "deactivation in progress", "communication lost",
}

// Valid reports whether s is one of M0 to M7.
func (s State) Valid() bool { return s <= M7 }

// Name is the state in words, such as "active".
func (s State) Name() string {
	if s.Valid() {
		return stateNames[s]
	}
	return "unknown"
}

// String is the state's short name, such as "M4".
func (s State) String() string { return fmt.Sprintf("M%d", uint8(s)) }

// Cause is why a FRU changed its hot-swap state.
type Cause uint8

// Causes (Wireshark packet-ipmi-se.c, hot-swap event data 2).
const (
	CauseNormal        Cause = 0x0
	CauseCommanded     Cause = 0x1 // Set FRU Activation by the shelf manager
	CauseOperator      Cause = 0x2 // the handle
	CauseProgram       Cause = 0x3 // by the FRU itself
	CauseLink          Cause = 0x4 // communication lost or regained
	CauseLocalLink     Cause = 0x5 // the same, detected locally
	CauseSurprise      Cause = 0x6 // extracted without asking
	CauseInformation   Cause = 0x7 // the shelf manager was told
	CauseBadAddress    Cause = 0x8 // invalid hardware address
	CauseUnexpectedOff Cause = 0x9 // unexpected deactivation
	CauseUnknown       Cause = 0xF
)

var causeNames = map[Cause]string{
	CauseNormal: "normal state change", CauseCommanded: "commanded by shelf manager",
	CauseOperator: "operator", CauseProgram: "FRU's own action",
	CauseLink: "communication lost or regained", CauseLocalLink: "communication lost or regained, locally detected",
	CauseSurprise: "surprise extraction", CauseInformation: "information provided",
	CauseBadAddress: "invalid hardware address", CauseUnexpectedOff: "unexpected deactivation", CauseUnknown: "cause unknown",
}

func (c Cause) String() string {
	if s, ok := causeNames[c]; ok {
		return s
	}
	return fmt.Sprintf("cause 0x%x", uint8(c))
}

// HotSwapEvent is what the three event data bytes of a hot-swap sensor say:
//
//	A0 | new state   cause<<4 | previous state   FRU id
//
// Sources: Wireshark packet-ipmi-se.c, ipmitool ipmi_sel.c.
type HotSwapEvent struct {
	State    State
	Previous State
	Cause    Cause
	FRU      uint8
}

const (
	hotSwapUse  = 0xA0 // event data 2 and 3 are the sensor's own
	useBits     = 0xF0
	nibble      = 0x0F
	nibbleShift = 4
)

// Data gives the three event data bytes.
func (e HotSwapEvent) Data() [3]byte {
	return [3]byte{
		hotSwapUse | byte(e.State)&nibble,
		byte(e.Cause)<<nibbleShift | byte(e.Previous)&nibble,
		e.FRU,
	}
}

// ParseHotSwapEvent reads the event data of a hot-swap sensor. ok is false
// when event data 1 does not announce the other two or names no state.
func ParseHotSwapEvent(d [3]byte) (e HotSwapEvent, ok bool) {
	e = HotSwapEvent{
		State: State(d[0] & nibble), Previous: State(d[1] & nibble),
		Cause: Cause(d[1] >> nibbleShift), FRU: d[2],
	}
	if d[0]&useBits != hotSwapUse || !e.State.Valid() {
		return HotSwapEvent{}, false
	}
	return e, true
}
