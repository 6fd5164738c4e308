package serial

import (
	"fmt"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
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
// software, of terminal mode another one than of basic mode (IPMI 2.0 §5.5).
const (
	addrBMC      = ipmb.AddrShelfManager
	addrTerminal = ipmb.Addr(0x8F) // software id 47h
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
	// Configure says what holds from now on.
	Configure(mc.SerialSettings)
	// Next reads one event from the front of in. ok is false when in ended
	// before the event did. A frame's data holds until the next call.
	Next(in []byte) (e Event, rest []byte, ok bool)
	// AppendEcho appends what the line is to get back of what it brought since
	// the last call.
	AppendEcho(b []byte) []byte
	// AppendReceipt appends what a line gets at once for an event.
	AppendReceipt(b []byte, e Event) []byte
	// AppendFrame appends a frame; bridged says that it answers one that was
	// wrapped in a Send Message.
	AppendFrame(b []byte, f ipmb.Frame, bridged bool) ([]byte, error)
	// AppendText appends the answer to a text command, of terminal mode.
	AppendText(b []byte, text string, err error) []byte
	// AppendReady appends what says that an event was dealt with.
	AppendReady(b []byte) []byte
}

// plain is what a codec without text and settings has of them: nothing.
type plain struct{}

func (plain) Configure(mc.SerialSettings)                   {}
func (plain) AppendEcho(b []byte) []byte                    { return b }
func (plain) AppendText(b []byte, _ string, _ error) []byte { return b }
func (plain) AppendReady(b []byte) []byte                   { return b }

// NewCodec gives the codec of a mode. Those with sessions are one codec, which
// begins with its mode and follows the settings.
func NewCodec(m Mode) (Codec, error) {
	switch m {
	case Direct:
		return new(basic), nil
	case Basic, Terminal:
		return newEither(m), nil
	case Radisys:
		return new(radisys), nil
	}
	return nil, fmt.Errorf("serial mode %q is none of %v", m, Modes)
}

// defaults are the settings of a mode until somebody says otherwise.
func (m Mode) defaults() mc.SerialSettings {
	c := mc.Channel{Protocol: mc.ProtocolIPMB}
	if m == Terminal {
		c.Protocol = mc.ProtocolTMode
	}
	return mc.DefaultSerialSettings(c)
}
