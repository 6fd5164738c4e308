package sel

import (
	"encoding/binary"

	"github.com/midplane-project/midplane/ipmb"
)

// Version is the SEL version of IPMI 1.5 and 2.0, in BCD with the low digit first.
const Version = 0x51

const (
	infoLen      = 14
	allocInfoLen = 9
)

// Operations is the operation support byte of Get SEL Info.
type Operations uint8

// Operation bits.
const (
	OpAllocInfo  Operations = 1 << 0
	OpReserve    Operations = 1 << 1
	OpPartialAdd Operations = 1 << 2
	OpDelete     Operations = 1 << 3
	OpOverflow   Operations = 1 << 7 // events were dropped for want of space
)

// Info is the response data of Get SEL Info (IPMI 2.0 §31.2):
//
//	51  entries 2  free bytes 2  last add 4  last erase 4  operations
type Info struct {
	Entries    uint16
	Free       uint16 // bytes, FFFFh = 65535 or more
	Added      Timestamp
	Erased     Timestamp
	Operations Operations
}

// AppendBinary appends the response data to b. It never fails.
func (i Info) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, Version)
	b = binary.LittleEndian.AppendUint16(b, i.Entries)
	b = binary.LittleEndian.AppendUint16(b, i.Free)
	b = binary.LittleEndian.AppendUint32(b, uint32(i.Added))
	b = binary.LittleEndian.AppendUint32(b, uint32(i.Erased))
	return append(b, byte(i.Operations)), nil
}

// ParseInfo reads the response data of Get SEL Info.
func ParseInfo(b []byte) (Info, error) {
	if len(b) != infoLen {
		return Info{}, ipmb.ErrLength
	}
	return Info{
		Entries: binary.LittleEndian.Uint16(b[1:]), Free: binary.LittleEndian.Uint16(b[3:]),
		Added:  Timestamp(binary.LittleEndian.Uint32(b[5:])),
		Erased: Timestamp(binary.LittleEndian.Uint32(b[9:])), Operations: Operations(b[13]),
	}, nil
}

// AllocInfo is the response data of Get SEL Allocation Info (IPMI 2.0 §31.3).
// Sizes are in allocation units, except Unit.
type AllocInfo struct {
	Units     uint16 // that exist
	Unit      uint16 // size of one in bytes
	Free      uint16
	Largest   uint16 // largest free block
	MaxRecord uint8
}

// AppendBinary appends the response data to b. It never fails.
func (a AllocInfo) AppendBinary(b []byte) ([]byte, error) {
	for _, n := range []uint16{a.Units, a.Unit, a.Free, a.Largest} {
		b = binary.LittleEndian.AppendUint16(b, n)
	}
	return append(b, a.MaxRecord), nil
}

// ParseAllocInfo reads the response data of Get SEL Allocation Info.
func ParseAllocInfo(b []byte) (AllocInfo, error) {
	if len(b) != allocInfoLen {
		return AllocInfo{}, ipmb.ErrLength
	}
	return AllocInfo{
		Units: binary.LittleEndian.Uint16(b), Unit: binary.LittleEndian.Uint16(b[2:]),
		Free: binary.LittleEndian.Uint16(b[4:]), Largest: binary.LittleEndian.Uint16(b[6:]),
		MaxRecord: b[8],
	}, nil
}
