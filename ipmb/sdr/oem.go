package sdr

import "bytes"

const manufacturerLen = 3

// OEM is a record of a manufacturer's own, type C0h.
type OEM struct {
	Manufacturer uint32 // IANA enterprise number, 24 bits
	Data         []byte
}

// Type is TypeOEM.
func (*OEM) Type() Type { return TypeOEM }

func (o *OEM) append(b []byte) ([]byte, error) {
	m := o.Manufacturer
	return append(append(b, byte(m), byte(m>>8), byte(m>>16)), o.Data...), nil
}

func parseOEM(b []byte) (Body, error) {
	if len(b) < manufacturerLen {
		return nil, ErrShort
	}
	return &OEM{
		Manufacturer: uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16,
		Data:         bytes.Clone(b[manufacturerLen:]),
	}, nil
}

// Unknown keeps a record of any other type as it is.
type Unknown struct {
	Kind Type
	Data []byte
}

// Type is the record's type.
func (u *Unknown) Type() Type { return u.Kind }

func (u *Unknown) append(b []byte) ([]byte, error) { return append(b, u.Data...), nil }

func parseUnknown(t Type, b []byte) (Body, error) {
	return &Unknown{Kind: t, Data: bytes.Clone(b)}, nil
}
