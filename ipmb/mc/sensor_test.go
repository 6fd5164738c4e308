package mc_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sdr"
	"github.com/midplane-project/midplane/ipmb/sel"
)

// Sensors of the tests.
var (
	temp   = mc.SensorKey{Number: 1}
	button = mc.SensorKey{Number: 2}
	manual = mc.SensorKey{Number: 3}
	bare   = mc.SensorKey{LUN: 1, Number: 1} // can do nothing that is optional
	second = mc.SensorKey{LUN: 1, Number: 2} // of its record
)

const onAtPowerUp = sdr.InitScanningAtPowerUp | sdr.InitEventsAtPowerUp

// The temperature has lower thresholds 5, -5, -10, upper ones 70, 75, 80, hysteresis
// 2 for the upper and 3 for the lower, and makes events of going beyond.
func testSDRs() []sdr.Body {
	full := &sdr.Full{
		Sensor: sdr.Sensor{
			Key: sdr.Key{Owner: 0x82, Number: 1}, Init: onAtPowerUp | sdr.InitSettable,
			Capabilities: sdr.Capabilities{AutoRearm: true, Hysteresis: sdr.AccessSet, Thresholds: sdr.AccessSet},
			Kind:         sel.SensorTemperature, EventType: sel.EventThreshold,
			Assert: 0x7A95, Deassert: 0x7A95, Readable: 0x3B3F, // all but lower non-recoverable can be set
			Units: sdr.Units{Format: sdr.AnalogTwosComplement, Base: sdr.UnitCelsius},
		},
		Factors: sdr.Factors{M: 2, Tolerance: 1, B: -3, Accuracy: 0x155, AccExp: 2, Direction: 1, RExp: -1, BExp: 1},
		Thresholds: sdr.Thresholds{
			LowerNonCritical: 5, LowerCritical: 0xFB, LowerNonRecoverable: 0xF6,
			UpperNonCritical: 70, UpperCritical: 75, UpperNonRecoverable: 80,
		},
		HystUp: 2, HystDown: 3, Name: "Temp",
	}
	states := &sdr.Compact{
		Sensor: sdr.Sensor{
			Key: sdr.Key{Owner: 0x82, Number: 2}, Init: onAtPowerUp | sdr.InitSettable | sdr.InitType,
			Capabilities: sdr.Capabilities{AutoRearm: true}, Kind: sel.SensorButton, EventType: sel.EventSensor,
			Assert: 0x0107, Deassert: 0x0002, Readable: 0x0107, Units: sdr.Units{Format: sdr.AnalogNone},
		},
		Name: "Button",
	}
	latch := *states
	latch.Number, latch.Capabilities.AutoRearm, latch.Name = 3, false, "Latch"
	minimal := &sdr.Compact{
		Sensor: sdr.Sensor{
			Key: sdr.Key{Owner: 0x82, LUN: 1, Number: 1}, Init: sdr.InitScanningAtPowerUp,
			Capabilities: sdr.Capabilities{AutoRearm: true, Events: sdr.ControlNoEvents},
			Kind:         sel.SensorOEM, EventType: sel.EventSensor, Readable: 0x0003, Units: sdr.Units{Format: sdr.AnalogNone},
		},
		Sharing: sdr.Sharing{Count: 2}, Name: "Plain",
	}
	return []sdr.Body{full, states, &latch, minimal}
}

// device is sensors with what they told.
type device struct {
	*mc.Sensors
	ipmb.Handler
	t testing.TB

	mu    sync.Mutex
	heard []string
}

func newDevice(t testing.TB, records mc.Records) *device {
	t.Helper()
	d := &device{t: t}
	var err error
	d.Sensors, err = mc.NewSensors(mc.SensorConfig{
		SDRs: testSDRs(), Records: records, Log: slog.New(slog.DiscardHandler),
		Sink: func(lun ipmb.LUN, e sel.Event) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.heard = append(d.heard, fmt.Sprintf("%d: %x", lun, e.AppendBus(nil)))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	d.Handler = ipmb.NewMux(d.Commands())
	return d
}

// told gives the events since the last call.
func (d *device) told() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := strings.Join(d.heard, " ")
	d.heard = nil
	return s
}

// ask asks a sensor on a LUN: command, number, data; in hex, as the answer.
func (d *device) ask(lun ipmb.LUN, request string) string {
	d.t.Helper()
	var b []byte
	if _, err := fmt.Sscanf(strings.ReplaceAll(request, " ", ""), "%x", &b); err != nil {
		d.t.Fatal(err)
	}
	rs := d.ServeIPMI(context.Background(), &ipmb.Request{NetFn: ipmb.NetFnSensor, LUN: lun, Cmd: ipmb.Cmd(b[0]), Data: b[1:], Origin: admin})
	return fmt.Sprintf("% x", append([]byte{byte(rs.Code)}, rs.Data...))
}

// step is something done to a device, what a command answers then, and the
// events that came of it.
type step struct {
	feed func(*device) error // first
	do   string              // a request then
	want string
	told string
}

func (d *device) steps(lun ipmb.LUN, list []step) {
	d.t.Helper()
	for i, s := range list {
		if s.feed != nil {
			if err := s.feed(d); err != nil {
				d.t.Errorf("step %d: %v", i, err)
			}
		}
		if s.do != "" {
			if got := d.ask(lun, s.do); got != s.want {
				d.t.Errorf("step %d: %s answers %s, want %s", i, s.do, got, s.want)
			}
		}
		if got := d.told(); got != s.told {
			d.t.Errorf("step %d (%s): told %q, want %q", i, s.do, got, s.told)
		}
	}
}

// raw feeds the temperature with the value of a reading.
func raw(reading int) func(*device) error {
	return func(d *device) error { return d.Update(temp, (2*float64(reading)-30)/10) }
}

func TestThresholdSensor(t *testing.T) {
	newDevice(t, &mc.MemoryRecords{}).steps(0, []step{
		{do: "2d 01", want: "00 00 e0 c0"},                                                // unavailable
		{feed: raw(20), do: "2d 01", want: "00 14 c0 c0"},                                 //
		{feed: raw(69), do: "2d 01", want: "00 45 c0 c0"},                                 // one below
		{feed: raw(70), do: "2d 01", want: "00 46 c0 c8", told: "0: 0401010157" + "4646"}, // at it
		{feed: raw(68), do: "2d 01", want: "00 44 c0 c8"},                                 // within the hysteresis
		{feed: raw(67), do: "2d 01", want: "00 43 c0 c0", told: "0: 04010181574346"},
		{feed: raw(90), do: "2b 01", want: "00 c0 80 0a 00 00", told: "0: 04010101575a46 0: 04010101595a4b 0: 040101015b5a50"},
		{feed: raw(-20), do: "2d 01", want: "00 ec c0 c7", told: "0: 040101815bec50 0: 0401018159ec4b 0: 0401018157ec46 " +
			"0: 0401010150ec05 0: 0401010152ecfb 0: 0401010154ecf6"},
		{do: "2b 01", want: "00 c0 15 00 80 0a"},
		{feed: raw(8), do: "2d 01", want: "00 08 c0 c1", told: "0: 040101815408f6 0: 040101815208fb"},
		{feed: raw(9), do: "2d 01", want: "00 09 c0 c0", told: "0: 04010181500905"},
		{feed: func(d *device) error { return d.Update(temp, math.NaN()) }, do: "2d 01", want: "00 09 e0 c0"},
		{feed: raw(9), do: "2d 01", want: "00 09 c0 c0"}, // the same as before: no event
		{feed: func(d *device) error { return d.SetUnavailable(temp) }, do: "2d 01", want: "00 09 e0 c0"},
	})
}

func TestThresholdCommands(t *testing.T) {
	newDevice(t, &mc.MemoryRecords{}).steps(0, []step{
		{do: "23 01 50", want: "00 50 02 01 fd d5 58 f1"},
		{do: "23 02 50", want: "cd"},
		{do: "27 01", want: "00 3f 05 fb f6 46 4b 50"},
		{do: "27 02", want: "cd"},
		{do: "25 01 ff", want: "00 02 03"},
		{do: "25 01", want: "00 02 03"},
		{do: "25 02 ff", want: "cd"},
		{feed: raw(50)},
		{do: "26 01 08 00 00 00 32 00 00", want: "00", told: "0: 04010101573232"}, // to where the reading is
		{do: "27 01", want: "00 3f 05 fb f6 32 4b 50"},
		{do: "24 01 ff 05 06", want: "00"},
		{do: "25 01 ff", want: "00 05 06"},
		{feed: raw(45), do: "2d 01", want: "00 2d c0 c8"}, // by the new hysteresis
		{do: "24 01 ff 04 06", want: "00", told: "0: 04010181572d32"},
		{do: "26 01 04 00 00 00 00 00 00", want: "cc"}, // not settable
		{do: "26 01 40 00 00 00 00 00 00", want: "cc"}, // reserved
		{do: "26 02 08 00 00 00 32 00 00", want: "cd"},
		{do: "24 02 ff 05 06", want: "cd"},
		{do: "26 01 08 00 00 00 32", want: "c7"},
		{do: "2d 09", want: "cb"},
		{do: "2d", want: "c7"},
		{do: "2f 01", want: "00 01 01"},
		{do: "2e 01 02 01", want: "cd"},
	})
}

func TestDiscreteSensor(t *testing.T) {
	assert := func(o, d2, d3 uint8) func(*device) error {
		return func(d *device) error { return d.Assert(button, o, d2, d3) }
	}
	newDevice(t, &mc.MemoryRecords{}).steps(0, []step{
		{do: "2d 02", want: "00 00 e0 00 80"},
		{feed: assert(1, mc.NoData, mc.NoData), do: "2d 02", want: "00 00 c0 02 80", told: "0: 0414026f01ffff"},
		{feed: assert(1, mc.NoData, mc.NoData)}, // has it
		{feed: assert(8, 0x21, mc.NoData), do: "2d 02", want: "00 00 c0 02 81", told: "0: 0414026fc821ff"},
		{do: "2b 02", want: "00 c0 02 01 00 00"},
		{
			feed: func(d *device) error { return d.Deassert(button, 1, mc.NoData, 7) },
			do:   "2b 02", want: "00 c0 00 01 02 00", told: "0: 041402ef31ff07",
		},
		{
			feed: func(d *device) error { return d.Enter(button, 0, 1, 2) },
			do:   "2d 02", want: "00 00 c0 01 80", told: "0: 0414026ff00102", // the end of 8 is no event of this sensor
		},
		{
			feed: func(d *device) error { return d.Pulse(button, 2, mc.NoData, mc.NoData) },
			do:   "2d 02", want: "00 00 c0 01 80", told: "0: 0414026f02ffff",
		},
		{feed: func(d *device) error { return d.SetUnavailable(button) }, do: "2d 02", want: "00 00 e0 01 80"},
		{do: "2f 02", want: "00 14 6f"},
		{do: "2e 02 15 03", want: "00"},
		{do: "2f 02", want: "00 15 03"},
		{feed: assert(1, mc.NoData, mc.NoData), told: "0: 0415020301ffff"},
		{do: "2e 02 15 01", want: "cc"}, // it has no thresholds
		{do: "2e 02 15 80", want: "cc"},
		{do: "2e 02 00 6f", want: "cc"},
	})
}

// What a sensor begins with is no event, and what OEM sensors tell is theirs.
func TestBegin(t *testing.T) {
	d := newDevice(t, &mc.MemoryRecords{})
	d.steps(0, []step{
		{feed: func(d *device) error { return d.Begin(button, 0, 8) }, do: "2d 02", want: "00 00 c0 01 81"},
		{do: "2b 02", want: "00 c0 01 01 00 00"},
		{feed: func(d *device) error { return d.Assert(button, 8, 1, 1) }},
		{do: "2a 02 00", want: "00", told: "0: 0414026f00ffff 0: 0414026f08ffff"},
	})
	d.steps(1, []step{
		{feed: func(d *device) error { return d.Begin(second) }, do: "2d 02", want: "00 00 40 00 80"},
		{feed: func(d *device) error { return d.Assert(second, 1, 1, 1) }, do: "2d 02", want: "00 00 40 02 80"},
		{do: "2d 01", want: "00 00 60 00 80"}, // the other one of the record
	})
}

func TestFeedsThatCannotBe(t *testing.T) {
	d := newDevice(t, &mc.MemoryRecords{})
	for name, c := range map[string]struct{ got, want error }{
		"no such sensor":              {d.Update(mc.SensorKey{Number: 9}, 1), ipmb.ErrNotPresent},
		"value of a discrete one":     {d.Update(button, 1), ipmb.ErrIllegal},
		"state of a threshold sensor": {d.Assert(temp, 0, 0, 0), ipmb.ErrIllegal},
		"state that it has not":       {d.Assert(button, 3, 0, 0), ipmb.ErrIllegal},
		"offset out of range":         {d.Assert(button, 15, 0, 0), ipmb.ErrIllegal},
		"beginning with it":           {d.Begin(button, 3), ipmb.ErrIllegal},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	if told := d.told(); told != "" {
		t.Error(told)
	}
}

func TestEventEnable(t *testing.T) {
	on := func(d *device) error { return d.Assert(button, 1, mc.NoData, mc.NoData) }
	off := func(d *device) error { return d.Deassert(button, 1, mc.NoData, mc.NoData) }
	d := newDevice(t, &mc.MemoryRecords{})
	d.steps(0, []step{
		{do: "29 01", want: "00 c0 95 0a 95 0a"},
		{do: "29 02", want: "00 c0 07 01 02 00"},
		{do: "28 02 e0 02", want: "00"}, // disable the assertion of 1
		{do: "29 02", want: "00 c0 05 01 02 00"},
		{feed: on},
		{do: "2b 02", want: "00 c0 02 00 00 00"}, // its status is kept
		{feed: off, told: "0: 041402ef01ffff"},
		{do: "28 02 d0 02 00", want: "00"}, // enable it again
		{feed: on, told: "0: 0414026f01ffff"},
		{do: "28 02 40", want: "00"}, // no messages
		{feed: off},
		{do: "29 02", want: "00 40 07 01 02 00"},
		{do: "28 02 80", want: "00"}, // messages, no scanning
		{feed: on, do: "2d 02", want: "00 00 80 00 80"},
		{do: "28 02 c0", want: "00", told: "0: 0414026f01ffff"}, // hears it now
		{do: "2d 02", want: "00 00 c0 02 80"},
		{do: "28 02 f0 02", want: "cc"},
		{do: "28 02 d0 08", want: "cc"},       // an event that it has not
		{do: "28 02 d0 00 00 04", want: "cc"}, //
		{do: "28 01 d0 00 10", want: "cc"},    // comparison bits are no events
		{do: "28 02", want: "c7"},             //
		{do: "28 02 c0 00 00 00 00 00", want: "c7"},
	})
	d.steps(0, []step{{do: "28 02 e0 01", want: "00"}})
	if d.EventEnabled(button, 0) || !d.EventEnabled(button, 1) || d.EventEnabled(bare, 0) || d.EventEnabled(mc.SensorKey{Number: 9}, 0) {
		t.Error("events enabled: not as Set Sensor Event Enable has left them")
	}
	d.steps(1, []step{
		{do: "28 01 d0 01", want: "cd"},
		{do: "28 01 c0", want: "00"}, // events stay off
		{do: "29 01", want: "00 40"},
		{feed: func(d *device) error { return d.Assert(bare, 0, 0, 0) }},
	})
}

func TestRearm(t *testing.T) {
	on := func(d *device) error { return d.Assert(manual, 1, mc.NoData, mc.NoData) }
	off := func(d *device) error { return d.Deassert(manual, 1, mc.NoData, mc.NoData) }
	const came, went = "0: 0414036f01ffff", "0: 041403ef01ffff"
	newDevice(t, &mc.MemoryRecords{}).steps(0, []step{
		{feed: on, told: came},
		{feed: off, told: went},
		{feed: on}, // not armed
		{feed: off, do: "2b 03", want: "00 c0 02 00 02 00"},
		{do: "2a 03 80 02 00 00 00", want: "00"}, // its assertion only
		{do: "2b 03", want: "00 c0 00 00 02 00"},
		{feed: on, told: came},
		{feed: off},
		{feed: on},
		{do: "2a 03 00", want: "00", told: came}, // the condition holds
		{do: "2a 03 80", want: "00"},             // nothing selected
		{do: "2b 03", want: "00 c0 02 00 00 00"},
		{feed: off, told: went},
		{feed: raw(72), told: "0: 04010101574846"},
		{do: "2a 01 00", want: "00", told: "0: 04010101574846"},
		{feed: raw(20), told: "0: 04010181571446"},
		{do: "2a 01 00", want: "00"},
		{do: "2a 01", want: "c7"},
	})
}
