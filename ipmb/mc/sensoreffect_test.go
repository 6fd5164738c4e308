package mc_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sdr"
	"github.com/midplane-project/midplane/ipmb/sel"
)

// A reading that a command has set stands until the source says something.
func TestSetReading(t *testing.T) {
	d := newDevice(t, &mc.MemoryRecords{})
	d.steps(0, []step{
		{feed: raw(20)},
		{do: "30 01 01 48", want: "00", told: "0: 04010101574846"},
		{do: "2d 01", want: "00 48 c0 c8"},
		{feed: raw(20), do: "2d 01", want: "00 14 c0 c0", told: "0: 04010181571446"},
		{do: "30 01 41 48 00 00 00 00 a7 01 02", want: "00", told: "0: 0401010" + "1a70102"},
		{do: "30 01 81 4c 00 00 00 00 a7 01 02", want: "00", told: "0: 0401010" + "1a90102"},
		{do: "30 01 10 00 01 00", want: "80"},
		{do: "30 01 02 00", want: "cc"},
		{do: "30 01 c1 00 00 00 00 00 00 00 00", want: "cc"},
		{do: "30 01 01", want: "c7"},
		{do: "30 01 41 00 00 00", want: "c7"},
		{do: "30 01 00", want: "00"},

		{feed: func(d *device) error { return d.Begin(button, 0) }},
		{do: "30 02 20 00 02 01", want: "00", told: "0: 0414026f01ffff 0: 0414026f08ffff"}, // set
		{do: "2d 02", want: "00 00 c0 03 81"},
		{do: "30 02 30 00 fd ff", want: "00", told: "0: 041402ef01ffff"}, // clear
		{do: "30 02 01 33", want: "00"},
		{do: "2d 02", want: "00 33 c0 01 81"},
		{do: "30 02 10 00 02 00", want: "00", told: "0: 0414026f01ffff"}, // write
		{do: "30 02 08 00 00 00 02 00", want: "00", told: "0: 041402ef01ffff"},
		{do: "30 02 24 00 07 00 01 00", want: "00", told: "0: 0414026f01ffff 0: 0414026f02ffff"},
		{feed: func(d *device) error { return d.Assert(button, 8, mc.NoData, mc.NoData) }, told: "0: 041402ef01ffff 0: 0414026f00ffff 0: 0414026f08ffff"},
		{do: "2d 02", want: "00 00 c0 01 81"}, // the source's alone
		{do: "30 02 20 00 08 00", want: "80"}, // no such state
		{do: "30 02 0c 00 00 00 ff ff", want: "80"},
	})
	d.steps(1, []step{{do: "30 01 20 00 01 00", want: "cd"}})
}

// Whoever switches scanning off and on hears the source again, not the command.
func TestScanningTakesTheSensorBack(t *testing.T) {
	newDevice(t, &mc.MemoryRecords{}).steps(0, []step{
		{feed: raw(20)},
		{do: "30 01 01 48", want: "00", told: "0: 04010101574846"},
		{do: "28 01 80", want: "00"},
		{feed: raw(21), do: "2d 01", want: "00 48 80 c8"},
		{do: "28 01 c0", want: "00", told: "0: 04010181571546"},
		{do: "2d 01", want: "00 15 c0 c0"},
	})
}

// What commands set up outlives the process; readings and event status do not.
func TestSensorSettingsAreKept(t *testing.T) {
	records := &mc.MemoryRecords{}
	d := newDevice(t, records)
	kept := []step{
		{do: "27 01", want: "00 3f 05 fb f6 28 4b 50"},
		{do: "25 01", want: "00 07 08"},
		{do: "29 01", want: "00 c0 95 08 90 0a"},
		{do: "2f 02", want: "00 15 6f"},
		{do: "29 02", want: "00 40 07 01 02 00"},
		{do: "29 03", want: "00 80 07 01 02 00"},
	}
	d.steps(0, []step{
		{do: "26 01 08 00 00 00 28 00 00", want: "00"},
		{do: "24 01 ff 07 08", want: "00"},
		{do: "28 01 e0 00 02 05 00", want: "00"},
		{do: "2e 02 15 6f", want: "00"},
		{do: "28 02 40", want: "00"},
		{do: "28 03 80", want: "00"},
	})
	d.steps(0, kept)
	d = newDevice(t, records)
	d.steps(0, append(kept, step{do: "2d 01", want: "00 00 e0 c0"}))

	// A record that means something else gets its own settings.
	other := testSDRs()
	other[0].(*sdr.Full).Factors.M = 3
	s, err := mc.NewSensors(mc.SensorConfig{SDRs: other, Records: records, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	d.Handler = ipmb.NewMux(s.Commands())
	d.steps(0, append([]step{{do: "25 01", want: "00 02 03"}}, kept[3:]...))
}

// brokenRecords is a disk that is full.
type brokenRecords struct{ mc.MemoryRecords }

func (*brokenRecords) Put(string, []byte) error { return ipmb.ErrOutOfSpace }

func TestSettingsThatCannotBeKept(t *testing.T) {
	newDevice(t, &brokenRecords{}).steps(0, []step{
		{feed: raw(50)},
		{do: "26 01 08 00 00 00 32 00 00", want: "c4"},
		{do: "27 01", want: "00 3f 05 fb f6 46 4b 50"},
		{do: "2d 01", want: "00 32 c0 c0"},
		{do: "28 01 c0", want: "00"}, // changes nothing, and so writes nothing
		{do: "28 01 00", want: "c4"},
		{do: "29 01", want: "00 c0 95 0a 95 0a"},
	})
}

func TestSDRsThatMakeNoSensor(t *testing.T) {
	threshold := &sdr.Compact{Sensor: sdr.Sensor{EventType: sel.EventThreshold}}
	state := &sdr.Compact{Sensor: sdr.Sensor{EventType: sel.EventSensor}}
	for name, list := range map[string][]sdr.Body{
		"locator": {&sdr.MCLocator{}}, "event-only": {&sdr.EventOnly{}}, "compact with thresholds": {threshold}, "twice": {state, state},
	} {
		if _, err := mc.NewSensors(mc.SensorConfig{SDRs: list, Records: &mc.MemoryRecords{}}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// The sink may feed sensors, and one that stands still holds up no reading.
func TestSinkFeeds(t *testing.T) {
	var d *device
	var order []uint8
	entered, release := make(chan bool), make(chan bool)
	s, err := mc.NewSensors(mc.SensorConfig{
		SDRs: testSDRs(), Records: &mc.MemoryRecords{}, Log: slog.New(slog.DiscardHandler),
		Sink: func(_ ipmb.LUN, e sel.Event) {
			order = append(order, e.Number)
			if e.Number == button.Number {
				entered <- true
				<-release
				if err := d.Assert(manual, 0, mc.NoData, mc.NoData); err != nil {
					t.Error(err)
				}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	d = &device{t: t, Sensors: s, Handler: ipmb.NewMux(s.Commands())}
	done := make(chan error)
	go func() { done <- s.Assert(button, 1, mc.NoData, mc.NoData) }()
	<-entered
	if got := d.ask(0, "2d 02"); got != "00 00 c0 02 80" {
		t.Errorf("while its event is logged: %s", got)
	}
	if err := raw(90)(d); err != nil { // does not wait
		t.Fatal(err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(order, []uint8{2, 1, 1, 1, 3}) {
		t.Errorf("order %v", order)
	}
}

// A command is answered when its events are taken, whoever takes them.
func TestCommandWaitsForItsEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d *device
		release := make(chan bool)
		s, err := mc.NewSensors(mc.SensorConfig{
			SDRs: testSDRs(), Records: &mc.MemoryRecords{}, Log: slog.New(slog.DiscardHandler),
			Sink: func(ipmb.LUN, sel.Event) { <-release },
		})
		if err != nil {
			t.Fatal(err)
		}
		d = &device{t: t, Sensors: s, Handler: ipmb.NewMux(s.Commands())}
		go func() { _ = s.Assert(button, 1, mc.NoData, mc.NoData) }()
		synctest.Wait()
		answered := make(chan string, 1)
		go func() { answered <- d.ask(0, "30 01 01 48") }()
		synctest.Wait()
		if len(answered) > 0 {
			t.Error("answered before its event was taken")
		}
		release <- true
		release <- true
		if got := <-answered; got != "00" {
			t.Error(got)
		}
	})
}

// model is a numeric source.
type model struct {
	mu     sync.Mutex
	value  float64
	ok     bool
	rounds int
}

func (m *model) Value(k mc.SensorKey) (float64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.value, m.ok && k == temp
}

// Round counts the rounds.
func (m *model) Round(time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rounds++
}

func (m *model) set(value float64, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.value, m.ok = value, ok
}

func TestScanGauge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(t, &mc.MemoryRecords{})
		m := &model{value: 1, ok: true} // reading 20
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- d.Scan(ctx, m, time.Second, temp) }()
		look := func(want, told string) {
			t.Helper()
			synctest.Wait()
			if got := d.ask(0, "2d 01"); got != want {
				t.Errorf("reading %s, want %s", got, want)
			}
			if got := d.told(); got != told {
				t.Errorf("told %q, want %q", got, told)
			}
		}
		look("00 14 c0 c0", "")
		m.set(11.4, true) // reading 72
		time.Sleep(time.Second - time.Nanosecond)
		look("00 14 c0 c0", "")
		time.Sleep(time.Nanosecond)
		look("00 48 c0 c8", "0: 04010101574846")
		m.set(0, false)
		time.Sleep(time.Second)
		look("00 48 e0 c8", "")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if m.rounds != 3 {
			t.Errorf("%d rounds", m.rounds)
		}
	})
	d := newDevice(t, &mc.MemoryRecords{})
	if err := d.Scan(t.Context(), &model{}, time.Second, mc.SensorKey{Number: 9}); !errors.Is(err, ipmb.ErrNotPresent) {
		t.Errorf("a sensor that is not there: %v", err)
	}
}

func TestReadingIsCheap(t *testing.T) {
	d := newDevice(t, &mc.MemoryRecords{})
	if err := raw(20)(d); err != nil {
		t.Fatal(err)
	}
	req := &ipmb.Request{NetFn: ipmb.NetFnSensor, Cmd: 0x2D, Data: []byte{1}, Origin: admin}
	got := testing.AllocsPerRun(100, func() {
		if rs := d.ServeIPMI(t.Context(), req); rs.Code != ipmb.OK {
			t.Fatal(rs.Code)
		}
	})
	if got > 3 { // the mux's copy of the request and its completion code, and the answer
		t.Errorf("%v allocations", got)
	}
}
