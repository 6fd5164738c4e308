package vm

import (
	"errors"

	"github.com/midplane-project/midplane/ipmb"
)

// Bytes with a meaning on the wire.
const (
	endMessage = 0xA0
	endCommand = 0xA1
	escape     = 0xAA
	escapeBit  = 0x10 // set in an escaped byte when it is sent, cleared when it is received
)

// Sizes of a message in bytes, before escaping.
const (
	MaxMessage      = 300            // netFn/LUN, command and data (QEMU MAX_IPMI_MSG_SIZE)
	maxBody         = MaxMessage + 2 // with seq and checksum: the device's receive buffer
	messageHeader   = 3              // seq, netFn/LUN, command
	minMessage      = messageHeader + 1
	lunMask         = 0x03
	netFnShift      = 2
	maxCommandBytes = 2
)

// Errors of [ParseMessage] and [Decoder.Next].
var (
	ErrShort    = errors.New("vm: message too short")
	ErrLong     = errors.New("vm: message too long")
	ErrChecksum = errors.New("vm: bad checksum")
	ErrEscape   = errors.New("vm: message ends within an escape")
)

// Message is one IPMI message on the link. In a response Data begins with the
// completion code.
type Message struct {
	Seq   uint8 // the device's own counter; a response repeats it
	NetFn ipmb.NetFn
	LUN   ipmb.LUN
	Cmd   ipmb.Cmd
	Data  []byte
}

// ParseMessage reads what stands before an A0h, escapes already removed, with
// its checksum. Data aliases body.
func ParseMessage(body []byte) (Message, error) {
	switch {
	case len(body) < minMessage:
		return Message{}, ErrShort
	case len(body) > maxBody:
		return Message{}, ErrLong
	case ipmb.Checksum(body) != 0:
		return Message{}, ErrChecksum
	}
	return Message{
		Seq: body[0], NetFn: ipmb.NetFn(body[1] >> netFnShift), LUN: ipmb.LUN(body[1] & lunMask),
		Cmd: ipmb.Cmd(body[2]), Data: body[messageHeader : len(body)-1],
	}, nil
}

// AppendMessage appends m to b as it stands on the wire.
func AppendMessage(b []byte, m Message) []byte {
	e := encoder{b: b}
	e.header(m)
	for _, x := range m.Data {
		e.put(x)
	}
	return e.finish()
}

// AppendCommand appends a hardware command to b as it stands on the wire.
func AppendCommand(b []byte, c Command, args ...byte) []byte {
	e := encoder{b: b}
	e.put(byte(c))
	for _, x := range args {
		e.put(x)
	}
	return append(e.b, endCommand)
}

// appendResponse appends the answer r to m, without a copy of its data.
func appendResponse(b []byte, m Message, r ipmb.Response) []byte {
	m.NetFn = m.NetFn.Response()
	e := encoder{b: b}
	e.header(m)
	e.put(byte(r.Code))
	for _, x := range r.Data {
		e.put(x)
	}
	return e.finish()
}

// encoder escapes and sums what it puts.
type encoder struct {
	b   []byte
	sum byte
}

func (e *encoder) put(x byte) {
	e.sum += x
	e.b = appendEscaped(e.b, x)
}

func (e *encoder) header(m Message) {
	e.put(m.Seq)
	e.put(byte(m.NetFn)<<netFnShift | byte(m.LUN&lunMask))
	e.put(byte(m.Cmd))
}

func (e *encoder) finish() []byte {
	e.put(-e.sum)
	return append(e.b, endMessage)
}

func escaped(x byte) bool { return x == endMessage || x == endCommand || x == escape }

func appendEscaped(b []byte, x byte) []byte {
	if escaped(x) {
		return append(b, escape, x|escapeBit)
	}
	return append(b, x)
}
