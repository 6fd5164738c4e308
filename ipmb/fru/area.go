package fru

import (
	"fmt"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// Language is the language of an area's fields; both 0 and 25 are English.
type Language uint8

// English is the language that tools read best.
const (
	English    Language = 25
	englishToo Language = 0
)

// English reports whether text is in Latin-1.
func (l Language) English() bool { return l == English || l == englishToo }

// Every info area is
//
//	version  length in units  head  fields  C1  0…  checksum
const (
	prefixLen = 2
	suffixLen = 2 // end marker and checksum
	maxArea   = unit * 255
)

func appendArea(b, head []byte, fields []Field) ([]byte, error) {
	start := len(b)
	b = append(append(b, version, 0), head...)
	b, err := appendFields(b, fields)
	if err != nil {
		return b, err
	}
	b = pad(b, 1)
	n := len(b) + 1 - start
	if n > maxArea {
		return b, ErrLong
	}
	b[start+1] = byte(n / unit)
	return append(b, ipmb.Checksum(b[start:])), nil
}

// parseArea gives the head, n bytes, and the fields of the area at the start of b.
func parseArea(b []byte, n int) (head []byte, fields []Field, err error) {
	if len(b) < unit {
		return nil, nil, ErrShort
	}
	size := unit * int(b[1])
	switch {
	case b[0]&0x0F != version:
		return nil, nil, ErrVersion
	case size < prefixLen+n+suffixLen, size > len(b):
		return nil, nil, ErrShort
	case ipmb.Checksum(b[:size]) != 0:
		return nil, nil, ErrChecksum
	}
	fields, err = parseFields(b[prefixLen+n : size-1])
	return b[prefixLen : prefixLen+n], fields, err
}

// take spreads an area's fields over those that have a meaning and the rest. An
// area that ends early leaves the last ones empty.
func take(fields []Field, to ...*Field) (custom []Field) {
	for len(to) > 0 && len(fields) > 0 {
		*to[0], to, fields = fields[0], to[1:], fields[1:]
	}
	if len(fields) == 0 {
		return nil
	}
	return fields
}

// Chassis is the chassis info area. It has no language: its text is English.
type Chassis struct {
	Type   uint8 // as SMBIOS has it
	Part   Field
	Serial Field
	Custom []Field
}

// Chassis types (SMBIOS type 3).
const (
	ChassisOther     uint8 = 0x01
	ChassisRackMount uint8 = 0x17
)

const chassisHead = 1

func (c *Chassis) append(b []byte) ([]byte, error) {
	return appendArea(b, []byte{c.Type}, append([]Field{c.Part, c.Serial}, c.Custom...))
}

func parseChassis(b []byte) (*Chassis, error) {
	head, fields, err := parseArea(b, chassisHead)
	if err != nil {
		return nil, err
	}
	c := &Chassis{Type: head[0]}
	c.Custom = take(fields, &c.Part, &c.Serial)
	return c, nil
}

// Board is the board info area.
type Board struct {
	Language     Language
	Made         time.Time // to the minute, until November 2027; zero if not told
	Manufacturer Field
	Product      Field
	Serial       Field
	Part         Field
	File         Field // names the file that the content was made from
	Custom       []Field
}

const (
	boardHead  = 4
	maxMinutes = 1<<24 - 1
)

// epoch is where the time of manufacture counts minutes from.
var epoch = time.Date(1996, time.January, 1, 0, 0, 0, 0, time.UTC)

func (d *Board) append(b []byte) ([]byte, error) {
	var minutes time.Duration
	if !d.Made.IsZero() {
		minutes = d.Made.Sub(epoch) / time.Minute
	}
	if minutes < 0 || minutes > maxMinutes {
		return b, fmt.Errorf("%w: made %s", ErrField, d.Made)
	}
	head := []byte{byte(d.Language), byte(minutes), byte(minutes >> 8), byte(minutes >> 16)}
	return appendArea(b, head, append([]Field{d.Manufacturer, d.Product, d.Serial, d.Part, d.File}, d.Custom...))
}

func parseBoard(b []byte) (*Board, error) {
	head, fields, err := parseArea(b, boardHead)
	if err != nil {
		return nil, err
	}
	d := &Board{Language: Language(head[0])}
	if minutes := int(head[1]) | int(head[2])<<8 | int(head[3])<<16; minutes > 0 {
		d.Made = epoch.Add(time.Duration(minutes) * time.Minute)
	}
	d.Custom = take(fields, &d.Manufacturer, &d.Product, &d.Serial, &d.Part, &d.File)
	return d, nil
}

// Product is the product info area.
type Product struct {
	Language     Language
	Manufacturer Field
	Name         Field
	Part         Field // or model number
	Version      Field
	Serial       Field
	Asset        Field // asset tag
	File         Field // names the file that the content was made from
	Custom       []Field
}

const productHead = 1

func (p *Product) append(b []byte) ([]byte, error) {
	fields := []Field{p.Manufacturer, p.Name, p.Part, p.Version, p.Serial, p.Asset, p.File}
	return appendArea(b, []byte{byte(p.Language)}, append(fields, p.Custom...))
}

func parseProduct(b []byte) (*Product, error) {
	head, fields, err := parseArea(b, productHead)
	if err != nil {
		return nil, err
	}
	p := &Product{Language: Language(head[0])}
	p.Custom = take(fields, &p.Manufacturer, &p.Name, &p.Part, &p.Version, &p.Serial, &p.Asset, &p.File)
	return p, nil
}
