package lanclient

import "encoding/binary"

// Lengths and fields of serial over LAN (IPMI 2.0 §15.9, §24.1).
const (
	solHeadLen   = 4
	solMaxData   = 255 // the count of accepted characters is one byte
	solSeqMask   = 0x0F
	solOverrun   = 0x08 // of a status: characters were lost
	solEnded     = 0x10 // of a status: deactivated
	activatedLen = 12
)

// solPacket is a payload of type SOL (IPMI 2.0 §15.9):
//
//	sequence | sequence that it acknowledges | characters accepted of that | operation or status | characters
//
// A packet of sequence 0 is not acknowledged, and has no characters.
type solPacket struct {
	seq, ack, count, status byte
	data                    []byte
}

// parseSOL reads a payload. It aliases b.
func parseSOL(b []byte) (solPacket, error) {
	if len(b) < solHeadLen || len(b) > solHeadLen+solMaxData || b[0]&solSeqMask == 0 && len(b) > solHeadLen {
		return solPacket{}, errDatagram
	}
	return solPacket{seq: b[0] & solSeqMask, ack: b[1] & solSeqMask, count: b[2], status: b[3], data: b[solHeadLen:]}, nil
}

func (p solPacket) append(b []byte) []byte {
	return append(append(b, p.seq, p.ack, p.count, p.status), p.data...)
}

// solRoom reads the answer to Activate Payload: how many characters a packet to
// the controller may have.
func solRoom(b []byte) (int, error) {
	if len(b) != activatedLen {
		return 0, errDatagram
	}
	n := int(binary.LittleEndian.Uint16(b[4:])) - solHeadLen
	if n < 1 {
		return 0, errDatagram
	}
	return min(n, solMaxData), nil
}
