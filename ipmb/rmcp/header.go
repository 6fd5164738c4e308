package rmcp

import (
	"encoding/binary"
	"errors"
)

// RMCP header (IPMI 2.0 §13.1.3): version, reserved, sequence, class.
const (
	rmcpVersion  = 0x06
	rmcpNoAck    = 0xFF // sequence of messages that nobody acknowledges
	rmcpLen      = 4
	classASF     = 0x06
	classIPMI    = 0x07
	maxDatagram  = 1500 // longer ones are none of ours
	asfIANA      = 0x000011BE
	asfPing      = 0x80
	asfPong      = 0x40
	asfLen       = 8
	asfPongData  = 16
	pongIPMI     = 0x81 // IPMI, ASF 1.0
	pongTagIndex = 5
)

// errFrame says that a datagram is none that is answered.
var errFrame = errors.New("rmcp: malformed")

// splitRMCP takes the RMCP header off: the class, and what follows.
// Acknowledgements are not for a controller.
func splitRMCP(b []byte) (class byte, rest []byte, err error) {
	if len(b) < rmcpLen || b[0] != rmcpVersion {
		return 0, nil, errFrame
	}
	return b[3], b[rmcpLen:], nil
}

func appendRMCP(b []byte, class byte) []byte { return append(b, rmcpVersion, 0, rmcpNoAck, class) }

// parsePing reads an ASF Presence Ping (ASF 2.0 §3.2.4.1) and gives its tag.
func parsePing(b []byte) (tag byte, err error) {
	if len(b) < asfLen || binary.BigEndian.Uint32(b) != asfIANA || b[4] != asfPing {
		return 0, errFrame
	}
	return b[pongTagIndex], nil
}

// appendPong appends the Presence Pong that answers a ping, RMCP header included.
func appendPong(b []byte, tag byte) []byte {
	b = appendRMCP(b, classASF)
	b = binary.BigEndian.AppendUint32(b, asfIANA)
	b = append(b, asfPong, tag, 0, asfPongData)
	b = binary.BigEndian.AppendUint32(b, asfIANA)
	return append(b, 0, 0, 0, 0, pongIPMI, 0, 0, 0, 0, 0, 0, 0)
}
