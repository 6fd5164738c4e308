package fru_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/fru"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func must(f fru.Field, err error) fru.Field {
	if err != nil {
		panic(err)
	}
	return f
}

// golden are whole devices. ipmitool 1.8.19 prints the boards, products and DC
// records as they stand here.
var golden = []struct {
	name, hex string
	inv       fru.Inventory
}{
	{"empty", "01 00 00 00 00 00 00 ff", fru.Inventory{}},
	{
		"board and product", `01 00 00 01 06 00 00 f8
			01 05 19 40 2f 3f  c8 4d 69 64 70 6c 61 6e 65  c5 42 6f 61 72 64  43 12 34 5a  83 e1 38 94
			02 de ad  c2 c4 e4  c1 00 00 00 c9
			01 03 00  c2 4d 70  c2 51 45  00  c2 31 00  c3 73 6e 31  c3 74 61 67  c0  c1 dd`,
		fru.Inventory{
			Board: &fru.Board{
				Language: fru.English, Made: time.Date(2003, 11, 15, 14, 24, 0, 0, time.UTC),
				Manufacturer: fru.NewText("Midplane"), Product: fru.NewText("Board"),
				Serial: must(fru.NewBCDPlus("12345 ")), Part: fru.Field{Code: fru.SixBit, Data: []byte{0xE1, 0x38, 0x94}},
				File: fru.Field{Code: fru.Binary, Data: []byte{0xDE, 0xAD}}, Custom: []fru.Field{fru.NewText("Ää")},
			},
			Product: &fru.Product{
				Manufacturer: fru.NewText("Mp"), Name: fru.NewText("QE"), Version: fru.NewText("1"),
				Serial: fru.NewText("sn1"), Asset: fru.NewText("tag"), File: fru.Field{Code: fru.Text},
			},
		},
	},
	{
		"internal, chassis, records", `01 01 02 00 00 05 00 f7
			01 aa bb cc dd ee ff 11
			01 03 17  c4 70 61 72 74  c6 73 65 72 69 61 6c  c2 78 79  c1 00 00 00 00 b0
			c0 02 06 be 7a  5a 31 00 14 00 a3
			01 02 0d 27 c9  81 b0 04 88 ff 78 00 64 00 0a 00 10 27
			02 02 0d f2 fd  01 b0 04 38 04 28 05 05 00 00 00 e8 03
			03 82 08 a7 cc  01 68 74 74 70 3a 2f 2f  00 00 00 00`,
		fru.Inventory{
			Internal: []byte{1, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF, 0x11},
			Chassis: &fru.Chassis{
				Type: fru.ChassisRackMount, Part: fru.NewText("part"), Serial: fru.NewText("serial"),
				Custom: []fru.Field{fru.NewText("xy")},
			},
			Records: []fru.Record{
				&fru.OEM{Kind: fru.TypeOEM, Manufacturer: 0x00315A, Data: []byte{0x14, 0x00, 0xA3}},
				&fru.DC{Standby: true, Output: 1, Nominal: 1200, Low: -120, High: 120, Ripple: 100, MinCurrent: 10, MaxCurrent: 10000},
				&fru.DC{Load: true, Output: 1, Nominal: 1200, Low: 1080, High: 1320, Ripple: 5, MaxCurrent: 1000},
				&fru.Management{Kind: fru.ManagementURL, Data: []byte("http://")},
			},
		},
	},
}

func TestGolden(t *testing.T) {
	for _, c := range golden {
		t.Run(c.name, func(t *testing.T) {
			want := unhex(t, c.hex)
			b, err := c.inv.Marshal()
			if err != nil || !bytes.Equal(b, want) {
				t.Errorf("written, %v:\n got % x\nwant % x", err, b, want)
			}
			inv, err := fru.Unmarshal(append(want, bytes.Repeat([]byte{0xFF}, 100)...))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&c.inv, inv); d != "" {
				t.Errorf("read:\n%s", d)
			}
		})
	}
}

func TestFields(t *testing.T) {
	for _, c := range []struct {
		name  string
		field fru.Field
		lang  fru.Language
		want  string
	}{
		{"Latin-1", fru.NewText("Grüße"), fru.English, "Grüße"},
		{"a single character", fru.NewText("x"), fru.English, "x"},
		{"other characters", fru.NewText("a☃\x00b"), fru.English, "a??b"},
		{"cut", fru.NewText(strings.Repeat("y", 80)), fru.English, strings.Repeat("y", 63)},
		{"BCD plus", must(fru.NewBCDPlus("0123456789 -.")), fru.English, "0123456789 -."},
		{"odd BCD plus", must(fru.NewBCDPlus("12-4.")), fru.English, "12-4."},
		{"six bits", fru.Field{Code: fru.SixBit, Data: []byte{0x29, 0xDC, 0xA6}}, fru.English, "IPMI"},
		{"six bits as ipmitool reads them", fru.Field{Code: fru.SixBit, Data: []byte{0xE1, 0x38, 0x94}}, fru.English, "AC#E"},
		{"binary", fru.Field{Data: []byte{0x0A, 0xFF}}, fru.English, "0aff"},
		{"empty", fru.Field{}, fru.English, ""},
		{"UCS-2", fru.Field{Code: fru.Text, Data: []byte{0x03, 0x26, 0x41, 0x00, 0, 0}}, 9, "☃A"},
		{"other codes in any language", must(fru.NewBCDPlus("42")), 9, "42"},
	} {
		if got := c.field.In(c.lang); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	for i := range len("IPMI 2.0, FRU_") + 1 {
		s := "IPMI 2.0, FRU_"[:i]
		if f := must(fru.NewSixBit(s)); f.String() != strings.TrimRight(s, " ") || len(f.Data) != (i*6+7)/8 {
			t.Errorf("%q became % x, %q", s, f.Data, f)
		}
	}
	if _, err := fru.NewBCDPlus("12a"); !errors.Is(err, fru.ErrField) {
		t.Errorf("a letter in BCD plus: %v", err)
	}
	if _, err := fru.NewSixBit("small"); !errors.Is(err, fru.ErrField) {
		t.Errorf("small letters in 6-bit ASCII: %v", err)
	}
}

func TestMarshalRefuses(t *testing.T) {
	many := make([]fru.Field, 40)
	for i := range many {
		many[i] = fru.NewText(strings.Repeat("z", 63))
	}
	for name, c := range map[string]struct {
		inv  fru.Inventory
		want error
	}{
		"end marker as a field":   {fru.Inventory{Chassis: &fru.Chassis{Part: fru.Field{Code: fru.Text, Data: []byte("x")}}}, fru.ErrField},
		"long field":              {fru.Inventory{Chassis: &fru.Chassis{Part: fru.Field{Data: make([]byte, 64)}}}, fru.ErrField},
		"unknown code":            {fru.Inventory{Product: &fru.Product{Name: fru.Field{Code: 4}}}, fru.ErrField},
		"made before the epoch":   {fru.Inventory{Board: &fru.Board{Made: time.Unix(0, 0)}}, fru.ErrField},
		"made too late":           {fru.Inventory{Board: &fru.Board{Made: time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC)}}, fru.ErrField},
		"long area":               {fru.Inventory{Chassis: &fru.Chassis{Custom: many}}, fru.ErrLong},
		"area behind the last":    {fru.Inventory{Internal: make([]byte, 2040), Board: &fru.Board{}}, fru.ErrLong},
		"long record":             {fru.Inventory{Records: []fru.Record{&fru.Raw{Data: make([]byte, 256)}}}, fru.ErrLong},
		"long record by its head": {fru.Inventory{Records: []fru.Record{&fru.OEM{Kind: 0xC0, Data: make([]byte, 253)}}}, fru.ErrLong},
	} {
		if b, err := c.inv.Marshal(); !errors.Is(err, c.want) {
			t.Errorf("%s: % x, %v", name, b, err)
		}
	}
}

// Damage to one area leaves the others.
func TestDamage(t *testing.T) {
	board, records := unhex(t, golden[1].hex), unhex(t, golden[2].hex)
	cut := func(b []byte, at int, v byte) []byte {
		b = bytes.Clone(b)
		b[at] = v
		return b
	}
	header := func(b []byte, at int, v byte) []byte { // with its checksum
		b = cut(b, at, v)
		b[7] = ipmb.Checksum(b[:7])
		return b
	}
	for _, c := range []struct {
		name string
		raw  []byte
		want error
		area fru.Area
		left string // of C B P and the number of records
	}{
		{"board's checksum", cut(board, 20, 'x'), fru.ErrChecksum, fru.AreaBoard, "P0"},
		{"board's version", cut(board, 8, 2), fru.ErrVersion, fru.AreaBoard, "P0"},
		{"board's length", cut(board, 9, 0), fru.ErrShort, fru.AreaBoard, "P0"},
		{"product is cut off", board[:70], fru.ErrShort, fru.AreaProduct, "B0"},
		{"product is not there", board[:48], fru.ErrShort, fru.AreaProduct, "B0"},
		{"no end of fields", []byte{1, 0, 1, 0, 0, 0, 0, 0xFE, 1, 1, 0, 0, 0, 0, 0, 0xFE}, fru.ErrEnd, fru.AreaChassis, "0"},
		{"field is cut off", []byte{1, 0, 1, 0, 0, 0, 0, 0xFE, 1, 1, 0, 0xC9, 0, 0, 0, 0x35}, fru.ErrShort, fru.AreaChassis, "0"},
		{"what ipmitool's fru edit leaves", header(board, 5, 0xFF), fru.ErrShort, fru.AreaRecords, "BP0"},
		{"records are FFh", header(append(bytes.Clone(board), bytes.Repeat([]byte{0xFF}, 24)...), 5, 10), fru.ErrChecksum, fru.AreaRecords, "BP0"},
		{"a record's data", cut(records, 50, 1), fru.ErrChecksum, fru.AreaRecords, "C3"},
		{"a record's header", cut(records, 52, 1), fru.ErrChecksum, fru.AreaRecords, "C1"},
		{"a record is cut off", records[:90], fru.ErrShort, fru.AreaRecords, "C3"},
		{"a record's format", cut(cut(records, 41, 3), 44, 0x79), fru.ErrVersion, fru.AreaRecords, "C3"},
	} {
		inv, err := fru.Unmarshal(c.raw)
		var e *fru.AreaError
		if !errors.Is(err, c.want) || !errors.As(err, &e) || e.Area != c.area {
			t.Errorf("%s: %v, want %v in the %s", c.name, err, c.want, c.area)
			continue
		}
		if got := areas(inv); got != c.left {
			t.Errorf("%s: %s is left, want %s", c.name, got, c.left)
		}
	}
	for name, raw := range map[string][]byte{"blank": bytes.Repeat([]byte{0xFF}, 64), "short": {1, 0, 0}, "checksum": cut(board, 7, 0)} {
		if inv, err := fru.Unmarshal(raw); inv != nil || err == nil {
			t.Errorf("%s: %+v, %v", name, inv, err)
		}
	}
}

func areas(inv *fru.Inventory) (s string) {
	if inv.Chassis != nil {
		s += "C"
	}
	if inv.Board != nil {
		s += "B"
	}
	if inv.Product != nil {
		s += "P"
	}
	return s + string(rune('0'+len(inv.Records)))
}

// Two damaged areas are both reported.
func TestDamageOfTwo(t *testing.T) {
	raw := unhex(t, golden[1].hex)
	raw[20], raw[60] = 'x', 'x'
	_, err := fru.Unmarshal(raw)
	for _, want := range []string{"board info area: bad checksum", "product info area: bad checksum"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// What is read is written, and read to the same again.
func FuzzUnmarshal(f *testing.F) {
	for _, c := range golden {
		f.Add(unhex(f, c.hex), false)
	}
	f.Fuzz(func(t *testing.T, raw []byte, right bool) {
		if right {
			mend(raw)
		}
		inv, _ := fru.Unmarshal(raw)
		if inv == nil {
			return
		}
		b, err := inv.Marshal()
		if err != nil {
			if !errors.Is(err, fru.ErrLong) { // areas that overlap need more room apart
				t.Fatal(err)
			}
			return
		}
		again, err := fru.Unmarshal(b)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(again.Internal, inv.Internal) { // padded
			t.Fatalf("internal % x, then % x", inv.Internal, again.Internal)
		}
		inv.Internal = again.Internal
		for _, l := range []fru.Language{fru.English, 9} {
			read(inv, l)
		}
		if d := cmp.Diff(inv, again); d != "" {
			t.Fatalf("% x became % x:\n%s", raw, b, d)
		}
		if c, err := again.Marshal(); err != nil || !bytes.Equal(b, c) {
			t.Fatalf("% x, then % x: %v", b, c, err)
		}
	})
}

// mend makes the checksums of the header and the info areas right, behind
// which mutations would hardly ever get.
func mend(raw []byte) {
	if len(raw) < 8 {
		return
	}
	raw[7] = ipmb.Checksum(raw[:7])
	for _, at := range raw[fru.AreaChassis:fru.AreaRecords] {
		start := 8 * int(at)
		if start+1 >= len(raw) {
			continue
		}
		if end := start + 8*int(raw[start+1]); end > start && end <= len(raw) {
			raw[end-1] = ipmb.Checksum(raw[start : end-1])
		}
	}
}

// read reads an inventory's texts.
func read(inv *fru.Inventory, l fru.Language) {
	var fields []fru.Field
	if b := inv.Board; b != nil {
		fields = append(append(fields, b.Manufacturer, b.Product, b.Serial, b.Part, b.File), b.Custom...)
	}
	if p := inv.Product; p != nil {
		fields = append(append(fields, p.Manufacturer, p.Name, p.Part, p.Version, p.Serial, p.Asset, p.File), p.Custom...)
	}
	for _, f := range fields {
		_ = f.In(l)
	}
}
