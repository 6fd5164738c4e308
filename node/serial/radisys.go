package serial

import (
	"fmt"

	"github.com/midplane-project/midplane/ipmb"
)

// addrLocal is the controller's address in Radisys ASCII, beside its real one.
const addrLocal ipmb.Addr = 0x01

const carriageReturn = 0x0D

// radisys is the codec of Radisys ASCII: an IPMB frame in hex, and CR. There is
// no start character, so that a line of noise ends at the next CR.
type radisys struct {
	plain

	line []byte
	long bool
}

// Next implements Codec. Empty lines are nothing.
func (c *radisys) Next(in []byte) (Event, []byte, bool) {
	for i, x := range in {
		switch {
		case x == carriageReturn:
			e, empty := c.stop()
			if !empty {
				return e, in[i+1:], true
			}
		case len(c.line) == maxLine:
			c.long = true
		default:
			c.line = append(c.line, x)
		}
	}
	return Event{}, nil, false
}

func (c *radisys) stop() (e Event, empty bool) {
	raw, err := parseHex(c.line)
	long := c.long
	*c = radisys{line: c.line[:0]}
	switch {
	case long:
		e.Err = ErrLong
	case err != nil:
		e.Err = err
	default:
		e.Frame, e.Err = ipmb.ParseFrame(raw)
	}
	return e, !long && err == nil && len(raw) == 0
}

// AppendReceipt implements Codec: there is none.
func (c *radisys) AppendReceipt(b []byte, _ Event) []byte { return b }

// AppendFrame implements Codec.
func (c *radisys) AppendFrame(b []byte, f ipmb.Frame, _ bool) ([]byte, error) {
	raw, err := f.AppendBinary(nil)
	if err != nil {
		return b, err
	}
	return append(fmt.Appendf(b, "%X", raw), carriageReturn), nil
}
