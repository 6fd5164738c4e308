package fru

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf16"
)

// Code is how a field is coded.
type Code uint8

// Codes. Text is Latin-1 where the area's language is English, else UCS-2
// with the low byte first.
const (
	Binary  Code = 0
	BCDPlus Code = 1
	SixBit  Code = 2
	Text    Code = 3
)

// MaxField is how many bytes a field holds.
const MaxField = 63

// A type/length byte is [7:6] code [5:0] bytes that follow. Text of one byte
// would be the end marker.
const (
	codeShift   = 6
	lengthMask  = 0x3F
	endOfFields = 0xC1
)

// Field is one field as it is stored. The zero Field is empty.
type Field struct {
	Code Code
	Data []byte
}

// NewText gives the field of an English text: characters outside Latin-1 are
// shown as '?', what is too long is cut, and a single character gets a NUL.
func NewText(s string) Field {
	var data []byte
	for _, r := range s {
		if len(data) == MaxField {
			break
		}
		if r == 0 || r > 0xFF {
			r = '?'
		}
		data = append(data, byte(r))
	}
	if len(data) == 1 {
		data = append(data, 0)
	}
	return Field{Text, data}
}

const bcdPlus = "0123456789 -.:,_"

// NewBCDPlus gives the field of digits, spaces and -.:,_ in BCD plus, two to
// a byte, the first in the high nibble. Spaces at the end are padding.
func NewBCDPlus(s string) (Field, error) {
	data := make([]byte, 0, (len(s)+1)/2)
	for i := 0; i < len(s); i++ {
		n := strings.IndexByte(bcdPlus, s[i])
		if n < 0 {
			return Field{}, fmt.Errorf("%w in BCD plus: %q", ErrField, s)
		}
		if i%2 == 0 {
			data = append(data, byte(n)<<4|byte(strings.IndexByte(bcdPlus, ' ')))
		} else {
			data[i/2] = data[i/2]&0xF0 | byte(n)
		}
	}
	return Field{BCDPlus, data}, nil
}

// Six-bit ASCII is 20h to 5Fh, four characters in three bytes, the lowest
// bits first.
const (
	sixBits = 6
	sixMask = 0x3F
	sixBase = ' '
)

// NewSixBit gives the field of a text in 6-bit ASCII, which has no small
// letters. Spaces at the end are padding.
func NewSixBit(s string) (Field, error) {
	var data []byte
	for i := 0; i < len(s); i++ {
		c := s[i] - sixBase
		if c > sixMask {
			return Field{}, fmt.Errorf("%w in 6-bit ASCII: %q", ErrField, s)
		}
		at := i * sixBits
		if at%8 == 0 {
			data = append(data, c)
			continue
		}
		data[at/8] |= c << (at % 8)
		if at%8 > 8-sixBits {
			data = append(data, c>>(8-at%8))
		}
	}
	return Field{SixBit, data}, nil
}

// In reads the field in an area of the given language: text, or the hex
// digits of a binary field. What pads it is cut off.
func (f Field) In(l Language) string {
	switch {
	case f.Code == Binary:
		return hex.EncodeToString(f.Data)
	case f.Code == BCDPlus:
		return strings.TrimRight(f.bcd(), " ")
	case f.Code == SixBit:
		return strings.TrimRight(f.sixBit(), " ")
	case l.English():
		return f.latin1()
	}
	return f.ucs2()
}

// String reads the field as English.
func (f Field) String() string { return f.In(English) }

func (f Field) bcd() string {
	var s strings.Builder
	for _, x := range f.Data {
		s.WriteByte(bcdPlus[x>>4])
		s.WriteByte(bcdPlus[x&0x0F])
	}
	return s.String()
}

func (f Field) sixBit() string {
	var s strings.Builder
	var acc, have uint
	for _, x := range f.Data {
		acc |= uint(x) << have
		for have += 8; have >= sixBits; have -= sixBits {
			s.WriteByte(byte(acc&sixMask) + sixBase)
			acc >>= sixBits
		}
	}
	return s.String()
}

func (f Field) latin1() string {
	r := make([]rune, 0, len(f.Data))
	for _, x := range bytes.TrimRight(f.Data, "\x00") {
		r = append(r, rune(x))
	}
	return string(r)
}

func (f Field) ucs2() string {
	u := make([]uint16, 0, len(f.Data)/2)
	for i := 0; i+1 < len(f.Data); i += 2 {
		u = append(u, uint16(f.Data[i])|uint16(f.Data[i+1])<<8)
	}
	return strings.TrimRight(string(utf16.Decode(u)), "\x00")
}

func (f Field) append(b []byte) ([]byte, error) {
	head := byte(f.Code)<<codeShift | byte(len(f.Data))
	if f.Code > Text || len(f.Data) > MaxField || head == endOfFields {
		return b, fmt.Errorf("%w: code %d, %d bytes", ErrField, f.Code, len(f.Data))
	}
	return append(append(b, head), f.Data...), nil
}

func appendFields(b []byte, fields []Field) (_ []byte, err error) {
	for _, f := range fields {
		if b, err = f.append(b); err != nil {
			return b, err
		}
	}
	return append(b, endOfFields), nil
}

// parseFields reads the fields up to the end marker.
func parseFields(b []byte) ([]Field, error) {
	var out []Field
	for len(b) > 0 {
		head := b[0]
		if head == endOfFields {
			return out, nil
		}
		n := 1 + int(head&lengthMask)
		if n > len(b) {
			return nil, ErrShort
		}
		f := Field{Code: Code(head >> codeShift)}
		if n > 1 {
			f.Data = bytes.Clone(b[1:n])
		}
		out, b = append(out, f), b[n:]
	}
	return nil, ErrEnd
}
