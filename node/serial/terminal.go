package serial

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/midplane-project/midplane/ipmb"
)

// A message of terminal mode (IPMI 2.0 §14.7) is in brackets:
//
//	[netFn<<2|LUN seq<<2|bridge cmd data…]   hex, blanks between the pairs as one likes
//	[SYS …]                                  a text command
//
// The bridge bits are not looked at and sent as 0: what is to be bridged comes
// in a Send Message.
const (
	terminalHeader = 3
	lunMask        = 0x03
	seqShift       = 2
	newline        = "\r\n"
	textPrefix     = "SYS"
	maxLine        = 3*ipmb.MaxFrameLen + 2
)

// terminal is the codec of terminal mode.
type terminal struct {
	line    []byte
	started bool
	long    bool
}

// Next implements Codec. What is outside of brackets, newlines too, is noise.
func (c *terminal) Next(in []byte) (Event, []byte, bool) {
	for i, x := range in {
		switch {
		case x == '[':
			*c = terminal{line: c.line[:0], started: true}
		case !c.started:
		case x == ']':
			return c.stop(), in[i+1:], true
		case len(c.line) == maxLine:
			c.long = true
		default:
			c.line = append(c.line, x)
		}
	}
	return Event{}, nil, false
}

func (c *terminal) stop() (e Event) {
	c.started = false
	text := strings.TrimSpace(string(c.line))
	switch {
	case c.long:
		e.Err = ErrLong
	case len(text) >= len(textPrefix) && strings.EqualFold(text[:len(textPrefix)], textPrefix):
		e.Text = text
	default:
		e.Frame, e.Err = parseTerminal(c.line)
	}
	return e
}

func parseTerminal(line []byte) (ipmb.Frame, error) {
	raw, err := parseHex(line)
	if err != nil {
		return ipmb.Frame{}, err
	}
	if len(raw) < terminalHeader {
		return ipmb.Frame{}, ipmb.ErrFrameShort
	}
	f := ipmb.Frame{
		To: addrBMC, NetFn: ipmb.NetFn(raw[0] >> 2), ToLUN: ipmb.LUN(raw[0] & lunMask),
		From: addrConsole, Seq: raw[1] >> seqShift, Cmd: ipmb.Cmd(raw[2]), Data: raw[terminalHeader:],
	}
	switch {
	case len(f.Data) > ipmb.MaxFramePayload:
		return ipmb.Frame{}, ErrLong
	case !f.IsResponse():
		return f, nil
	case len(f.Data) == 0:
		return ipmb.Frame{}, ipmb.ErrFrameShort
	}
	f.To, f.From, f.ToLUN, f.FromLUN = f.From, f.To, f.FromLUN, f.ToLUN // the LUN is the responder's
	return f, nil
}

// parseHex reads pairs of hex digits with any white space between them.
func parseHex(line []byte) ([]byte, error) {
	var out []byte
	for line = bytes.TrimSpace(line); len(line) > 0; line = bytes.TrimSpace(line) {
		if len(line) < 2 {
			return nil, ErrHex
		}
		hi, lo := hexDigit(line[0]), hexDigit(line[1])
		if hi < 0 || lo < 0 {
			return nil, ErrHex
		}
		out = append(out, byte(hi<<4|lo))
		line = line[2:]
	}
	return out, nil
}

func hexDigit(x byte) int {
	switch {
	case '0' <= x && x <= '9':
		return int(x - '0')
	case 'a' <= x && x <= 'f':
		return int(x-'a') + 10
	case 'A' <= x && x <= 'F':
		return int(x-'A') + 10
	}
	return -1
}

// AppendReceipt implements Codec: what cannot be read gets an error at once.
func (c *terminal) AppendReceipt(b []byte, e Event) []byte {
	switch e.Err {
	case nil:
		return b
	case ErrHex:
		return appendError(b, ipmb.ErrInvalidField)
	}
	return appendError(b, ipmb.ErrLength)
}

// appendError appends the answer that says what went wrong.
func appendError(b []byte, c ipmb.CompletionCode) []byte {
	return fmt.Appendf(b, "[ERR %02X]"+newline, byte(c))
}

// appendOK appends the answer to a text command that was done.
func appendOK(b []byte, text string) []byte {
	if text != "" {
		text = " " + text
	}
	return append(b, "[OK"+text+"]"+newline...)
}

// AppendFrame implements Codec.
func (c *terminal) AppendFrame(b []byte, f ipmb.Frame) ([]byte, error) {
	if len(f.Data) > ipmb.MaxFramePayload {
		return b, ErrLong
	}
	lun := f.ToLUN
	if f.IsResponse() {
		lun = f.FromLUN
	}
	b = fmt.Appendf(b, "[%02X %02X %02X", byte(f.NetFn)<<2|byte(lun), f.Seq<<seqShift, byte(f.Cmd))
	for _, x := range f.Data {
		b = fmt.Appendf(b, " %02X", x)
	}
	return append(b, "]"+newline...), nil
}
