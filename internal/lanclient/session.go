package lanclient

import (
	"github.com/midplane-project/midplane/ipmb"
)

// Addresses of a console's messages.
const (
	addrController ipmb.Addr = 0x20
	addrConsole    ipmb.Addr = 0x81
)

// Session is one that is logged in. It belongs to one goroutine.
type Session struct {
	console uint32
	id      uint32 // the controller's
	seq     uint32
	rqSeq   uint8
	seal    *sealer
}

// ID is the session's in what it sends; the controller's answers have Console.
func (s *Session) ID() uint32 { return s.id }

// Console is the session's id in what the controller sends.
func (s *Session) Console() uint32 { return s.console }

// AppendFrame appends a new request to the controller, numbered.
func (s *Session) AppendFrame(b []byte, n ipmb.NetFn, cmd ipmb.Cmd, data []byte) ([]byte, error) {
	s.rqSeq = (s.rqSeq + 1) % ipmb.MaxSequence
	return ipmb.RequestFrame(addrController, addrConsole, 0, s.rqSeq, &ipmb.Request{NetFn: n, Cmd: cmd, Data: data}).AppendBinary(b)
}

// AppendSealed appends the datagram that carries a message; a message that is
// sent again is sealed again, under the next number.
func (s *Session) AppendSealed(b, message []byte) []byte { return s.appendKind(b, kindIPMI, message) }

func (s *Session) appendKind(b []byte, kind byte, payload []byte) []byte {
	if s.seq++; s.seq == 0 {
		s.seq = 1
	}
	return s.seal.appendSealed(b, kind, s.id, s.seq, payload)
}

// Open takes a datagram of the controller's and gives the frame in it, which
// aliases b: it is decrypted in place.
func (s *Session) Open(b []byte) (ipmb.Frame, error) {
	message, err := s.openKind(b, kindIPMI)
	if err != nil {
		return ipmb.Frame{}, err
	}
	return ipmb.ParseFrame(message)
}

// openKind gives the payload of a datagram that carries such a one.
func (s *Session) openKind(b []byte, kind byte) ([]byte, error) {
	p, err := parse(b)
	if err != nil || p.id != s.console || p.kind&kindMask != kind {
		return nil, errDatagram
	}
	return s.seal.open(p)
}
