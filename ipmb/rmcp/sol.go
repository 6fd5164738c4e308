package rmcp

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
// Sequence numbers are 1 to 15. A packet of sequence 0 is not acknowledged.
type solPacket struct {
	Seq, Ack, Count uint8
	Op              solOp
	Data            []byte
}

// parseSOL reads a payload. It aliases b.
func parseSOL(b []byte) (solPacket, error) {
	if len(b) < solHeadLen || b[0]&solMaxSeq == 0 && len(b) > solHeadLen {
		return solPacket{}, errFrame
	}
	return solPacket{Seq: b[0] & solMaxSeq, Ack: b[1] & solMaxSeq, Count: b[2], Op: solOp(b[3]), Data: b[solHeadLen:]}, nil
}

func (p solPacket) append(b []byte) []byte {
	return append(append(b, p.Seq, p.Ack, p.Count, byte(p.Op)), p.Data...)
}
