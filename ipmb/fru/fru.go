package fru

import (
	"errors"
	"fmt"

	"github.com/midplane-project/midplane/ipmb"
)

// Sizes in bytes.
const (
	unit      = 8          // areas begin and end at multiples of it
	headerLen = 8          // common header
	maxStart  = unit * 255 // offsets have one byte, in units
)

// version is the format version of headers and areas, in the low nibble.
const version = 0x01

// Errors of Unmarshal and Marshal. What Unmarshal gives wraps them.
var (
	ErrShort    = errors.New("cut off")
	ErrVersion  = errors.New("unknown format version")
	ErrChecksum = errors.New("bad checksum")
	ErrEnd      = errors.New("no end of fields")
	ErrLong     = errors.New("too long")
	ErrField    = errors.New("field cannot be written")
)

// Inventory is the content of one FRU device; areas that are nil or empty are
// not there.
type Inventory struct {
	// Internal is the controller's own, from its format version on. It has no
	// length: it ends where another area begins, or with the device.
	Internal []byte
	Chassis  *Chassis
	Board    *Board
	Product  *Product
	Records  []Record
}

// Area is a part of the inventory, by its place in the common header.
type Area int

// Areas.
const (
	AreaInternal Area = 1 + iota
	AreaChassis
	AreaBoard
	AreaProduct
	AreaRecords
)

func (a Area) String() string {
	switch a {
	case AreaInternal:
		return "internal use area"
	case AreaChassis:
		return "chassis info area"
	case AreaBoard:
		return "board info area"
	case AreaProduct:
		return "product info area"
	case AreaRecords:
		return "multirecord area"
	}
	return fmt.Sprintf("area(%d)", int(a))
}

// AreaError says which area is damaged, and how.
type AreaError struct {
	Area Area
	Err  error
}

func (e *AreaError) Error() string { return fmt.Sprintf("FRU %s: %v", e.Area, e.Err) }

// Unwrap gives what is wrong with the area.
func (e *AreaError) Unwrap() error { return e.Err }

// header is the common header: the areas' offsets in units, 0 for none.
//
//	version  internal  chassis  board  product  multirecord  0  checksum
type header [headerLen]byte

func (h *header) start(a Area) int { return unit * int(h[a]) }

// end is where area a ends at the latest: at the next one, or at size.
func (h *header) end(a Area, size int) int {
	end := size
	for other := AreaInternal; other <= AreaRecords; other++ {
		if at := h.start(other); at > h.start(a) && at < end {
			end = at
		}
	}
	return end
}

func parseHeader(b []byte) (h header, err error) {
	switch {
	case len(b) < headerLen:
		return h, ErrShort
	case b[0]&0x0F != version:
		return h, ErrVersion
	case ipmb.Checksum(b[:headerLen]) != 0:
		return h, ErrChecksum
	}
	return header(b[:headerLen]), nil
}

// Unmarshal reads a device's content; what lies behind the areas is ignored.
// Damaged areas and records are left out and reported, each as an *AreaError,
// beside the inventory of the others. Without a common header there is none.
func Unmarshal(b []byte) (*Inventory, error) {
	h, err := parseHeader(b)
	if err != nil {
		return nil, fmt.Errorf("FRU common header: %w", err)
	}
	inv := new(Inventory)
	var all []error
	for a := AreaInternal; a <= AreaRecords; a++ {
		at := h.start(a)
		if at == 0 {
			continue
		}
		err := ErrShort
		if at < len(b) {
			err = inv.read(a, b[at:], h.end(a, len(b))-at)
		}
		if err != nil {
			all = append(all, &AreaError{a, err})
		}
	}
	return inv, errors.Join(all...)
}

// read reads the area at the start of b; room is how far the next one is.
func (inv *Inventory) read(a Area, b []byte, room int) (err error) {
	switch a {
	case AreaInternal:
		inv.Internal = append([]byte(nil), b[:room]...)
	case AreaChassis:
		inv.Chassis, err = parseChassis(b)
	case AreaBoard:
		inv.Board, err = parseBoard(b)
	case AreaProduct:
		inv.Product, err = parseProduct(b)
	case AreaRecords:
		inv.Records, err = parseRecords(b)
	}
	return err
}

// Marshal gives the content as a device holds it, a multiple of 8 bytes long.
func (inv *Inventory) Marshal() ([]byte, error) {
	b := make([]byte, headerLen, 256)
	h := header{version}
	for a := AreaInternal; a <= AreaRecords; a++ {
		start := len(b)
		var err error
		if b, err = inv.append(b, a); err != nil {
			return nil, &AreaError{a, err}
		}
		if len(b) == start {
			continue
		}
		if start > maxStart {
			return nil, &AreaError{a, ErrLong}
		}
		h[a] = byte(start / unit)
		b = pad(b, 0)
	}
	h[headerLen-1] = ipmb.Checksum(h[:headerLen-1])
	copy(b, h[:])
	return b, nil
}

// append appends an area, nothing for one that is not there.
func (inv *Inventory) append(b []byte, a Area) ([]byte, error) {
	switch {
	case a == AreaInternal:
		return append(b, inv.Internal...), nil
	case a == AreaChassis && inv.Chassis != nil:
		return inv.Chassis.append(b)
	case a == AreaBoard && inv.Board != nil:
		return inv.Board.append(b)
	case a == AreaProduct && inv.Product != nil:
		return inv.Product.append(b)
	case a == AreaRecords:
		return appendRecords(b, inv.Records)
	}
	return b, nil
}

// pad appends zeros until behind bytes more make the length a multiple of the unit.
func pad(b []byte, behind int) []byte {
	for (len(b)+behind)%unit != 0 {
		b = append(b, 0)
	}
	return b
}
