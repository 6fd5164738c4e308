package pef

// As much of ASN.1's basic encoding rules as an SNMPv1 trap needs (X.690;
// RFC 1157 §4.1.6, RFC 1155 §6).
const (
	tagInteger   = 0x02
	tagOctets    = 0x04
	tagOID       = 0x06
	tagSequence  = 0x30
	tagIPAddress = 0x40
	tagTimeTicks = 0x43
	tagTrap      = 0xA4
)

// appendValue appends a value with its tag and length.
func appendValue(b []byte, tag byte, content []byte) []byte {
	b = append(b, tag)
	switch n := len(content); {
	case n < 0x80:
		b = append(b, byte(n))
	case n <= 0xFF:
		b = append(b, 0x81, byte(n))
	default:
		b = append(b, 0x82, byte(n>>8), byte(n))
	}
	return append(b, content...)
}

// appendNumber appends a number that is not negative, in as few bytes as can
// be, of which the first must not look negative.
func appendNumber(b []byte, tag byte, n uint32) []byte {
	content := []byte{0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
	for len(content) > 1 && content[0] == 0 && content[1] < 0x80 {
		content = content[1:]
	}
	return appendValue(b, tag, content)
}
