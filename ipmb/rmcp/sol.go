package rmcp

import (
	"bytes"
	"net/netip"
	"time"

	"github.com/midplane-project/midplane/ipmb/mc"
)

// Lengths of serial over LAN (IPMI 2.0 §15.9). The count of accepted characters
// is one byte, so that a packet has no more than that many.
const (
	solHeadLen = 4
	solMaxData = 255
	solMaxSeq  = 0x0F
)

// solOp is what a console asks for beside characters (IPMI 2.0 §15.9).
type solOp uint8

// Operations of a console's.
const (
	solFlushOut solOp = 0x01
	solFlushIn  solOp = 0x02
	solDropDCD  solOp = 0x04 // deassert DCD and DSR
	solPauseCTS solOp = 0x08
	solBreak    solOp = 0x10
	solRing     solOp = 0x20
	solNACK     solOp = 0x40 // also of a status
)

// Status bits of a controller's.
const (
	solBroke       solOp = 0x04 // the system sent a break
	solOverrun     solOp = 0x08 // characters were lost before this packet
	solDeactivated solOp = 0x10
	solUnavailable solOp = 0x20 // the system has no power
)

// solPacket is a payload of type SOL (IPMI 2.0 §15.9):
//
//	sequence | sequence that it acknowledges | characters accepted of that | operation or status | characters
//
// Sequence numbers are 1 to 15. A packet of sequence 0 is not acknowledged and has no
// characters. OpenIPMI, which waits for an acknowledgement, leaves those that it has
// sent already in it: they are not looked at, its own acknowledgement is.
type solPacket struct {
	Seq, Ack, Count uint8
	Op              solOp
	Data            []byte
}

// parseSOL reads a payload. It aliases b.
func parseSOL(b []byte) (solPacket, error) {
	if len(b) < solHeadLen {
		return solPacket{}, errFrame
	}
	p := solPacket{Seq: b[0] & solMaxSeq, Ack: b[1] & solMaxSeq, Count: b[2], Op: solOp(b[3])}
	if p.Seq != 0 {
		p.Data = b[solHeadLen:]
	}
	return p, nil
}

func (p solPacket) append(b []byte) []byte {
	return append(append(b, p.Seq, p.Ack, p.Count, byte(p.Op)), p.Data...)
}

// take hands a packet that a session's keys opened to the session's payload.
func (s *SOL) take(one *session, seq uint32, b []byte, from netip.AddrPort) {
	if s == nil {
		return
	}
	p, err := parseSOL(b)
	if err != nil || !s.Sessions.touch(one, seq, from, time.Now()) {
		return
	}
	p.Data = bytes.Clone(p.Data)
	a := s.of(one)
	if a == nil {
		s.tellInactive(one, p, from)
		return
	}
	select {
	case a.packets <- solArrival{p, from}:
	default: // it will come again
	}
}

// tellInactive answers who types, and has no payload.
func (s *SOL) tellInactive(one *session, p solPacket, to netip.AddrPort) {
	s.mu.Lock()
	door := s.door
	s.mu.Unlock()
	if p.Seq != 0 && door != nil {
		door.send(one.seal(PayloadSOL, solPacket{Op: solDeactivated}.append(nil)), to)
	}
}

// touch notes that a session's peer spoke; ok is false for a packet that came
// before.
func (t *Sessions) touch(s *session, seq uint32, from netip.AddrPort, now time.Time) (ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	setting, ok := t.cfg.Active(t.cfg.Channel)
	in, fresh := s.in.accept(seq)
	if !ok || !fresh || setting.Mode() == mc.AccessDisabled || t.find(s.id) != s || now.Sub(s.last) > IdleTime {
		return false
	}
	s.in, s.last, s.peer = in, now, from
	if t.cfg.Store != nil {
		s.reach(seq)
	}
	return true
}
