package rmcp

import (
	"bytes"
	"encoding/binary"

	"github.com/midplane-project/midplane/ipmb"
)

// Status is the outcome of a step of a login (IPMI 2.0 table 13-15).
type Status byte

// Statuses.
const (
	StatusOK            Status = 0x00
	StatusNoResources   Status = 0x01
	StatusBadSession    Status = 0x02
	StatusInvalidRole   Status = 0x09
	StatusUnauthorized  Status = 0x0A
	StatusNameLength    Status = 0x0C
	StatusIntegrity     Status = 0x0F
	StatusNoCipherMatch Status = 0x11
	StatusIllegal       Status = 0x12
)

// Lengths and fields of the messages of a login (IPMI 2.0 §13.17 to §13.23).
const (
	openLen      = 32
	algorithmLen = 8
	rakp1Len     = 28
	rakp3Len     = 8
	randomLen    = 16
	maxNameLen   = 16
	roleMask     = 0x0F
	nameOnlyBit  = 0x10
)

// openRequest is RMCP+ Open Session Request (IPMI 2.0 §13.17).
type openRequest struct {
	Tag                              byte
	Privilege                        ipmb.Privilege // 0: the highest there is
	Console                          uint32
	Auth, Integrity, Confidentiality byte
}

func parseOpen(b []byte) (openRequest, error) {
	if len(b) != openLen {
		return openRequest{}, errFrame
	}
	r := openRequest{Tag: b[0], Privilege: ipmb.Privilege(b[1] & roleMask), Console: binary.LittleEndian.Uint32(b[4:])}
	for i, to := range []*byte{&r.Auth, &r.Integrity, &r.Confidentiality} {
		a := b[8+i*algorithmLen:][:algorithmLen]
		if a[0] != byte(i) || a[3] != algorithmLen { // also the wildcard of length 0, which nobody sends
			return openRequest{}, errFrame
		}
		*to = a[4]
	}
	return r, nil
}

// appendOpen answers a request: granted is the privilege, id the controller's
// session id. With a status the answer ends after the console's id.
func (r openRequest) appendOpen(b []byte, s Status, granted ipmb.Privilege, id uint32) []byte {
	b = append(b, r.Tag, byte(s), byte(granted), 0)
	b = binary.LittleEndian.AppendUint32(b, r.Console)
	if s != StatusOK {
		return b
	}
	b = binary.LittleEndian.AppendUint32(b, id)
	for i, a := range []byte{r.Auth, r.Integrity, r.Confidentiality} {
		b = append(b, byte(i), 0, 0, algorithmLen, a, 0, 0, 0)
	}
	return b
}

// rakp1 is RAKP Message 1 (IPMI 2.0 §13.20).
type rakp1 struct {
	Tag    byte
	ID     uint32 // the controller's
	Random [randomLen]byte
	Role   byte // as it was sent: it goes into the HMACs
	Name   string
}

func (r rakp1) nameOnly() bool            { return r.Role&nameOnlyBit != 0 }
func (r rakp1) privilege() ipmb.Privilege { return ipmb.Privilege(r.Role & roleMask) }

// parseRAKP1 reads the message. A name whose length lies gives a status, for
// which tag and id must be known.
func parseRAKP1(b []byte) (r rakp1, s Status, err error) {
	if len(b) < rakp1Len {
		return r, StatusOK, errFrame
	}
	r = rakp1{Tag: b[0], ID: binary.LittleEndian.Uint32(b[4:]), Role: b[24]}
	copy(r.Random[:], b[8:])
	n := int(b[27])
	if n > maxNameLen || len(b) != rakp1Len+n {
		return r, StatusNameLength, nil
	}
	r.Name = string(b[rakp1Len:])
	return r, StatusOK, nil
}

// identity is how a login's HMACs name the user: role, length, name.
func (r rakp1) identity() []byte { return append([]byte{r.Role, byte(len(r.Name))}, r.Name...) }

// rakp3 is RAKP Message 3 (IPMI 2.0 §13.22).
type rakp3 struct {
	Tag    byte
	Status Status
	ID     uint32
	Code   []byte
}

func parseRAKP3(b []byte) (rakp3, error) {
	if len(b) < rakp3Len {
		return rakp3{}, errFrame
	}
	return rakp3{Tag: b[0], Status: Status(b[1]), ID: binary.LittleEndian.Uint32(b[4:]), Code: bytes.Clone(b[rakp3Len:])}, nil
}

// appendRAKP begins RAKP Messages 2 and 4: tag, status, the console's id.
func appendRAKP(b []byte, tag byte, s Status, console uint32) []byte {
	return binary.LittleEndian.AppendUint32(append(b, tag, byte(s), 0, 0), console)
}
