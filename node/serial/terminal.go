package serial

import (
	"fmt"
	"strings"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// A message of terminal mode (IPMI 2.0 §14.7) is in brackets, with a newline
// that submits it:
//
//	[netFn<<2|LUN seq<<2|bridge cmd data…]   hex, blanks between the pairs as one likes
//	[SYS …]                                  a text command
//
// The bridge bits are 01b in the answer to a message that was bridged, else 0.
const (
	terminalStart  = '['
	terminalStop   = ']'
	terminalHeader = 3
	lunMask        = 0x03
	seqShift       = 2
	bridgedAnswer  = 0x01
	textPrefix     = "SYS"
	maxLine        = 3*ipmb.MaxFrameLen + 2
)

// Characters that edit a line.
const (
	charBS        = 0x08
	charLF        = 0x0A
	charDEL       = 0x7F
	firstPrint    = 0x20
	lastPrint     = 0x7E
	charContinues = '\\'
	rubout        = "\b \b"
)

// place is where in a message a line is.
type place uint8

const (
	outside place = iota
	given         // up outside by ESC: a newline is answered with one
	inside
	stopped // behind the stop character: a newline submits
)

// terminal is the codec of terminal mode.
type terminal struct {
	mode      mc.TerminalMode
	line      []byte
	at        place
	long      bool
	continues bool // behind a line continuation character
	newline   bool // behind a newline: LF may follow it
	echo      []byte
}

// Configure implements Codec.
func (c *terminal) Configure(s mc.SerialSettings) { c.mode = s.Mode }

// waits reports whether the next character is for this codec, whatever it is.
func (c *terminal) waits() bool { return c.at != outside }

// drop forgets the message that has begun.
func (c *terminal) drop() {
	c.line, c.at, c.long, c.continues, c.newline = c.line[:0], outside, false, false, false
}

// Next implements Codec. What is outside of brackets is noise.
func (c *terminal) Next(in []byte) (Event, []byte, bool) {
	for i, x := range in {
		if c.take(x) {
			e := c.submit()
			c.drop()
			return e, in[i+1:], true
		}
	}
	return Event{}, nil, false
}

// take takes one character and reports whether it submits a message.
func (c *terminal) take(x byte) (submits bool) {
	after := c.newline
	c.newline = false
	switch {
	case x == terminalStart:
		c.drop()
		c.at = inside
		c.show(string(x))
	case c.at == given:
		c.at = outside
		if c.submitsLine(x) {
			c.say(c.mode.Out)
		}
	case c.at == outside, after && x == charLF:
	case x == charESC:
		if c.drop(); c.mode.Edit {
			c.at = given
		}
	case c.mode.Edit && (x == charBS || x == charDEL):
		c.rubout()
	case c.submitsLine(x):
		return c.endLine()
	case x < firstPrint || x > lastPrint, c.at == stopped && x != ' ':
		c.drop()
	default:
		c.add(x)
	}
	return false
}

// submitsLine reports whether a character is the newline that the console is
// to send. LF is taken for one always: many programs send no other.
func (c *terminal) submitsLine(x byte) bool { return x == c.mode.In || x == charLF }

// endLine is for a newline inside of a message, which belongs behind its end or
// a line continuation character.
func (c *terminal) endLine() (submits bool) {
	switch {
	case c.at == stopped:
		c.show(c.mode.Out)
		return true
	case c.continues:
		c.line, c.continues, c.newline = c.line[:len(c.line)-1], false, true
		c.show(c.mode.Out)
	default:
		c.drop()
	}
	return false
}

func (c *terminal) add(x byte) {
	c.show(string(x))
	if c.continues = x == charContinues; c.at == stopped {
		return
	}
	switch {
	case x == terminalStop:
		c.at = stopped
	case len(c.line) == maxLine:
		c.long = true
	default:
		c.line = append(c.line, x)
	}
}

// rubout takes the last character back.
func (c *terminal) rubout() {
	switch {
	case c.at == stopped:
		c.at = inside
	case len(c.line) > 0 && !c.long:
		c.line = c.line[:len(c.line)-1]
	default:
		c.drop()
	}
	c.continues = false
	if c.mode.Rubout {
		c.say(rubout)
	} else {
		c.say(string(rune(charDEL)))
	}
}

// show is say if the console wants an echo.
func (c *terminal) show(s string) {
	if c.mode.Echo {
		c.say(s)
	}
}

func (c *terminal) say(s string) { c.echo = append(c.echo, s...) }

// AppendEcho implements Codec.
func (c *terminal) AppendEcho(b []byte) []byte {
	b = append(b, c.echo...)
	c.echo = c.echo[:0]
	return b
}

func (c *terminal) submit() (e Event) {
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
		From: addrTerminal, Seq: raw[1] >> seqShift, Cmd: ipmb.Cmd(raw[2]), Data: raw[terminalHeader:],
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

// AppendReceipt implements Codec: what cannot be read gets an error at once.
func (c *terminal) AppendReceipt(b []byte, e Event) []byte {
	switch e.Err {
	case nil:
		return b
	case ErrHex:
		return c.AppendText(b, "", ipmb.ErrInvalidField)
	}
	return c.AppendText(b, "", ipmb.ErrLength)
}

// AppendText implements Codec. Lines of a text end with "\n".
func (c *terminal) AppendText(b []byte, text string, err error) []byte {
	switch {
	case err != nil:
		text = fmt.Sprintf("[ERR %02X]\n", byte(ipmb.CodeOf(err)))
	case text == "":
		text = "[OK]\n"
	default:
		text = "[OK " + text + "]\n"
	}
	return append(b, strings.ReplaceAll(text, "\n", c.mode.Out)...)
}

// AppendReady implements Codec: it is the handshake.
func (c *terminal) AppendReady(b []byte) []byte {
	if !c.mode.Handshake {
		return b
	}
	return append(b, "["+textPrefix+"]"+c.mode.Out...)
}

// AppendFrame implements Codec.
func (c *terminal) AppendFrame(b []byte, f ipmb.Frame, bridged bool) ([]byte, error) {
	if len(f.Data) > ipmb.MaxFramePayload {
		return b, ErrLong
	}
	lun, second := f.ToLUN, f.Seq<<seqShift
	if f.IsResponse() {
		lun = f.FromLUN
	}
	if bridged {
		second |= bridgedAnswer
	}
	b = fmt.Appendf(b, "[%02X %02X %02X", byte(f.NetFn)<<2|byte(lun), second, byte(f.Cmd))
	for _, x := range f.Data {
		b = fmt.Appendf(b, " %02X", x)
	}
	return append(append(b, terminalStop), c.mode.Out...), nil
}
