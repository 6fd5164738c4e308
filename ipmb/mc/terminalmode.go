package mc

import "slices"

// TerminalMode is parameter 29, Terminal Mode Configuration:
//
//	byte 1: [5] line editing [3:2] delete sequence [1] echo [0] handshake
//	byte 2: [7:4] newline to the console [3:0] newline from it
type TerminalMode struct {
	Edit      bool
	Rubout    bool   // a deletion is shown as BS SP BS, not as DEL
	Echo      bool   // characters are sent back
	Handshake bool   // [SYS] says that the next message may come
	Out       string // the newline to the console
	In        byte   // that from it
}

const (
	modeEdit      = 0x20
	modeDelete    = 0x0C
	modeRubout    = 0x04
	modeEcho      = 0x02
	modeHandshake = 0x01

	outShift = 4
	inMask   = 0x0F
	inCR     = 1
	inNUL    = 2
)

// newlines to the console, by their numbers.
var newlines = [...]string{"", "\r\n", "\x00", "\r", "\n\r", "\n"}

// terminalDefault has neither echo nor handshake, unlike the specification's
// factory default: at the other end is a program more often than a person, and
// a Linux tty that echoes, too, would do so for ever.
var terminalDefault = [2]byte{modeEdit | modeRubout, 1<<outShift | inCR}

// ParseTerminalMode reads the two bytes.
func ParseTerminalMode(v []byte) (TerminalMode, error) {
	const known = modeEdit | modeRubout | modeEcho | modeHandshake
	if len(v) != len(terminalDefault) {
		return TerminalMode{}, valid(false)
	}
	out, in := int(v[1]>>outShift), v[1]&inMask
	if v[0]&^known != 0 || out >= len(newlines) || in != inCR && in != inNUL {
		return TerminalMode{}, valid(false)
	}
	m := TerminalMode{
		Edit: v[0]&modeEdit != 0, Rubout: v[0]&modeDelete == modeRubout,
		Echo: v[0]&modeEcho != 0, Handshake: v[0]&modeHandshake != 0, Out: newlines[out],
	}
	if in == inCR {
		m.In = '\r'
	}
	return m, nil
}

// AppendBinary appends the two bytes.
func (m TerminalMode) AppendBinary(b []byte) []byte {
	first := flags(map[byte]bool{
		modeEdit: m.Edit, modeRubout: m.Rubout, modeEcho: m.Echo, modeHandshake: m.Handshake,
	})
	in := byte(inNUL)
	if m.In == '\r' {
		in = inCR
	}
	return append(b, first, byte(slices.Index(newlines[:], m.Out))<<outShift|in)
}
