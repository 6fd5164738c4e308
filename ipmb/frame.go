package ipmb

import (
	"errors"
	"fmt"
)

// Lengths of a frame in bytes (IPMB v1.0 §2). The classic bus allows 32 in
// all; the gRPC bus carries what the widest system interface can hand over.
const (
	frameOverhead    = 7 // both addresses, two NetFn/LUN and seq/LUN bytes, command, two checksums
	MinFrameLen      = frameOverhead
	MaxFrameLen      = 300
	ClassicFrameLen  = 32
	frameHeaderLen   = 3 // address, netFn/LUN, chk1
	seqMask          = 0x3F
	lunMask          = 0x03
	MaxSequence      = 64 // sequence numbers a requester has per responder
	MaxFramePayload  = MaxFrameLen - frameOverhead
	responseMinBytes = MinFrameLen + 1 // with the completion code
)

// Errors of ParseFrame.
var (
	ErrFrameShort    = errors.New("ipmb: frame too short")
	ErrFrameLong     = errors.New("ipmb: frame too long")
	ErrFrameChecksum = errors.New("ipmb: bad checksum")
)

// Frame is one IPMB message. To and From are the addresses in the direction
// of travel; in a response Data begins with the completion code.
type Frame struct {
	To      Addr
	NetFn   NetFn
	ToLUN   LUN
	From    Addr
	Seq     uint8 // 6 bits, chosen by the requester
	FromLUN LUN
	Cmd     Cmd
	Data    []byte
}

// RequestFrame builds the frame of a request.
func RequestFrame(to, from Addr, fromLUN LUN, seq uint8, req *Request) Frame {
	return Frame{To: to, NetFn: req.NetFn, ToLUN: req.LUN, From: from, Seq: seq & seqMask, FromLUN: fromLUN, Cmd: req.Cmd, Data: req.Data}
}

// Reply builds the frame that answers f, a request. An answer that no frame holds
// is CAh, at which clients ask for less.
func (f Frame) Reply(r Response) Frame {
	if 1+len(r.Data) > MaxFramePayload {
		r = Response{Code: ErrCannotReturn}
	}
	data := make([]byte, 0, 1+len(r.Data))
	data = append(append(data, byte(r.Code)), r.Data...)
	return Frame{
		To: f.From, NetFn: f.NetFn.Response(), ToLUN: f.FromLUN,
		From: f.To, Seq: f.Seq, FromLUN: f.ToLUN, Cmd: f.Cmd, Data: data,
	}
}

// IsResponse reports whether f answers a request.
func (f Frame) IsResponse() bool { return f.NetFn.IsResponse() }

// Request gives the command that f carries, with origin as its origin.
func (f Frame) Request(o Origin) *Request {
	return &Request{NetFn: f.NetFn, LUN: f.ToLUN, Cmd: f.Cmd, Data: f.Data, Origin: o}
}

// Response gives the answer that f carries. ok is false when f has no completion code.
func (f Frame) Response() (r Response, ok bool) {
	if !f.IsResponse() || len(f.Data) == 0 {
		return Response{}, false
	}
	return Response{Code: CompletionCode(f.Data[0]), Data: f.Data[1:]}, true
}

// AppendBinary appends the frame with both checksums to b.
func (f Frame) AppendBinary(b []byte) ([]byte, error) {
	if len(f.Data) > MaxFramePayload {
		return b, ErrFrameLong
	}
	start := len(b)
	b = append(b, byte(f.To), byte(f.NetFn)<<2|byte(f.ToLUN&lunMask))
	b = append(b, Checksum(b[start:]))
	b = append(b, byte(f.From), f.Seq<<2|byte(f.FromLUN&lunMask), byte(f.Cmd))
	b = append(b, f.Data...)
	return append(b, Checksum(b[start+frameHeaderLen:])), nil
}

// ParseFrame reads a whole frame and checks both checksums. The frame's data
// aliases b.
func ParseFrame(b []byte) (Frame, error) {
	switch {
	case len(b) < MinFrameLen:
		return Frame{}, ErrFrameShort
	case len(b) > MaxFrameLen:
		return Frame{}, ErrFrameLong
	case Checksum(b[:frameHeaderLen]) != 0, Checksum(b[frameHeaderLen:]) != 0:
		return Frame{}, ErrFrameChecksum
	}
	f := Frame{
		To: Addr(b[0]), NetFn: NetFn(b[1] >> 2), ToLUN: LUN(b[1] & lunMask),
		From: Addr(b[3]), Seq: b[4] >> 2, FromLUN: LUN(b[4] & lunMask), Cmd: Cmd(b[5]),
		Data: b[6 : len(b)-1],
	}
	if f.IsResponse() && len(b) < responseMinBytes {
		return Frame{}, ErrFrameShort
	}
	return f, nil
}

// Checksum is the two's complement of the sum of b: a range that ends with
// its own checksum sums to zero.
func Checksum(b []byte) byte {
	var sum byte
	for _, x := range b {
		sum += x
	}
	return -sum
}

func (f Frame) String() string {
	kind := "rq"
	if f.IsResponse() {
		kind = "rs"
	}
	return fmt.Sprintf("%s.%d→%s.%d %s seq %d %02x/%02x % x", f.From, f.FromLUN, f.To, f.ToLUN, kind, f.Seq, uint8(f.NetFn), uint8(f.Cmd), f.Data)
}
