package pef

import (
	"errors"
	"slices"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
)

// hot is the event that ipmitool event 1 makes.
var hot = Event{Generator: 0x0020, SensorType: 1, Sensor: 0x30, Trigger: 1, Data: [3]byte{0x59, 0x4B, 0x46}}

// on is an enabled filter that matches everything, changed.
func on(change func(*Filter)) Filter {
	f := blank()
	f.Enabled = true
	change(&f)
	return f
}

// Each field of a filter, alone.
func TestMatch(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Filter)
		want   bool
	}{
		{"anything", func(*Filter) {}, true},
		{"disabled", func(f *Filter) { f.Enabled = false }, false},
		{"generator", func(f *Filter) { f.Generator = [2]byte{0x20, 0x00} }, true},
		{"address of another", func(f *Filter) { f.Generator = [2]byte{0x82, 0x00} }, false},
		{"generator, any LUN", func(f *Filter) { f.Generator = [2]byte{0x20, 0xFF} }, true},
		{"generator, another LUN", func(f *Filter) { f.Generator = [2]byte{0x20, 0x01} }, false},
		{"any address, another channel", func(f *Filter) { f.Generator = [2]byte{0xFF, 0x10} }, false},
		{"sensor type", func(f *Filter) { f.SensorType = 1 }, true},
		{"another sensor type", func(f *Filter) { f.SensorType = 2 }, false},
		{"sensor", func(f *Filter) { f.Sensor = 0x30 }, true},
		{"another sensor", func(f *Filter) { f.Sensor = 0x31 }, false},
		{"trigger", func(f *Filter) { f.Trigger = 1 }, true},
		{"another trigger", func(f *Filter) { f.Trigger = 0x6F }, false},
		{"deassertion", func(f *Filter) { f.Trigger = 0x81 }, false},
		{"offset", func(f *Filter) { f.Offsets = 1 << 9 }, true},
		{"among offsets", func(f *Filter) { f.Offsets = thresholdsCrossed }, true},
		{"other offsets", func(f *Filter) { f.Offsets = ^uint16(1 << 9) }, false},
		{"no offset", func(f *Filter) { f.Offsets = 0 }, false},
		{"data 1", func(f *Filter) { f.Data[0] = Compare{0xF0, 0xFF, 0x50} }, true},
		{"data 1 differs", func(f *Filter) { f.Data[0] = Compare{0xF0, 0xFF, 0x90} }, false},
		{"data 2", func(f *Filter) { f.Data[1] = Compare{0xFF, 0xFF, 0x4B} }, true},
		{"data 2 differs", func(f *Filter) { f.Data[1] = Compare{0xFF, 0xFF, 0x4C} }, false},
		{"data 3", func(f *Filter) { f.Data[2] = Compare{0x0F, 0xFF, 0x06} }, true},
		{"data 3 differs", func(f *Filter) { f.Data[2] = Compare{0x0F, 0xFF, 0x07} }, false},
		{"severity is no condition", func(f *Filter) { f.Severity = SeverityNonRecoverable }, true},
	} {
		f := on(c.change)
		if got := f.Match(hot); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// The test of one byte, with all that match and all that do not.
func TestCompare(t *testing.T) {
	masked := func(mask byte, match ...byte) func(byte) bool {
		return func(data byte) bool { return slices.Contains(match, data&mask) }
	}
	always, never := masked(0, 0), masked(0)
	for _, c := range []struct {
		name    string
		compare Compare
		want    func(data byte) bool
	}{
		{"anything", anything, always},
		{"zeros are anything too", Compare{}, always},
		{"a bit that the mask hides, exactly 0", Compare{0x00, 0xFF, 0x00}, always},
		{"a bit that the mask hides, exactly 1", Compare{0x0F, 0xFF, 0x12}, never},
		{"a bit that the mask hides, not exactly", Compare{0x0F, 0x0F, 0x12}, masked(0x0F, 0x02)},
		{"exactly", Compare{0xFF, 0xFF, 0x12}, masked(0xFF, 0x12)},
		{"exactly, masked", Compare{0x0F, 0xFF, 0x02}, masked(0x0F, 0x02)},
		{"any of two ones", Compare{0x03, 0x00, 0x03}, masked(0x03, 1, 2, 3)},
		{"any of two zeros", Compare{0x03, 0x00, 0x00}, masked(0x03, 0, 1, 2)},
		{"a zero or a one", Compare{0x03, 0x00, 0x01}, masked(0x03, 0, 1, 3)},
		{"one bit alone, not exactly", Compare{0x80, 0x00, 0x80}, masked(0x80, 0x80)},
		{"exactly some, any of others", Compare{0xF3, 0xF0, 0x13}, masked(0xF3, 0x11, 0x12, 0x13)},
		{"OpenIPMI's example", Compare{0x0F, 0x0C, 0x0A}, masked(0x0F, 0x08, 0x0A, 0x0B)},
	} {
		for data := range 256 {
			if got := c.compare.matches(byte(data)); got != c.want(byte(data)) {
				t.Errorf("%s: %02x: %v", c.name, data, got)
			}
		}
	}
}

// All combinations of a mask's, an exact, a value's and a data bit, in each
// pair of bits, against the rule said in words.
func TestCompareAllBits(t *testing.T) {
	const pairs = 1 << 2
	for n := range pairs * pairs * pairs * pairs {
		c := Compare{Mask: byte(n) % pairs, Exact: byte(n>>2) % pairs, Value: byte(n>>4) % pairs}
		data := byte(n>>6) % pairs
		exact, loose, alike := true, false, false
		for i := range 2 {
			bit := func(b byte) bool { return b>>i&1 == 1 }
			same := (bit(data) && bit(c.Mask)) == bit(c.Value)
			switch {
			case bit(c.Exact):
				exact = exact && same
			case bit(c.Mask):
				loose, alike = true, alike || same
			}
		}
		if want := exact && (!loose || alike); c.matches(data) != want {
			t.Errorf("%02x of %02x: %v", c, data, !want)
		}
	}
}

// The offset mask has bit n for offset n, of all 16, and looks at nothing else
// of event data 1.
func TestOffsetMask(t *testing.T) {
	for bit := range 16 {
		f := on(func(f *Filter) { f.Offsets = 1 << bit })
		for data := range 256 {
			e := hot
			e.Data[0] = byte(data)
			if got, want := f.Match(e), data&0x0F == bit; got != want {
				t.Errorf("bit %d, event data 1 %02x: %v", bit, data, got)
			}
		}
	}
}

func TestParseFilter(t *testing.T) {
	good := unhex(t, "C0 2F 71 10 FF FF 01 30 01 14 0A 0F F0 50 FF FF 4B 00 FF 00")
	f, err := ParseFilter(good)
	want := Filter{
		Enabled: true, Manufacturer: true, Actions: actionsSupported, Policy: 1, Group: 7, Severity: SeverityCritical,
		Generator: [2]byte{0xFF, 0xFF}, SensorType: 1, Sensor: 0x30, Trigger: 1, Offsets: 0x0A14,
		Data: [3]Compare{{0x0F, 0xF0, 0x50}, {0xFF, 0xFF, 0x4B}, {0, 0xFF, 0}},
	}
	if err != nil || f != want {
		t.Errorf("%+v, %v", f, err)
	}
	if got := f.Append(nil); !slices.Equal(got, good) {
		t.Errorf("% x", got)
	}
	for _, c := range []struct {
		name  string
		at    int
		value byte
		want  ipmb.CompletionCode
	}{
		{"reserved type", 0, 0x20, ipmb.ErrInvalidField},
		{"reserved type too", 0, 0x60, ipmb.ErrInvalidField},
		{"reserved configuration", 0, 0x81, ipmb.ErrInvalidField},
		{"OEM action", 1, 0x10, ipmb.ErrInvalidField},
		{"group control", 1, 0x40, ipmb.ErrInvalidField},
		{"reserved action", 1, 0x80, ipmb.ErrInvalidField},
		{"reserved policy bit", 2, 0x80, ipmb.ErrInvalidField},
		{"two severities", 3, 0x30, ipmb.ErrInvalidField},
		{"severity that is none", 3, 0x40, ipmb.ErrInvalidField},
	} {
		b := slices.Clone(good)
		b[c.at] = c.value
		if _, err := ParseFilter(b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := ParseFilter(good[:19]); !errors.Is(err, ipmb.ErrLength) {
		t.Errorf("short: %v", err)
	}
}

// A filter is what its bytes say, and matches whatever it is compared with, or
// does not, but for its switch and the event's offset always alike.
func FuzzFilter(f *testing.F) {
	f.Add(unhex(f, "C0 2F 71 10 FF FF 01 30 01 14 0A 0F F0 50 FF FF 4B 00 FF 00"), unhex(f, "02 20 00 01 30 01 59 4B 46"))
	f.Add(make([]byte, FilterLen), make([]byte, 9))
	f.Fuzz(func(t *testing.T, raw, event []byte) {
		filter, err := ParseFilter(raw)
		if err != nil {
			if code := ipmb.CodeOf(err); code != ipmb.ErrLength && code != ipmb.ErrInvalidField {
				t.Fatalf("% x: %v", raw, err)
			}
			return
		}
		if again := filter.Append(nil); !slices.Equal(again, raw) {
			t.Fatalf("% x became % x", raw, again)
		}
		if len(event) != 9 {
			return
		}
		e := Event{
			Generator: uint16(event[1]) | uint16(event[2])<<8, SensorType: event[3], Sensor: event[4], Trigger: event[5],
			Data: [3]byte(event[6:]),
		}
		got := filter.Match(e)
		if off := filter; got {
			off.Enabled = false
			if off.Match(e) {
				t.Error("matches while it is off")
			}
			off.Enabled, off.Offsets = true, filter.Offsets&^(1<<e.Offset())
			if off.Match(e) {
				t.Error("matches without the event's offset")
			}
		}
		all := blank()
		all.Enabled = true
		if !all.Match(e) {
			t.Error("what matches anything does not")
		}
	})
}
