package mc

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/midplane-project/midplane/ipmb/sdr"
	"github.com/midplane-project/midplane/ipmb/sel"
)

// Which thresholds a reading is beyond, by those that the one before was beyond.
func TestBeyond(t *testing.T) {
	s := sensorSettings{thresholds: [6]uint8{20, 10, 5, 70, 80, 90}, hystUp: 4, hystDown: 3}
	for _, c := range []struct {
		was     uint16
		reading uint8
		want    uint16
	}{
		{0, 50, 0},
		{0, 21, 0},
		{0, 20, 0b000001},
		{0b000001, 23, 0b000001},
		{0b000001, 24, 0},
		{0, 10, 0b000011},
		{0b000011, 14, 0b000001},
		{0, 0, 0b000111},
		{0b000111, 8, 0b000111},
		{0b000111, 9, 0b000011},
		{0, 69, 0},
		{0, 70, 0b001000},
		{0b001000, 66, 0b001000},
		{0b001000, 65, 0},
		{0, 255, 0b111000},
		{0b111000, 86, 0b111000},
		{0b111000, 85, 0b011000},
		{0b111000, 0, 0b000111},
		{0b000111, 255, 0b111000},
	} {
		if got := s.beyond(c.was, c.reading, sdr.AnalogUnsigned); got != c.want {
			t.Errorf("%d after %06b: %06b, want %06b", c.reading, c.was, got, c.want)
		}
	}
	signed := sensorSettings{thresholds: [6]uint8{0xF0, 0xE0, 0xD0, 0, 16, 32}}
	for reading, want := range map[uint8]uint16{0xFF: 0, 0xF0: 1, 0x80: 7, 0: 8, 0x7F: 0x38} {
		if got := signed.beyond(0, reading, sdr.AnalogTwosComplement); got != want {
			t.Errorf("%02x of signed ones: %06b, want %06b", reading, got, want)
		}
	}
}

// Going high and going low of a threshold are each other's opposite.
func TestThresholdEdges(t *testing.T) {
	record := &sdr.Full{Sensor: sdr.Sensor{
		EventType: sel.EventThreshold, Assert: 0x7FFF, Deassert: 0x7FFF, Capabilities: sdr.Capabilities{AutoRearm: true},
	}}
	n := &sensor{sdr: &record.Sensor, full: record}
	s := sensorState{sensorSettings: n.initial()}
	s.scanning, s.events, s.known = true, true, true
	for _, c := range []struct {
		states uint16
		want   string
	}{
		{0b000001, "-1 +0"},
		{0b000111, "-5 -3 +2 +4"},
		{0b000011, "-4 +5"},
		{0, "-2 -0 +1 +3"},
		{0b011000, "-8 -6 +7 +9"},
		{0b000001, "-9 -7 -1 +0 +6 +8"},
		{0b000001, ""},
	} {
		var got string
		for _, e := range s.enter(n, c.states, plainData) {
			if sign := '+'; e.Deassert {
				got += fmt.Sprintf(" -%d", e.Offset())
			} else {
				got += fmt.Sprintf(" %c%d", sign, e.Offset())
			}
		}
		if len(got) > 0 {
			got = got[1:]
		}
		if got != c.want {
			t.Errorf("to %06b: %q, want %q", c.states, got, c.want)
		}
	}
}

// A model of a threshold sensor that knows nothing of states: whether a reading
// is beyond a threshold is decided by the last one that leaves no doubt, and the
// events of an offset take turns.
func TestThresholdModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		format := rapid.SampledFrom([]sdr.Analog{sdr.AnalogUnsigned, sdr.AnalogTwosComplement, sdr.AnalogOnesComplement}).Draw(t, "format")
		record := &sdr.Full{Sensor: sdr.Sensor{
			Init: sdr.InitEventsAtPowerUp | sdr.InitScanningAtPowerUp, EventType: sel.EventThreshold,
			Assert:   rapid.Uint16Range(0, 0x0FFF).Draw(t, "assert") | 0x7000,
			Deassert: rapid.Uint16Range(0, 0x0FFF).Draw(t, "deassert") | 0x7000,
			Units:    sdr.Units{Format: format}, Capabilities: sdr.Capabilities{AutoRearm: true},
		}}
		n := &sensor{sdr: &record.Sensor, full: record}
		s := sensorState{sensorSettings: n.initial()}
		s.hystUp, s.hystDown = rapid.Byte().Draw(t, "up"), rapid.Byte().Draw(t, "down")
		copy(s.thresholds[:], rapid.SliceOfN(rapid.Byte(), 6, 6).Draw(t, "thresholds"))

		var beyond [thresholdCount]bool
		happened := n.conditions(0)
		for range rapid.IntRange(1, 30).Draw(t, "readings") {
			reading := rapid.OneOf(rapid.Byte(), rapid.SampledFrom(s.thresholds[:])).Draw(t, "reading")
			events := s.read(n, reading)
			x := format.Number(reading)
			for i := range beyond {
				limit := format.Number(s.thresholds[i])
				switch low := i < firstUpper; {
				case low && x <= limit, !low && x >= limit:
					beyond[i] = true
				case low && x > limit+int(s.hystDown), !low && x < limit-int(s.hystUp):
					beyond[i] = false
				}
				if got := s.states>>i&1 != 0; got != beyond[i] {
					t.Fatalf("reading %d, threshold %d (%d): beyond %v, want %v", x, i, limit, got, beyond[i])
				}
			}
			told := happened
			for _, e := range events {
				bit := uint16(1) << e.Offset()
				if (told&bit != 0) != e.Deassert || e.Data[1] != reading || e.Data[2] != s.thresholds[e.Offset()/2] {
					t.Fatalf("reading %d: event %+v out of turn", x, e)
				}
				told ^= bit
			}
			now := n.conditions(s.states)
			came, gone := now&^happened, happened&^now
			if want := (happened | came&s.assert) &^ (gone & s.deassert); told != want {
				t.Fatalf("reading %d: told %012b, want %012b", x, told, want)
			}
			happened = now
		}
	})
}

func FuzzSettings(f *testing.F) {
	f.Add((&sensorSettings{scanning: true, assert: 0x0A95, kind: 1, eventType: 1}).append(nil, 7))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, ok := parseSettings(b, 7)
		if !ok {
			return
		}
		if again, ok := parseSettings(s.append(nil, 7), 7); !ok || again != s {
			t.Fatalf("% x became %+v", b, again)
		}
	})
}

func FuzzOrder(f *testing.F) {
	f.Add([]byte{0x41, 0x48, 0, 0, 0, 0, 0xA7, 1, 2})
	f.Add([]byte{0x24, 0, 7, 0, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 || len(b) > 9 {
			return // not let in by the row
		}
		o, err := parseOrder(b)
		if err != nil {
			return
		}
		if states := o.states(0x7FFF); o.deassertOp != setKeep && states&o.deassert != 0 {
			t.Fatalf("% x leaves %04x", b, states)
		}
	})
}
