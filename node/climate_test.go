package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/sdr"
	"github.com/midplane-project/midplane/ipmb/sel"
	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/template"
	"github.com/midplane-project/midplane/node/thermal"
)

// heated is a board with a template, whose VM does what the test says.
type heated struct {
	*board
	mu   sync.Mutex
	does thermal.Load
}

// newHeated makes a board of a template's text, whose sensors are read until the
// test ends. It is for synctest.
func newHeated(t *testing.T, profile, text, dir string) *heated {
	t.Helper()
	x, err := template.Parse("t.yaml", []byte(text), dir)
	if err != nil {
		t.Fatal(err)
	}
	return newClimateOf(t, profile, x)
}

// newClimateOf makes such a board of a template.
func newClimateOf(t *testing.T, profile string, x *template.Template) *heated {
	t.Helper()
	b := &heated{board: newBoard(t, profile)}
	b.stop()
	b.template, b.load = x, func(time.Time) thermal.Load {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.does
	}
	b.start()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.sensors.measure(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	return b
}

func (b *heated) set(l thermal.Load) {
	b.mu.Lock()
	b.does = l
	b.mu.Unlock()
}

// pass lets time pass.
func (b *heated) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// reads gives a sensor's value by Get Sensor Reading and its record, NaN while
// it is unavailable.
func (b *heated) reads(name string) float64 {
	b.t.Helper()
	key, _, err := b.sensors.named(name)
	if err != nil {
		b.t.Fatal(err)
	}
	r := b.Handler().ServeIPMI(b.t.Context(), &ipmb.Request{
		NetFn: ipmb.NetFnSensor, LUN: key.LUN, Cmd: 0x2D, Data: []byte{key.Number}, Origin: b.origin(),
	})
	if r.Code != ipmb.OK {
		b.t.Fatalf("%s: %v", name, r.Code)
	}
	if r.Data[1]&0x20 != 0 {
		return math.NaN()
	}
	for _, body := range b.sensors.sdrs {
		if f, ok := body.(*sdr.Full); ok && f.LUN == key.LUN && f.Number == key.Number {
			return f.Factors.Value(r.Data[0], f.Units.Format)
		}
	}
	return float64(r.Data[2])
}

// told gives the events in the log from the n-th on, in words.
func (b *heated) told(from int) (out []string) {
	b.sel.mu.RLock()
	defer b.sel.mu.RUnlock()
	for _, r := range b.sel.rows[from:] {
		e, err := sel.ParseBus(r.entry[9:])
		if err != nil {
			b.t.Fatalf("% x: %v", r.entry, err)
		}
		sign := "+"
		if e.Deassert {
			sign = "-"
		}
		out = append(out, fmt.Sprintf("%02x%s%d", e.Number, sign, e.Offset()))
	}
	return out
}

func (b *heated) want(when string, values map[string][2]float64) {
	b.t.Helper()
	for name, v := range values {
		got := b.reads(name)
		if math.IsNaN(v[0]) != math.IsNaN(got) || got < v[0] || got > v[1] {
			b.t.Errorf("%s: %s reads %g, want %g to %g", when, name, got, v[0], v[1])
		}
	}
}

var unavailable = [2]float64{math.NaN(), math.NaN()}

// What the VM does shows in the sensors, and no threshold is crossed by that.
func TestClimate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newHeated(t, ProfileATCA, "environment: {}", "")
		b.want("off", map[string][2]float64{
			"CPU Temp": {24, 24}, "Inlet Temp": {24, 24}, "Outlet Temp": {24, 25}, "Input Power": {4, 4}, "Input Current": {0.29, 0.31},
			"12V": {12.05, 12.13}, "5V": unavailable, "3.3V": unavailable,
		})
		b.set(thermal.Load{On: true})
		b.pass(time.Second)
		b.want("on", map[string][2]float64{"CPU Temp": {24, 25}, "Input Power": {45, 45}, "5V": {5, 5.05}, "3.3V": {3.3, 3.32}})
		b.pass(5 * time.Minute)
		b.want("idle", map[string][2]float64{"CPU Temp": {27, 30}})
		b.set(thermal.Load{On: true, CPU: 1})
		b.pass(5 * time.Second)
		b.want("just busy", map[string][2]float64{"CPU Temp": {30, 40}, "Input Power": {165, 165}})
		b.pass(5 * time.Minute)
		b.want("busy", map[string][2]float64{
			"CPU Temp": {50, 60}, "Outlet Temp": {40, 50}, "Input Current": {13, 14.5}, "12V": {11.93, 12.07},
		})
		b.set(thermal.Load{})
		b.pass(time.Minute)
		b.want("off again", map[string][2]float64{"Input Power": {4, 4}, "5V": unavailable, "3.3V": unavailable})
		if got := b.told(0); len(got) != 0 {
			t.Errorf("events %v", got)
		}
	})
}

// Without fans a busy processor gets too warm: the node's log and its guest are
// told, and told again when it has cooled down.
func TestClimateEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newHeated(t, ProfileATCA, "environment: {inlet: 35, fan: 0}", "")
		b.shelf("04 00 20 00")
		b.set(thermal.Load{On: true, CPU: 1})
		b.pass(10 * time.Minute)
		if got := strings.Join(b.told(0), " "); got != "22+7 22+9 22+11 20+7 20+9" { // the air first
			t.Errorf("events %s", got)
		}
		if got := b.logged(3); !strings.HasPrefix(got, "82000401200157bebe ") { // 75 °C, in steps of 0.5 from -20 on
			t.Errorf("logged %s", got)
		}
		n := len(b.told(0))
		b.set(thermal.Load{})
		b.pass(10 * time.Minute)
		if got := strings.Join(b.told(n), " "); got != "22-11 22-9 22-7 20-9 20-7" {
			t.Errorf("events %s", got)
		}
		if len(b.outbox.events) != 10 || len(b.told(0)) != 10 {
			t.Errorf("%d events for the shelf, %d logged", len(b.outbox.events), len(b.told(0)))
		}
	})
}

// On a board of a shelf entities are relative to its controller, on a server
// they are not.
func TestEntitiesOfTemplates(t *testing.T) {
	for profile, want := range map[string]string{ProfileATCA: "3.96 55.96 160.96", ProfileServer: "3.1 55.1 7.1"} {
		synctest.Test(t, func(t *testing.T) {
			b := newHeated(t, profile, "environment: {}", "")
			var got []string
			for _, body := range b.sensors.sdrs {
				if f, ok := body.(*sdr.Full); ok && len(got) < 3 {
					got = append(got, f.Entity.String())
				}
			}
			if s := strings.Join(got, " "); s != want {
				t.Errorf("%s: %s, want %s", profile, s, want)
			}
		})
	}
}

// A dump's sensors are the node's: on another LUN where the node has its own.
func TestImportedSensors(t *testing.T) {
	dir := t.TempDir()
	sensor := func(number uint8, name string) sdr.Sensor {
		return sdr.Sensor{
			Key: sdr.Key{Owner: 0x20, Number: number}, Init: sdr.InitScanningAtPowerUp | sdr.InitEventsAtPowerUp,
			Kind: sel.SensorTemperature, EventType: sel.EventThreshold, Entity: sdr.Entity{ID: 7, Instance: 4},
		}
	}
	low := &sdr.Full{Sensor: sensor(0x10, ""), Factors: sdr.Factors{M: 1}, Name: "Low", Specified: 1, Nominal: 30}
	dark := &sdr.Full{Sensor: sensor(0x31, ""), Factors: sdr.Factors{M: 1}, Name: "Dark"}
	states := &sdr.Compact{Sensor: sensor(0x40, ""), Sharing: sdr.Sharing{Count: 1}, Name: "PSU"}
	states.Kind, states.EventType, states.Readable, states.Assert = sel.SensorPowerSupply, sel.EventSensor, 3, 3
	states.Capabilities.AutoRearm = true
	button, twice := *states, *states
	button.Number, button.Name, twice.Number, twice.Name = 0x13, "Button", 0x41, "PSU"
	only := &sdr.EventOnly{Key: sdr.Key{Owner: 0x20, Number: 0x50}, Name: "Only"}
	var dump []byte
	for i, body := range []sdr.Body{low, dark, states, only, &button} {
		raw, err := sdr.Marshal(uint16(i), body)
		if err != nil {
			t.Fatal(err)
		}
		dump = append(dump, raw...)
	}
	if err := os.WriteFile(filepath.Join(dir, "d.sdr"), dump, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		b := newHeated(t, ProfileATCA, "sdr_dump: d.sdr", dir)
		b.want("imported", map[string][2]float64{"Low": {30, 30}, "Dark": unavailable, "PSU": unavailable})
		if got := b.guest("04 20 01"); got != "00 13 03" { // locator, thirteen of the node's own, five; on LUN 0 and 1
			t.Errorf("device SDRs: %s", got)
		}
		if got := b.guest("04 2d 10"); !strings.HasPrefix(got, "00 00 e0 00") {
			t.Errorf("the node's own sensor reads %s", got)
		}
		for _, body := range b.sensors.sdrs[len(b.id.discrete()) : len(b.sensors.sdrs)-1] {
			if e, ok := body.(*sdr.EventOnly); ok && e.Owner != uint8(self) {
				t.Errorf("%+v", e)
			} else if r, name, _ := sensorOf(body); r != nil && (r.Owner != uint8(self) || r.Entity.Instance != 4) {
				t.Errorf("%s: %+v", name, r)
			}
		}
		if key, _, err := b.sensors.named("Button"); err != nil || key != sensorButton {
			t.Errorf("the node's own button is %v, %v", key, err)
		}
		b.sensors.sdrs = append(b.sensors.sdrs, &twice)
		if key, _, err := b.sensors.named("PSU"); !errors.Is(err, ErrNoSensor) || !strings.Contains(err.Error(), "0x40 and 0x41") {
			t.Errorf("two of one name: %v, %v", key, err)
		}
		b.sensors.sdrs = b.sensors.sdrs[:len(b.sensors.sdrs)-1]
		if _, err := b.sensors.faults.Inject(SensorFault{Kind: SensorAssert, Sensor: "PSU", Offset: 1}); err != nil {
			t.Fatal(err)
		}
		b.want("forced", map[string][2]float64{"PSU": {2, 2}})
		if got := strings.Join(b.told(0), " "); got != "40+1" {
			t.Errorf("events %s", got)
		}
	})
}

// The load of a VM is that of its process, as far as there is one.
func TestMeteredVM(t *testing.T) {
	on, pid := false, os.Getpid()
	m := &meteredVM{on: func() bool { return on }, share: ofProcess(func() (int, int) { return pid, 1 })}
	began := time.Now()
	if l := m.load(began); l != (thermal.Load{}) {
		t.Errorf("off: %+v", l)
	}
	on = true
	if l := m.load(began); l != (thermal.Load{On: true}) {
		t.Errorf("at first: %+v", l)
	}
	now := began
	for l := m.load(now); l.CPU == 0; l = m.load(now) { // until the process has got some of it
		if time.Since(began) > time.Minute || !l.On || l.CPU > 1 {
			t.Fatalf("busy: %+v", l)
		}
		now = now.Add(time.Millisecond)
	}
	for _, pid = range []int{0, 1 << 30} {
		if l := m.load(began.Add(time.Second)); l != (thermal.Load{On: true}) {
			t.Errorf("process %d: %+v", pid, l)
		}
	}
}

// metered is a driver that knows what its VM has used of two processors.
type metered struct {
	used time.Duration
	err  error
}

func (m *metered) CPUTime(context.Context) (time.Duration, int, error) { return m.used, 2, m.err }

func TestMeteredByItsDriver(t *testing.T) {
	d := new(metered)
	share, now := ofDriver(d), time.Now()
	for i, c := range []struct {
		used time.Duration
		err  error
		want float64
		ok   bool
	}{
		{used: time.Second},
		{used: 2 * time.Second, want: 0.5, ok: true},
		{err: power.ErrNotRunning},
		{used: 4 * time.Second, want: 0.5, ok: true}, // since two seconds
		{used: time.Second},                          // a new process
		{used: time.Second, want: 0, ok: true},
	} {
		d.used, d.err = c.used, c.err
		if got, ok := share(now); got != c.want || ok != c.ok {
			t.Errorf("%d: %v %v, want %v %v", i, got, ok, c.want, c.ok)
		}
		now = now.Add(time.Second)
	}
}

// A node has the hardware of its template, and does not start with a bad one.
func TestTemplateOfNode(t *testing.T) {
	cfg := lone(t)
	cfg.Template = filepath.Join(cfg.Dir, "t.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(cfg.Template, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("sensors: [{number: 0x33, name: One, type: voltage, unit: volt, range: [0, 5], source: {fixed: 5}}]\n" +
		"frus: [{id: 3, name: RTM, product: {name: R}}]")
	n, err := New(cfg, Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if key, _, err := n.controller.sensors.named("One"); err != nil || key.Number != 0x33 || len(n.controller.fruList) != 2 {
		t.Errorf("%v, %v, %v", key, err, n.controller.fruList)
	}
	if f := n.controller.fruList[1]; f.ID != 3 || f.Entity != n.identity().entity() {
		t.Errorf("%+v", f)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	write("sensors: 3")
	if _, err := New(cfg, Options{Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), cfg.Template+":1:10: ") {
		t.Error(err)
	}
}
