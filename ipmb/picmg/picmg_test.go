package picmg_test

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/picmg"
)

// parsers read every body of this package.
var parsers = map[string]func([]byte) (encoding.BinaryAppender, error){
	"properties":     parser(picmg.ParseProperties),
	"address query":  parser(picmg.ParseAddressQuery),
	"address info":   parser(picmg.ParseAddressInfo),
	"shelf managers": parser(picmg.ParseShelfManagers),
	"locator query":  parser(picmg.ParseLocatorQuery),
	"locator record": parser(picmg.ParseLocatorRecord),
	"power level":    parser(picmg.ParsePowerLevel),
	"activation":     parser(picmg.ParseActivation),
	"policy":         parser(picmg.ParseActivationPolicy),
	"fan properties": parser(picmg.ParseFanProperties),
	"fan level":      parser(picmg.ParseFanLevel),
	"fan levels":     parser(picmg.ParseFanLevels),
}

func parser[T encoding.BinaryAppender](f func([]byte) (T, error)) func([]byte) (encoding.BinaryAppender, error) {
	return func(b []byte) (encoding.BinaryAppender, error) { return f(b) }
}

func TestBodies(t *testing.T) {
	for _, c := range []struct {
		kind string
		raw  []byte
		want encoding.BinaryAppender
	}{
		{"properties", []byte{0x32, 0, 0}, picmg.Properties{Version: picmg.VersionATCA3}},
		{"address query", []byte{0}, picmg.AddressQuery{}},
		{"address query", []byte{0xFE}, picmg.AddressQuery{FRU: 0xFE}},
		{"address query", []byte{0, 0, 0x41}, picmg.AddressQuery{Keyed: true, KeyType: picmg.KeyHardware, Key: 0x41}},
		{"address query", []byte{0, 1, 0x82}, picmg.AddressQuery{Keyed: true, KeyType: picmg.KeyIPMB0, Key: 0x82}},
		{"address query", []byte{0, 3, 2, 4}, picmg.AddressQuery{Keyed: true, KeyType: picmg.KeyPhysical, Key: 2, Site: picmg.SiteFanTray}},
		{"address info", []byte{0x42, 0x84, 0xFF, 0, 2, 0}, picmg.BoardAddress(2)},
		{"address info", []byte{0x10, 0x20, 0xFF, 0, 1, 3}, picmg.AddressInfo{HW: 0x10, IPMB0: 0x20, Site: 1, Type: picmg.SiteShelfMC}},
		{"address info", []byte{0x41, 0x82, 0xFF, 5, 1, 7, 2}, picmg.AddressInfo{HW: 0x41, IPMB0: 0x82, FRU: 5, Site: 1, Type: picmg.SiteAMC, Carrier: 2}},
		{"shelf managers", []byte{0x10, 0x12}, picmg.ShelfManagers{Active: ipmb.AddrShMC1, Backup: ipmb.AddrShMC2}},
		{"shelf managers", []byte{0x10, 0xFF}, picmg.ShelfManagers{Active: ipmb.AddrShMC1, Backup: picmg.NoBackup}},
		{"locator query", []byte{0}, picmg.LocatorQuery{}},
		{"locator query", []byte{1, 0x34, 0x12}, picmg.LocatorQuery{FRU: 1, After: 0x1234}},
		{"locator record", []byte{0x34, 0x12}, picmg.LocatorRecord{ID: 0x1234}},
		{"activation", []byte{0, 0}, picmg.Activation{}},
		{"activation", []byte{2, 1}, picmg.Activation{FRU: 2, Active: true}},
		{"policy", []byte{0, 3, 1}, picmg.ActivationPolicy{Mask: 3, Bits: picmg.PolicyLocked}},
		{"power level", []byte{0, 0, 0}, picmg.PowerLevel{}},
		{"power level", []byte{0, 0xFF, 1}, picmg.PowerLevel{Level: picmg.PowerKeep, Copy: true}},
	} {
		t.Run(fmt.Sprintf("%s % x", c.kind, c.raw), func(t *testing.T) {
			if got, err := parsers[c.kind](c.raw); err != nil || got != c.want {
				t.Errorf("parsed %+v, %v", got, err)
			}
			if b, err := c.want.AppendBinary(nil); err != nil || !bytes.Equal(b, c.raw) {
				t.Errorf("written % x, %v", b, err)
			}
		})
	}
}

func TestBodiesRefused(t *testing.T) {
	for _, c := range []struct {
		kind string
		raw  []byte
		want error
	}{
		{"properties", []byte{1, 2}, ipmb.ErrLength},
		{"address query", []byte{0, 0}, ipmb.ErrLength},
		{"address query", []byte{0, 3, 1}, ipmb.ErrLength},
		{"address query", []byte{0, 3, 1, 0, 0}, ipmb.ErrLength},
		{"address query", []byte{0, 2, 1}, ipmb.ErrInvalidField},
		{"address info", []byte{1, 2, 3, 4, 5}, ipmb.ErrLength},
		{"shelf managers", []byte{1}, ipmb.ErrLength},
		{"locator query", []byte{1, 2}, ipmb.ErrLength},
		{"locator record", nil, ipmb.ErrLength},
		{"activation", []byte{0}, ipmb.ErrLength},
		{"activation", []byte{0, 2}, ipmb.ErrInvalidField},
		{"policy", []byte{0, 1}, ipmb.ErrLength},
		{"policy", []byte{0, 4, 0}, ipmb.ErrInvalidField},
		{"policy", []byte{0, 0, 8}, ipmb.ErrInvalidField},
		{"power level", []byte{0, 0}, ipmb.ErrLength},
		{"power level", []byte{0, 0x15, 0}, ipmb.ErrInvalidField},
		{"power level", []byte{0, 1, 2}, ipmb.ErrInvalidField},
	} {
		if got, err := parsers[c.kind](c.raw); !errors.Is(err, c.want) {
			t.Errorf("%s % x: %+v, %v", c.kind, c.raw, got, err)
		}
	}
	if q, err := picmg.ParseAddressQuery(nil); err != nil || q != (picmg.AddressQuery{}) {
		t.Errorf("no data: %+v, %v", q, err)
	}
	if q, err := picmg.ParseAddressQuery([]byte{0, 1, 0x82, 9}); err != nil || q.Site != 0 || q.Key != 0x82 {
		t.Errorf("a site type that does not belong there: %+v, %v", q, err)
	}
}

func TestHotSwapEvent(t *testing.T) {
	e := picmg.HotSwapEvent{State: picmg.M4, Previous: picmg.M3, Cause: picmg.CauseNormal}
	if d := e.Data(); d != [3]byte{0xA4, 0x03, 0x00} {
		t.Errorf("M3 to M4 = % x", d)
	}
	e = picmg.HotSwapEvent{State: picmg.M7, Previous: picmg.M4, Cause: picmg.CauseLink, FRU: 3}
	if got, ok := picmg.ParseHotSwapEvent([3]byte{0xA7, 0x44, 3}); !ok || got != e {
		t.Errorf("M4 to M7 = %+v, %v", got, ok)
	}
	for _, d := range [][3]byte{{0x04, 3, 0}, {0xA8, 3, 0}} {
		if e, ok := picmg.ParseHotSwapEvent(d); ok {
			t.Errorf("% x = %+v", d, e)
		}
	}
}

func TestStrings(t *testing.T) {
	for _, c := range [][2]string{
		{picmg.M4.String(), "M4"},
		{picmg.M4.Name(), "active"},
		{picmg.State(9).Name(), "unknown"},
		{picmg.CauseOperator.String(), "operator"},
		{picmg.Cause(0xC).String(), "cause 0xc"},
		{picmg.SiteFanTray.String(), "fan tray"},
		{picmg.SiteType(0xC0).String(), "site type 0xc0"},
		{fmt.Sprintf("%d.%d", picmg.VersionATCA3.Major(), picmg.VersionATCA3.Minor()), "2.3"},
	} {
		if c[0] != c[1] {
			t.Errorf("%q, want %q", c[0], c[1])
		}
	}
}

// What parses is written, and parses to the same again.
func FuzzParse(f *testing.F) {
	f.Add([]byte{0, 3, 2, 4})
	f.Add([]byte{0x42, 0x84, 0xFF, 0, 2, 0})
	f.Add([]byte{20, 100, 50, 0x80})
	f.Fuzz(func(t *testing.T, raw []byte) {
		for kind, parse := range parsers {
			body, err := parse(raw)
			if err != nil {
				continue
			}
			b, err := body.AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := parse(b); err != nil || again != body {
				t.Fatalf("%s: % x became % x: %+v, %v", kind, raw, b, again, err)
			}
		}
	})
}
