package sdr

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
)

// A type/length byte says how an id string is coded and how many characters
// it has (IPMI 2.0 §43.15):
//
//	[7:6] 0 Unicode, 1 BCD plus, 2 packed 6-bit ASCII, 3 8-bit ASCII and Latin-1  [4:0] characters
const (
	codeUnicode = 0
	codeBCDPlus = 1
	codeSixBit  = 2
	codeLatin1  = 3
	codeShift   = 6
	lengthMask  = 0x1F
)

// MaxID is the length of the longest id string in characters.
const MaxID = 16

// ErrIDString is returned for id strings that a record cannot hold.
var ErrIDString = errors.New("id string needs at most 16 Latin-1 characters")

const bcdPlus = "0123456789 -.:,_"

// appendID appends the type/length byte and the text in 8-bit code. One
// character becomes two with a NUL: this code needs two at least.
func appendID(b []byte, s string) ([]byte, error) {
	text := make([]byte, 0, MaxID)
	for _, r := range s {
		if r == 0 || r > 0xFF || len(text) == MaxID {
			return b, fmt.Errorf("%w: %q", ErrIDString, s)
		}
		text = append(text, byte(r))
	}
	if len(text) == 1 {
		text = append(text, 0)
	}
	return append(append(b, codeLatin1<<codeShift|byte(len(text))), text...), nil
}

// parseID reads a type/length byte and its text; b may be longer. A text that
// is cut off by the record's end is read as far as it goes, NULs at the end
// are padding.
func parseID(b []byte) (string, error) {
	if len(b) == 0 {
		return "", ErrShort
	}
	n, text := int(b[0]&lengthMask), b[1:]
	var s string
	switch b[0] >> codeShift {
	case codeUnicode:
		s = unicodeText(text, n)
	case codeBCDPlus:
		s = bcdText(text, n)
	case codeSixBit:
		s = sixBitText(text, n)
	case codeLatin1:
		s = latin1Text(text, n)
	}
	return strings.TrimRight(s, "\x00"), nil
}

func unicodeText(b []byte, n int) string {
	u := make([]uint16, 0, n)
	for i := 0; i < n && 2*i+1 < len(b); i++ {
		u = append(u, uint16(b[2*i])|uint16(b[2*i+1])<<8)
	}
	return string(utf16.Decode(u))
}

// bcdText reads two characters per byte, the high nibble first.
func bcdText(b []byte, n int) string {
	var s strings.Builder
	for i := 0; i < n && i/2 < len(b); i++ {
		s.WriteByte(bcdPlus[b[i/2]>>(4-4*(i%2))&0xF])
	}
	return s.String()
}

// sixBitText reads four characters from three bytes, the lowest bits first.
func sixBitText(b []byte, n int) string {
	const bits, mask, base = 6, 0x3F, ' '
	var s strings.Builder
	var acc, have uint
	for _, x := range b {
		acc |= uint(x) << have
		for have += 8; have >= bits && s.Len() < n; have -= bits {
			s.WriteByte(byte(acc&mask) + base)
			acc >>= bits
		}
		if s.Len() == n {
			break
		}
	}
	return s.String()
}

func latin1Text(b []byte, n int) string {
	r := make([]rune, 0, n)
	for _, x := range b[:min(n, len(b))] {
		r = append(r, rune(x))
	}
	return string(r)
}
