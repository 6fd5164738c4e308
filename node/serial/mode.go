package serial

import (
	"fmt"

	"github.com/midplane-project/midplane/ipmb"
)

// Mode is how a line is spoken.
type Mode string

// Modes.
const (
	Basic    Mode = "basic"    // IPMI 2.0 §14.4
	Terminal Mode = "terminal" // IPMI 2.0 §14.7
	Direct   Mode = "direct"   // basic mode's bytes, session-less
	Radisys  Mode = "radisys"  // Radisys ASCII
)

// Modes are all of them.
var Modes = []Mode{Terminal, Basic, Direct, Radisys}

// Sessions reports whether users log in by this mode.
func (m Mode) Sessions() bool { return m == Basic || m == Terminal }

// Addresses on a line. The controller is 20h to who is at the other end,
// whatever address it has on the bus; who is there is a remote console's
// software (IPMI 2.0 §5.5).
const (
	addrBMC     = ipmb.AddrShelfManager
	addrConsole = ipmb.Addr(0x81)
)

// An Event is what a line brought: a frame, a text, or neither when it was bad.
type Event struct {
	Frame ipmb.Frame
	Text  string // of terminal mode, without the brackets; then there is no frame
	Err   error  // why it is neither
}

// A Codec turns the bytes of a line into events, and answers into bytes. It
// keeps what has arrived of the next event.
type Codec interface {
	// Next reads one event from the front of in. ok is false when in ended
	// before the event did. A frame's data holds until the next call.
	Next(in []byte) (e Event, rest []byte, ok bool)
	// AppendReceipt appends what a line gets at once for an event.
	AppendReceipt(b []byte, e Event) []byte
	// AppendFrame appends a frame.
	AppendFrame(b []byte, f ipmb.Frame) ([]byte, error)
}

// NewCodec gives the codec of a mode.
func NewCodec(m Mode) (Codec, error) {
	switch m {
	case Basic, Direct:
		return new(basic), nil
	case Terminal:
		return new(terminal), nil
	case Radisys:
		return new(radisys), nil
	}
	return nil, fmt.Errorf("serial mode %q is none of %v", m, Modes)
}
