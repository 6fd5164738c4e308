package front

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
)

// Kinds and lengths of frames.
const (
	kindDatagram = 'D'
	kindLeading  = 'L'

	datagramHead = 16 + 2 + 2
	leadingLen   = 8
	maxDatagram  = 1500
	maxFrame     = 1 + datagramHead + maxDatagram
)

var errFrame = errors.New("front: malformed frame")

// datagram is what came from or goes to a client.
type datagram struct {
	peer netip.AddrPort
	port uint16 // of the controller
	data []byte
}

// frame is one unit of a stream.
type frame struct {
	kind     byte
	term     uint64
	datagram datagram
}

// appendDatagram appends the frame of a datagram, which must not be too long.
func appendDatagram(b []byte, d datagram) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(1+datagramHead+len(d.data)))
	addr := d.peer.Addr().As16()
	b = append(append(b, kindDatagram), addr[:]...)
	b = binary.BigEndian.AppendUint16(b, d.peer.Port())
	b = binary.BigEndian.AppendUint16(b, d.port)
	return append(b, d.data...)
}

func appendLeading(b []byte, term uint64) []byte {
	b = binary.BigEndian.AppendUint16(b, 1+leadingLen)
	return binary.BigEndian.AppendUint64(append(b, kindLeading), term)
}

// readFrame reads the next frame. Its bytes are its own.
func readFrame(r *bufio.Reader) (frame, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	if n < 1 || n > maxFrame {
		return frame{}, errFrame
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return frame{}, err
	}
	return parseFrame(b)
}

func parseFrame(b []byte) (frame, error) {
	switch kind, rest := b[0], b[1:]; {
	case kind == kindLeading && len(rest) == leadingLen:
		return frame{kind: kind, term: binary.BigEndian.Uint64(rest)}, nil
	case kind == kindDatagram && len(rest) >= datagramHead:
		return frame{kind: kind, datagram: datagram{
			peer: netip.AddrPortFrom(netip.AddrFrom16([16]byte(rest)).Unmap(), binary.BigEndian.Uint16(rest[16:])),
			port: binary.BigEndian.Uint16(rest[18:]), data: rest[datagramHead:],
		}}, nil
	}
	return frame{}, errFrame
}
