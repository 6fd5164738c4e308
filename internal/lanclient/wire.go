package lanclient

import (
	"encoding/binary"
	"errors"
)

// Payload types (IPMI 2.0 §13.27.3).
const (
	kindIPMI         = 0x00
	kindSOL          = 0x01
	kindOpenRequest  = 0x10
	kindOpenResponse = 0x11
	kindRAKP1        = 0x12
	kindRAKP2        = 0x13
	kindRAKP3        = 0x14
	kindRAKP4        = 0x15
)

// A datagram (IPMI 2.0 §13.6): RMCP header 4, authentication type, payload
// type, session id 4, sequence 4, length 2; then the payload. In a session
// follow FF …, pad length, next header, auth code.
const (
	rmcpLen      = 4
	headerLen    = rmcpLen + 12
	kindAt       = rmcpLen + 1
	idAt         = rmcpLen + 2
	seqAt        = rmcpLen + 6
	lenAt        = rmcpLen + 10
	kindMask     = 0x3F
	authentic    = 0x40
	encrypted    = 0x80
	padByte      = 0xFF
	nextHeader   = 0x07
	trailerLen   = 2 // pad length and next header
	maxDatagram  = 1500
	authRMCPPlus = 0x06
)

var errDatagram = errors.New("lanclient: malformed datagram")

// packet is one datagram. Its fields alias what was parsed.
type packet struct {
	kind    byte // with its bits authentic and encrypted
	id, seq uint32
	payload []byte
	signed  []byte // what the auth code covers, and the code
}

func parse(b []byte) (packet, error) {
	if len(b) < headerLen || b[0] != 6 || b[3] != 7 || b[rmcpLen] != authRMCPPlus {
		return packet{}, errDatagram
	}
	p := packet{
		kind: b[kindAt], id: binary.LittleEndian.Uint32(b[idAt:]), seq: binary.LittleEndian.Uint32(b[seqAt:]), signed: b[rmcpLen:],
	}
	end := headerLen + int(binary.LittleEndian.Uint16(b[lenAt:]))
	if len(b) < end || p.kind&authentic == 0 && len(b) != end {
		return packet{}, errDatagram
	}
	p.payload = b[headerLen:end]
	return p, nil
}

// appendHeader appends all that is in front of the payload, but for its length.
func appendHeader(b []byte, kind byte, id, seq uint32) []byte {
	b = append(b, 6, 0, 0xFF, 7, authRMCPPlus, kind)
	b = binary.LittleEndian.AppendUint32(b, id)
	b = binary.LittleEndian.AppendUint32(b, seq)
	return append(b, 0, 0)
}

// bare is a datagram outside a session.
func bare(kind byte, payload []byte) []byte {
	b := append(appendHeader(nil, kind, 0, 0), payload...)
	binary.LittleEndian.PutUint16(b[lenAt:], uint16(len(payload)))
	return b
}
