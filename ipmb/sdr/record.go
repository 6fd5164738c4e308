package sdr

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Version is the SDR version of IPMI 1.5 and 2.0, in BCD with the low digit first.
const Version = 0x51

// Lengths in bytes.
const (
	HeaderLen = 5
	MaxBody   = 255
)

// Record ids with a meaning of their own in Get SDR (IPMI 2.0 §33.12).
const (
	FirstID uint16 = 0x0000 // as request: the first record
	LastID  uint16 = 0xFFFF // as request: the last; as next id: there is none
)

// Errors of Parse and Marshal.
var (
	ErrShort = errors.New("sdr: record too short")
	ErrLong  = errors.New("sdr: record too long")
)

// Type is a record type.
type Type uint8

// Record types.
const (
	TypeFull       Type = 0x01
	TypeCompact    Type = 0x02
	TypeEventOnly  Type = 0x03
	TypeFRULocator Type = 0x11
	TypeMCLocator  Type = 0x12
	TypeOEM        Type = 0xC0
)

var typeNames = map[Type]string{
	TypeFull: "full sensor", TypeCompact: "compact sensor", TypeEventOnly: "event-only sensor",
	TypeFRULocator: "FRU device locator", TypeMCLocator: "MC device locator", TypeOEM: "OEM",
}

func (t Type) String() string {
	if s, ok := typeNames[t]; ok {
		return s
	}
	return fmt.Sprintf("SDR type 0x%02x", uint8(t))
}

// Header is the first five bytes of a record. Length counts what follows it.
type Header struct {
	ID      uint16
	Version uint8
	Type    Type
	Length  uint8
}

// ParseHeader reads a header, which clients fetch first and alone.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, ErrShort
	}
	return Header{ID: binary.LittleEndian.Uint16(b), Version: b[2], Type: Type(b[3]), Length: b[4]}, nil
}

// Body is a record without its header: *Full, *Compact, *EventOnly,
// *FRULocator, *MCLocator, *OEM or *Unknown.
type Body interface {
	Type() Type
	append(b []byte) ([]byte, error)
}

// parsers read bodies that are at least as long as their fixed part.
var parsers = map[Type]func(b []byte) (Body, error){
	TypeFull: parseFull, TypeCompact: parseCompact, TypeEventOnly: parseEventOnly,
	TypeFRULocator: parseFRULocator, TypeMCLocator: parseMCLocator, TypeOEM: parseOEM,
}

// Marshal gives the record of body under an id.
func Marshal(id uint16, body Body) ([]byte, error) {
	b := binary.LittleEndian.AppendUint16(make([]byte, 0, 64), id)
	b = append(b, Version, byte(body.Type()), 0)
	b, err := body.append(b)
	if err != nil {
		return nil, fmt.Errorf("%s record: %w", body.Type(), err)
	}
	n := len(b) - HeaderLen
	if n > MaxBody {
		return nil, ErrLong
	}
	b[HeaderLen-1] = byte(n)
	return b, nil
}

// Parse reads a whole record. Bytes behind the record are an error; bytes
// behind a body's last field are dropped, as the specification lets it grow.
func Parse(b []byte) (Header, Body, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return Header{}, nil, err
	}
	rest := b[HeaderLen:]
	switch {
	case len(rest) < int(h.Length):
		return Header{}, nil, ErrShort
	case len(rest) > int(h.Length):
		return Header{}, nil, ErrLong
	}
	parse, ok := parsers[h.Type]
	if !ok {
		parse = func(b []byte) (Body, error) { return parseUnknown(h.Type, b) }
	}
	body, err := parse(rest)
	if err != nil {
		return Header{}, nil, fmt.Errorf("%s record: %w", h.Type, err)
	}
	return h, body, nil
}
