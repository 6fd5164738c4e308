package serial

import (
	"errors"

	"github.com/midplane-project/midplane/ipmb"
)

// Characters of basic mode (IPMI 2.0 §14.4).
const (
	basicStart     = 0xA0
	basicStop      = 0xA5
	basicHandshake = 0xA6 // ready for the next packet
	basicEscape    = 0xAA
	escapeBit      = 0x10
	charESC        = 0x1B // escaped, too: it would switch a shared port
	escapedESC     = 0x3B
)

// Errors of what a line brought.
var (
	ErrEscape = errors.New("serial: bad escape")
	ErrLong   = errors.New("serial: too long")
	ErrHex    = errors.New("serial: no pairs of hex digits")
)

// basic is the codec of basic and direct mode.
type basic struct {
	plain

	frame   []byte
	started bool
	escaped bool
	bad     error
}

// Next implements Codec. What is outside of start and stop is noise, and a
// start begins anew wherever it stands.
func (c *basic) Next(in []byte) (Event, []byte, bool) {
	for i, x := range in {
		switch {
		case x == basicStart:
			*c = basic{frame: c.frame[:0], started: true}
		case !c.started || x == basicHandshake:
		case x == basicStop:
			return c.stop(), in[i+1:], true
		default:
			c.take(x)
		}
	}
	return Event{}, nil, false
}

func (c *basic) take(x byte) {
	switch {
	case c.bad != nil:
		return
	case c.escaped:
		c.escaped = false
		if x = unescape(x); x == 0 {
			c.bad = ErrEscape
			return
		}
	case x == basicEscape:
		c.escaped = true
		return
	}
	if len(c.frame) == ipmb.MaxFrameLen {
		c.bad = ErrLong
		return
	}
	c.frame = append(c.frame, x)
}

func (c *basic) stop() (e Event) {
	c.started = false
	switch {
	case c.bad != nil:
		e.Err = c.bad
	case c.escaped:
		e.Err = ErrEscape
	default:
		e.Frame, e.Err = ipmb.ParseFrame(c.frame)
	}
	return e
}

// unescape gives the character that follows an escape, 0 for one that cannot.
func unescape(x byte) byte {
	switch x {
	case basicStart | escapeBit, basicStop | escapeBit, basicHandshake | escapeBit, basicEscape | escapeBit:
		return x &^ escapeBit
	case escapedESC:
		return charESC
	}
	return 0
}

// AppendReceipt implements Codec: whatever came, the next packet may come.
func (c *basic) AppendReceipt(b []byte, _ Event) []byte { return append(b, basicHandshake) }

// AppendFrame implements Codec.
func (c *basic) AppendFrame(b []byte, f ipmb.Frame, _ bool) ([]byte, error) {
	raw, err := f.AppendBinary(nil)
	if err != nil {
		return b, err
	}
	b = append(b, basicStart)
	for _, x := range raw {
		switch x {
		case basicStart, basicStop, basicHandshake, basicEscape:
			b = append(b, basicEscape, x|escapeBit)
		case charESC:
			b = append(b, basicEscape, escapedESC)
		default:
			b = append(b, x)
		}
	}
	return append(b, basicStop), nil
}
