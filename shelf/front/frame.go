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
	kindStep     = 'S'
	kindLeading  = 'L'

	datagramHead = 16 + 2 + 2
	leadingLen   = 8
	maxDatagram  = 1500
	maxLogin     = 256
	maxFrame     = 1 + 2 + maxLogin + datagramHead + maxDatagram
)

var errFrame = errors.New("front: malformed frame")

// datagram is what came from or goes to a client.
type datagram struct {
	peer netip.AddrPort
	port uint16 // of the controller
	data []byte
	// login is what goes with a step of one: how far it is then. Empty: it does not
	// go on; nil: this is no step, or nothing is known of it.
	login []byte
}

// frame is one unit of a stream.
type frame struct {
	kind     byte
	term     uint64
	datagram datagram
}

// appendDatagram appends the frame of a datagram, which must not be too long, nor
// its login.
func appendDatagram(b []byte, d datagram) []byte {
	n := 1 + datagramHead + len(d.data)
	if d.login == nil {
		b = append(binary.BigEndian.AppendUint16(b, uint16(n)), kindDatagram)
	} else {
		b = append(binary.BigEndian.AppendUint16(b, uint16(n+2+len(d.login))), kindStep)
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(d.login))), d.login...)
	}
	addr := d.peer.Addr().As16()
	b = append(b, addr[:]...)
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
	switch kind, rest := b[0], b[1:]; kind {
	case kindLeading:
		if len(rest) == leadingLen {
			return frame{kind: kind, term: binary.BigEndian.Uint64(rest)}, nil
		}
	case kindDatagram:
		d, err := parseDatagram(rest)
		return frame{kind: kind, datagram: d}, err
	case kindStep:
		if len(rest) < 2 {
			break
		}
		n, rest := int(binary.BigEndian.Uint16(rest)), rest[2:]
		if n > maxLogin || n > len(rest) {
			break
		}
		d, err := parseDatagram(rest[n:])
		d.login = rest[:n:n]
		return frame{kind: kind, datagram: d}, err
	}
	return frame{}, errFrame
}

func parseDatagram(b []byte) (datagram, error) {
	if len(b) < datagramHead || len(b) > datagramHead+maxDatagram {
		return datagram{}, errFrame
	}
	return datagram{
		peer: netip.AddrPortFrom(netip.AddrFrom16([16]byte(b)).Unmap(), binary.BigEndian.Uint16(b[16:])),
		port: binary.BigEndian.Uint16(b[18:]), data: b[datagramHead:],
	}, nil
}
