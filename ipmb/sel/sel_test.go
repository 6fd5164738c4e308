package sel_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/picmg"
	"github.com/midplane-project/midplane/ipmb/sel"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var temperature = sel.Event{
	Revision: sel.Revision, Sensor: sel.SensorTemperature, Number: 0x30, Type: sel.EventThreshold,
	Data: [3]byte{sel.EventData1(9, sel.UseReading, sel.UseReading), 0xFF, 0xFF},
}

func TestRecord(t *testing.T) {
	hotSwap := picmg.HotSwapEvent{State: picmg.M4, Previous: picmg.M3, Cause: picmg.CauseNormal}
	for _, c := range []struct {
		name, hex, text string
		want            sel.Record
	}{
		{
			"threshold", "01 00 02 00 d0 00 68 82 00 04 01 30 01 59 ff ff",
			"Temperature #0x30 Upper Critical going high (reading 0xff, threshold 0xff) asserted from 0x82",
			sel.Record{ID: 1, Type: sel.TypeSystem, Time: 0x6800D000, Generator: 0x82, Event: temperature},
		},
		{
			"ipmitool event 1, which says nothing of data 2 and 3", "01 00 02 00 d0 00 68 41 00 04 01 30 01 09 ff ff",
			"Temperature #0x30 Upper Critical going high asserted from software 0x41",
			sel.Record{ID: 1, Type: sel.TypeSystem, Time: 0x6800D000, Generator: 0x41, Event: sel.Event{
				Revision: 4, Sensor: 1, Number: 0x30, Type: 1, Data: [3]byte{9, 0xFF, 0xFF},
			}},
		},
		{
			"hot swap", "02 00 02 00 d0 00 68 84 00 04 f0 01 6f a4 03 00",
			"Hot Swap #0x01 FRU 0 to M4 (active), was M3: normal state change, asserted from 0x84",
			sel.Record{ID: 2, Type: sel.TypeSystem, Time: 0x6800D000, Generator: 0x84, Event: sel.Event{
				Revision: 4, Sensor: sel.SensorHotSwap, Number: 1, Type: sel.EventSensor, Data: hotSwap.Data(),
			}},
		},
		{
			"deassertion, LUN and channel", "ff 7f 02 ff ff ff ff 84 72 04 12 83 ef 05 ff ff",
			"System Event #0x83 Timestamp Clock Sync deasserted from 0x84 LUN 2 channel 7",
			sel.Record{ID: 0x7FFF, Type: sel.TypeSystem, Time: sel.Unspecified, Generator: sel.ControllerGenerator(0x84, 2, 7), Event: sel.Event{
				Revision: 4, Sensor: 0x12, Number: 0x83, Deassert: true, Type: sel.EventSensor, Data: [3]byte{5, 0xFF, 0xFF},
			}},
		},
		{
			"Linux panic event", "03 00 02 00 00 00 00 41 00 03 20 73 6f a1 79 73",
			"OS Stop #0x73 Run-time critical stop (OEM 0x79, OEM 0x73) asserted from software 0x41",
			sel.Record{ID: 3, Type: sel.TypeSystem, Generator: sel.SoftwareGenerator(0x41, 0), Event: sel.Event{
				Revision: 3, Sensor: sel.SensorOSStop, Number: 0x73, Type: sel.EventSensor, Data: [3]byte{0xA1, 0x79, 0x73},
			}},
		},
		{
			"OEM timed", "04 00 c5 00 d0 00 68 0a 40 00 01 02 03 04 05 06",
			"OEM record type 0xc5 manufacturer 16394: 01 02 03 04 05 06",
			sel.Record{ID: 4, Type: 0xC5, Time: 0x6800D000, Manufacturer: 16394, OEM: [13]byte{1, 2, 3, 4, 5, 6}},
		},
		{
			"Linux panic string", "05 00 f0 20 00 73 79 73 72 71 20 74 72 69 67 67",
			`OEM record type 0xf0: 20 00 73 79 73 72 71 20 74 72 69 67 67 "sysrq trigg"`,
			sel.Record{ID: 5, Type: 0xF0, OEM: [13]byte{0x20, 0, 's', 'y', 's', 'r', 'q', ' ', 't', 'r', 'i', 'g', 'g'}},
		},
		{
			"unknown type", "06 00 03 00 01 02 03 04 05 06 07 08 09 0a 0b 0c",
			"Record of unknown type 0x03: 00 01 02 03 04 05 06 07 08 09 0a 0b 0c",
			sel.Record{ID: 6, Type: 3, OEM: [13]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := unhex(t, c.hex)
			got, err := sel.Parse(raw)
			if err != nil || got != c.want {
				t.Errorf("Parse = %+v, %v\nwant    %+v", got, err, c.want)
			}
			if b, _ := c.want.AppendBinary(nil); !bytes.Equal(b, raw) {
				t.Errorf("AppendBinary = % x\nwant         % x", b, raw)
			}
			if s := sel.Describe(got); s != c.text {
				t.Errorf("Describe = %s\nwant       %s", s, c.text)
			}
		})
	}
	if _, err := sel.Parse(make([]byte, 15)); err == nil {
		t.Error("15 bytes were taken for a record")
	}
}

func TestDescribeStates(t *testing.T) {
	for _, c := range []struct {
		e    sel.Event
		want string
	}{
		{sel.Event{Sensor: 0x23, Type: 0x6F, Data: [3]byte{8}}, "Watchdog 2 #0x00 Timer interrupt asserted"},
		{sel.Event{Sensor: 0x23, Type: 0x6F, Data: [3]byte{4}}, "Watchdog 2 #0x00 event type 0x6f offset 4 asserted"},
		{sel.Event{Sensor: 0x09, Type: 0x0B, Data: [3]byte{0x41, 0x00}}, "Power Unit #0x00 Redundancy Lost (previous state 0x00) asserted"},
		{sel.Event{Sensor: 0xC3, Type: 0x71, Data: [3]byte{0xC2, 7}}, "OEM sensor type 0xc3 #0x00 OEM event type 0x71 offset 2 (extension 0x07) asserted"},
		{sel.Event{Sensor: 0x60, Type: 0x03, Data: [3]byte{1}}, "Sensor type 0x60 #0x00 State Asserted asserted"},
		{sel.Event{Sensor: 0xF0, Type: 0x6F, Data: [3]byte{0x04, 1, 2}}, "Hot Swap #0x00 to M4 (active) asserted"},
		{sel.Event{Sensor: 0xF1, Type: 0x6F, Data: [3]byte{0xA3, 0, 0x88}}, "IPMB Link #0x00 IPMB-A enabled, IPMB-B enabled (OEM 0x00, OEM 0x88) asserted"},
	} {
		if got := sel.DescribeEvent(c.e); got != c.want {
			t.Errorf("%+v\n got  %s\n want %s", c.e, got, c.want)
		}
	}
}

func TestPlatformEvent(t *testing.T) {
	bus := unhex(t, "04 01 30 01 59 ff ff")
	if e, err := sel.ParseBus(bus); err != nil || e != temperature || !bytes.Equal(e.AppendBus(nil), bus) {
		t.Errorf("ParseBus = %+v, %v", e, err)
	}
	system := append([]byte{0x41}, bus...)
	id, e, err := sel.ParseSystem(system)
	if err != nil || id != 0x41 || e != temperature || !bytes.Equal(e.AppendSystem(nil, id), system) {
		t.Errorf("ParseSystem = %02x, %+v, %v", id, e, err)
	}
	if _, err := sel.ParseBus(system); err != error(ipmb.ErrLength) {
		t.Errorf("eight bytes from the bus: %v", err)
	}
	if _, _, err := sel.ParseSystem(bus); err != error(ipmb.ErrLength) {
		t.Errorf("seven bytes from the system interface: %v", err)
	}
}

func TestGenerator(t *testing.T) {
	g := sel.ControllerGenerator(0x86, ipmb.LUNSMS, 0xF)
	if g != 0xF286 || g.Software() || g.Addr() != 0x86 || g.LUN() != 2 || g.Channel() != 0xF {
		t.Errorf("controller: %04x %s", uint16(g), g)
	}
	s := sel.SoftwareGenerator(0x40, 0)
	if s != 0x41 || !s.Software() || s.Addr() != 0 || s.ID() != 0x41 {
		t.Errorf("software: %04x %s", uint16(s), s)
	}
}

func TestTimestamp(t *testing.T) {
	at := time.Date(2025, 4, 17, 9, 56, 48, 0, time.UTC)
	if got, ok := sel.TimestampOf(at).Time(); !ok || !got.Equal(at) {
		t.Errorf("%v became %v", at, got)
	}
	for ts, want := range map[sel.Timestamp]string{
		sel.TimestampOf(at): "2025-04-17 09:56:48", 90: "init+90s", sel.Unspecified: "unspecified",
		sel.TimestampOf(time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC)): "unspecified",
		sel.TimestampOf(time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)): "unspecified",
	} {
		if ts.String() != want {
			t.Errorf("%08x: %s, want %s", uint32(ts), ts, want)
		}
	}
}

func TestInfo(t *testing.T) {
	raw := unhex(t, "51 02 00 f0 ff 04 03 02 01 08 07 06 05 8b")
	want := sel.Info{
		Entries: 2, Free: 0xFFF0, Added: 0x01020304, Erased: 0x05060708,
		Operations: sel.OpOverflow | sel.OpDelete | sel.OpReserve | sel.OpAllocInfo,
	}
	if got, err := sel.ParseInfo(raw); err != nil || got != want {
		t.Errorf("ParseInfo = %+v, %v", got, err)
	}
	if b, _ := want.AppendBinary(nil); !bytes.Equal(b, raw) {
		t.Errorf("Info = % x", b)
	}
	raw = unhex(t, "00 10 10 00 fe 0f fd 0f 01")
	alloc := sel.AllocInfo{Units: 0x1000, Unit: 16, Free: 0xFFE, Largest: 0xFFD, MaxRecord: 1}
	if got, err := sel.ParseAllocInfo(raw); err != nil || got != alloc {
		t.Errorf("ParseAllocInfo = %+v, %v", got, err)
	}
	if b, _ := alloc.AppendBinary(nil); !bytes.Equal(b, raw) {
		t.Errorf("AllocInfo = % x", b)
	}
	if _, err := sel.ParseInfo(raw); err == nil {
		t.Error("nine bytes were taken for Info")
	}
	if _, err := sel.ParseAllocInfo(nil); err == nil {
		t.Error("no bytes were taken for AllocInfo")
	}
}

// Every 16 bytes are a record that marshals to the same bytes, and can be told.
func FuzzParse(f *testing.F) {
	f.Add(bytes.Repeat([]byte{2}, 16))
	f.Add([]byte("\x01\x00\xf0 \x00sysrq trigg"))
	f.Add([]byte{1, 0, 0xC0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13})
	f.Add(unhex(f, "01 00 02 00 d0 00 68 41 00 04 01 30 01 09 ff ff")) // ipmitool event 1
	f.Add(unhex(f, "03 00 02 00 00 00 00 41 00 03 20 73 6f a1 79 73")) // Linux's panic event
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := sel.Parse(b)
		if err != nil {
			if len(b) == sel.RecordLen {
				t.Fatal(err)
			}
			return
		}
		if m := r.Marshal(); !bytes.Equal(m[:], b) {
			t.Fatalf("% x became % x", b, m)
		}
		if s := sel.Describe(r); s == "" || strings.ContainsAny(s, "\n\x1b\x00") {
			t.Fatalf("% x: %q", b, s)
		}
	})
}

// An event that is taken from the bus or from the system interface is what was sent.
func FuzzEvent(f *testing.F) {
	f.Add(unhex(f, "04 01 30 01 59 ff ff"))
	f.Add(unhex(f, "41 04 01 30 01 09 ff ff")) // ipmitool event 1
	f.Add(unhex(f, "41 03 20 73 6f a1 79 73")) // Linux's panic event
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := sel.ParseBus(b); err == nil && !bytes.Equal(e.AppendBus(nil), b) {
			t.Errorf("% x: %+v", b, e)
		}
		if id, e, err := sel.ParseSystem(b); err == nil && !bytes.Equal(e.AppendSystem(nil, id), b) {
			t.Errorf("% x: %02x, %+v", b, id, e)
		}
	})
}
