package rmcp

import "encoding/binary"

// PayloadType says what an RMCP+ packet carries (IPMI 2.0 §13.27.3).
type PayloadType uint8

// Payload types.
const (
	PayloadIPMI         PayloadType = 0x00
	PayloadSOL          PayloadType = 0x01
	PayloadOpenRequest  PayloadType = 0x10
	PayloadOpenResponse PayloadType = 0x11
	PayloadRAKP1        PayloadType = 0x12
	PayloadRAKP2        PayloadType = 0x13
	PayloadRAKP3        PayloadType = 0x14
	PayloadRAKP4        PayloadType = 0x15
)

// Session headers (IPMI 2.0 §13.6).
const (
	authNone        = 0x00 // IPMI 1.5 without authentication
	authRMCPPlus    = 0x06
	header15Len     = 10
	header20Len     = 12
	encryptedBit    = 0x80
	authenticBit    = 0x40
	payloadTypeMask = 0x3F
	payloadOEM      = PayloadType(0x02) // with a longer header; nobody here speaks it
	nextHeader      = 0x07
	trailerLen      = 2 // pad length and next header
)

// packet is one session-wrapped payload. raw is what an auth code covers and
// the code itself, from the auth type on.
type packet struct {
	plus          bool // RMCP+ framing, not that of IPMI 1.5
	auth          byte // of IPMI 1.5: the auth type, with its code
	code          []byte
	Type          PayloadType
	Encrypted     bool
	Authenticated bool
	ID, Seq       uint32
	Payload       []byte
	raw           []byte
	login         []byte // what another process said of it; see [Steps]
}

// parsePacket reads what follows an RMCP header of class IPMI. It aliases b.
func parsePacket(b []byte) (packet, error) {
	switch {
	case len(b) >= header15Len && b[0] == authNone:
		return parse15(b)
	case len(b) >= header20Len && b[0] == authRMCPPlus:
		return parse20(b)
	case len(b) >= header15AuthLen && (b[0] == authTypeMD5 || b[0] == authTypePassword):
		return parse15Auth(b)
	}
	return packet{}, errFrame
}

// parse15 reads the frame of IPMI 1.5, which is for messages outside a session.
// Some clients pad by one byte.
func parse15(b []byte) (packet, error) {
	seq, id, n := binary.LittleEndian.Uint32(b[1:]), binary.LittleEndian.Uint32(b[5:]), int(b[9])
	if seq != 0 || id != 0 || len(b) < header15Len+n || len(b) > header15Len+n+1 {
		return packet{}, errFrame
	}
	return packet{Type: PayloadIPMI, Payload: b[header15Len : header15Len+n]}, nil
}

func parse20(b []byte) (packet, error) {
	p := packet{
		plus: true, Type: PayloadType(b[1] & payloadTypeMask),
		Encrypted: b[1]&encryptedBit != 0, Authenticated: b[1]&authenticBit != 0,
		ID: binary.LittleEndian.Uint32(b[2:]), Seq: binary.LittleEndian.Uint32(b[6:]), raw: b,
	}
	end := header20Len + int(binary.LittleEndian.Uint16(b[10:]))
	if p.Type == payloadOEM || len(b) < end || !p.Authenticated && len(b) != end {
		return packet{}, errFrame
	}
	p.Payload = b[header20Len:end]
	return p, nil
}

// appendBare appends a packet outside a session, RMCP header included, in the
// framing that the question had.
func appendBare(b []byte, plus bool, t PayloadType, payload []byte) []byte {
	b = appendRMCP(b, classIPMI)
	if !plus {
		b = append(b, authNone, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(payload)))
		return append(b, payload...)
	}
	return append(appendHeader20(b, byte(t), 0, 0, len(payload)), payload...)
}

func appendHeader20(b []byte, kind byte, id, seq uint32, n int) []byte {
	b = append(b, authRMCPPlus, kind)
	b = binary.LittleEndian.AppendUint32(b, id)
	b = binary.LittleEndian.AppendUint32(b, seq)
	return binary.LittleEndian.AppendUint16(b, uint16(n))
}
