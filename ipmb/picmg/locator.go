package picmg

import (
	"encoding/binary"

	"github.com/midplane-project/midplane/ipmb"
)

// LocatorQuery is the request of Get Device Locator Record ID (Wireshark
// packet-ipmi-picmg.c):
//
//	FRU id  [record id to search after 2]
type LocatorQuery struct {
	FRU   uint8
	After uint16 // 0 = from the start
}

const (
	locatorQueryLen     = 1
	locatorQueryLongLen = 3
	locatorRecordLen    = 2
)

// AppendBinary appends the body to b. It never fails.
func (q LocatorQuery) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, q.FRU)
	if q.After == 0 {
		return b, nil
	}
	return binary.LittleEndian.AppendUint16(b, q.After), nil
}

// ParseLocatorQuery reads the body.
func ParseLocatorQuery(b []byte) (LocatorQuery, error) {
	switch len(b) {
	case locatorQueryLen:
		return LocatorQuery{FRU: b[0]}, nil
	case locatorQueryLongLen:
		return LocatorQuery{FRU: b[0], After: binary.LittleEndian.Uint16(b[1:])}, nil
	}
	return LocatorQuery{}, ipmb.ErrLength
}

// LocatorRecord is the response of Get Device Locator Record ID: the id of
// the FRU's locator in the controller's device SDR repository.
type LocatorRecord struct{ ID uint16 }

// AppendBinary appends the body to b. It never fails.
func (r LocatorRecord) AppendBinary(b []byte) ([]byte, error) {
	return binary.LittleEndian.AppendUint16(b, r.ID), nil
}

// ParseLocatorRecord reads the body.
func ParseLocatorRecord(b []byte) (LocatorRecord, error) {
	if len(b) != locatorRecordLen {
		return LocatorRecord{}, ipmb.ErrLength
	}
	return LocatorRecord{ID: binary.LittleEndian.Uint16(b)}, nil
}
