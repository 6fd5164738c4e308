package template_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/internal/yamlfile"
	"github.com/midplane-project/midplane/ipmb/fru"
	"github.com/midplane-project/midplane/ipmb/sdr"
	"github.com/midplane-project/midplane/ipmb/sel"
	"github.com/midplane-project/midplane/node/template"
	"github.com/midplane-project/midplane/node/thermal"
)

// write makes a file in a directory of the test's.
func write(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func parse(t *testing.T, text string) *template.Template {
	t.Helper()
	x, err := template.Parse("t.yaml", []byte(text), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// The built-in sensors all read, and no threshold is crossed at any load in the
// air of the template, nor by a blade that is off.
func TestBuiltInCrossesNothing(t *testing.T) {
	x := template.BuiltIn()
	if len(x.Sensors) != len(thermal.ValueNames())-1 || // fan_speed is a tray's
		len(x.FRUs)+len(x.Others)+len(x.Skipped) != 0 {
		t.Fatalf("%d sensors, %+v", len(x.Sensors), x)
	}
	for _, load := range []thermal.Load{{}, {On: true}, {On: true, CPU: 0.5}, {On: true, CPU: 1}} {
		m := thermal.Moment{State: thermal.Cold(x.Environment), Load: load, Environment: x.Environment}
		for range 1000 {
			m.State = m.Step(1e9, load, x.Environment)
			for _, s := range x.Sensors {
				check(t, s, m)
			}
		}
	}
}

// So do those of a fan tray, from its lowest level on, which is a fifth.
func TestFanTrayCrossesNothing(t *testing.T) {
	x := template.FanTray()
	if len(x.Sensors) != 4 {
		t.Fatalf("%d sensors", len(x.Sensors))
	}
	for _, level := range []float64{0.2, 0.5, 1} {
		e := thermal.Environment{Inlet: 24, Fan: level}
		m := thermal.Moment{State: thermal.Cold(e), Environment: e}
		for _, s := range x.Sensors {
			f := s.SDR
			if reading, ok := f.Factors.Reading(10000*level, f.Units.Format); !ok || reading <= f.Thresholds.LowerNonCritical {
				t.Errorf("%s at %g is %d, beyond a threshold", f.Name, level, reading)
			}
			if f.Readable&0x3F00 != 0x0700 || f.Kind != 0x04 {
				t.Errorf("%s: %04x, type %v", f.Name, f.Readable, f.Kind)
			}
			if rpm, _ := s.Source.Value(m); rpm != 10000*level {
				t.Errorf("%s at %g: %g rpm", s.SDR.Name, level, rpm)
			}
		}
	}
}

func check(t *testing.T, s template.Sensor, m thermal.Moment) {
	t.Helper()
	f := s.SDR
	value, ok := s.Source.Value(m)
	if ok != (m.On || s.Source.Model != "volts_5" && s.Source.Model != "volts_3_3") {
		t.Fatalf("%s: there is %v, %+v", f.Name, ok, m.Load)
	}
	if !ok {
		return
	}
	reading, _ := f.Factors.Reading(value, f.Units.Format)
	if back := f.Factors.Value(reading, f.Units.Format); math.Abs(back-value) > 0.52*math.Abs(float64(f.Factors.M))*math.Pow10(int(f.Factors.RExp)) {
		t.Fatalf("%s: %g reads as %g", f.Name, value, back)
	}
	if reading <= f.Thresholds.LowerNonCritical || reading >= f.Thresholds.UpperNonCritical {
		t.Fatalf("%s: %g is beyond a threshold at %+v", f.Name, value, m)
	}
	if f.Readable != 0x3F3F || f.Assert != 0x7A95 || f.Deassert != 0x7A95 {
		t.Fatalf("%s: %04x %04x %04x", f.Name, f.Readable, f.Assert, f.Deassert)
	}
}

// Without fans the processor gets too warm, and no more than that.
func TestStillAir(t *testing.T) {
	x := template.BuiltIn()
	cpu := x.Sensors[0]
	m := thermal.Moment{Load: thermal.Load{On: true, CPU: 1}, Environment: thermal.Environment{Inlet: 24}}
	m.State = thermal.Cold(m.Environment).Step(1e12, m.Load, m.Environment)
	value, _ := cpu.Source.Value(m)
	reading, _ := cpu.SDR.Factors.Reading(value, cpu.SDR.Units.Format)
	if th := cpu.SDR.Thresholds; cpu.SDR.Name != "CPU Temp" || reading < th.UpperNonCritical || reading >= th.UpperCritical {
		t.Errorf("%s: %g", cpu.SDR.Name, value)
	}
}

const small = `environment: {inlet: 30}
sensors:
  - number: 0x40
    name: Fan 1
    entity: fan.2
    type: fan
    unit: rpm
    range: [0, 6000]
    thresholds: {lcr: 1000}
    hysteresis: {up: 50, down: 100}
    source: {fixed: 3000}
  - {number: 65, name: X, entity: 11.1, type: 0x0b, unit: 6, range: [-40, 87.5], source: power}
frus:
  - {id: 1, name: RTM, entity: 0xc0, board: {made: 2024-05-31, manufacturer: ACME, product: R, custom: [a, Zürich]}}
`

func TestTemplate(t *testing.T) {
	x := parse(t, small)
	if x.Environment != (thermal.Environment{Inlet: 30, Fan: 0.5}) || len(x.Sensors) != 2 || len(x.FRUs) != 1 {
		t.Fatalf("%+v", x)
	}
	f := x.Sensors[0].SDR
	if f.Number != 0x40 || f.Entity != (sdr.Entity{ID: sdr.EntityFan, Instance: 2}) || f.Kind != sel.SensorFan ||
		f.Units.Base != sdr.UnitRPM || f.Readable != 0x0202 || f.Assert != 0x2004 || f.Deassert != 0x0004 {
		t.Errorf("%+v", f)
	}
	if f.Factors.M != 24 || f.Thresholds.LowerCritical != 42 || f.HystUp != 2 || f.HystDown != 4 {
		t.Errorf("factors %+v, thresholds %+v, hysteresis %d %d", f.Factors, f.Thresholds, f.HystUp, f.HystDown)
	}
	if v, ok := x.Sensors[0].Source.Value(thermal.Moment{}); v != 3000 || !ok {
		t.Errorf("reads %g, %v", v, ok)
	}
	f = x.Sensors[1].SDR
	low, high := f.Factors.Value(0, sdr.AnalogUnsigned), f.Factors.Value(255, sdr.AnalogUnsigned)
	if f.Number != 65 || f.Entity.ID != 11 || f.Kind != 0x0B || f.Units.Base != sdr.UnitWatt || low != -40 || high != 87.5 ||
		f.Capabilities.Thresholds != sdr.AccessNone {
		t.Errorf("%+v, %g to %g", f, low, high)
	}
	inv, err := fru.Unmarshal(x.FRUs[0].Content)
	if err != nil || inv.Board.Product.String() != "R" || inv.Board.Custom[1].String() != "Zürich" || inv.Board.Made.Year() != 2024 {
		t.Errorf("%+v, %v", inv, err)
	}
	if x.FRUs[0].Name != "RTM" || x.FRUs[0].Entity.ID != sdr.EntityRearBoard {
		t.Errorf("%+v", x.FRUs[0])
	}
}

// A file without sensors has the built-in ones, one with an empty list none.
func TestWhatIsLeftOut(t *testing.T) {
	if n, want := len(parse(t, "environment: {fan: 0}").Sensors), len(template.BuiltIn().Sensors); n != want || n == 0 {
		t.Errorf("%d sensors", n)
	}
	if n := len(parse(t, "sensors: []").Sensors); n != 0 {
		t.Errorf("%d sensors of an empty list", n)
	}
}

func TestMistakesHaveTheirPlace(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"inlet: 30", "outlet: 30", "t.yaml:1:15: unknown field"},
		{"inlet: 30", "inlet: 130", "t.yaml:1:22: environment.inlet: 130 °C is not within"},
		{"inlet: 30", "fan: .nan", "environment.fan: NaN is not within"},
		{"number: 0x40", "number: 0x10", "t.yaml:3:13: sensors[0].number: 0x10 is not within 0x20"},
		{"number: 0x40", "number: 0xff", "not within"},
		{"number: 0x40", "number: 300", "t.yaml:3:"},
		{"number: 65", "number: 0x40", "sensors[1].number: 0x40 is taken by Fan 1"},
		{"name: X", "name: Fan 1", "stands twice"},
		{"name: X,", "", "sensors[1].name: is missing"},
		{"name: X", "name: a name that is too long", "id string needs at most 16"},
		{"entity: fan.2", "entity: fun", "t.yaml:5:13: sensors[0].entity: \"fun\" is not one of air_inlet"},
		{"entity: fan.2", "entity: fan.99", "instance is not within"},
		{"entity: fan.2", "entity: board.2", "there is one board"},
		{"type: fan", "type: 256", "sensors[0].type"},
		{"    unit: rpm\n", "", "sensors[0].unit: is missing: ampere"},
		{"range: [0, 6000]", "range: [6000, 0]", "no factors give such a range"},
		{"range: [0, 6000]", "range: [0]", "want [LOWEST, HIGHEST], or factors"},
		{"range: [0, 6000]", "range: [0, 1e30]", "no factors"},
		{"range: [0, 6000]", "factors: {m: 512}", "t.yaml:8:14: sensors[0].factors: want m and b"},
		{"range: [0, 6000]", "factors: {m: 0}", "want m and b"},
		{"range: [0, 6000]", "range: [0, 6000]\n    factors: {m: 1}", "stand beside a range"},
		{"lcr: 1000", "lcr: 9000", "t.yaml:9:23: sensors[0].thresholds.lcr: 9000 is out of the sensor's range"},
		{"lcr: 1000", "lcr: 1000, lnc: 900", "lnc: 900 is below"},
		{"up: 50", "up: -50", "sensors[0].hysteresis: -50 is not within"},
		{"{fixed: 3000}", "{fixed: .inf}", "no value"},
		{"{fixed: 3000}", "{fix: 3000}", "t.yaml:11:"},
		{"{fixed: 3000}", "cpu", "t.yaml:11:13: sensors[0].source: \"cpu\" is not one of cpu_temp"},
		{"    source: {fixed: 3000}\n", "", "sensors[0].source: is missing"},
		{"id: 1", "id: 255", "reserved"},
		{"id: 1, ", "", "frus[0].id: is missing"},
		{"board: {", "file: x, board: {", "stands beside areas"},
		{"board: {", "#", "t.yaml"},
		{"name: RTM", "name: a name that is too long", "frus[0].name"},
		{"made: 2024-05-31", "made: May", "frus[0].board.made: \"May\" is neither"},
		{"made: 2024-05-31", "made: 1990-01-01", "field cannot be written"},
		{"ACME", strings.Repeat("A", 64), "frus[0].board.manufacturer: 64 characters"},
		{"ACME", "Łódź", "not Latin-1"},
		{"frus:", "sdr_dump: none.sdr\nfrus:", "t.yaml:13:11: sdr_dump: stat"},
		{"frus:", "sources: {0x40: power}\nfrus:", "sources: are for the sensors of an sdr_dump"},
		{"id: 1", "id: 1, file: nothing.fru", "frus[0].file"},
	} {
		text := strings.Replace(small, c.old, c.new, 1)
		if text == small {
			t.Fatalf("%q is not in the text", c.old)
		}
		_, err := template.Parse("t.yaml", []byte(text), t.TempDir())
		var mistake *yamlfile.Error
		if err == nil || !errors.As(err, &mistake) || !strings.Contains(err.Error(), c.want) || mistake.Line == 0 {
			t.Errorf("%q: got %v, want %q", c.new, err, c.want)
		}
	}
	if _, err := template.Parse("t.yaml", nil, "."); err == nil || !strings.Contains(err.Error(), "t.yaml: the file is empty") {
		t.Error(err)
	}
	if _, err := template.Load(filepath.Join(t.TempDir(), "no.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestFRUFile(t *testing.T) {
	dir := t.TempDir()
	image, err := (&fru.Inventory{Product: &fru.Product{Name: fru.NewText("blade")}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "good.fru", append(image, 0xFF, 0xFF))
	write(t, dir, "bad.fru", image[1:])
	write(t, dir, "long.fru", make([]byte, 2049))
	write(t, dir, "t.yaml", []byte("frus: [{id: 0, file: good.fru}]"))
	x, err := template.Load(filepath.Join(dir, "t.yaml"))
	if err != nil || len(x.FRUs) != 1 || len(x.FRUs[0].Content) != len(image)+2 {
		t.Errorf("%+v, %v", x, err)
	}
	for _, name := range []string{"bad.fru", "long.fru", "no.fru", "."} {
		_, err := template.Parse("t.yaml", []byte("frus: [{id: 0, file: "+name+"}]"), dir)
		if err == nil || !strings.Contains(err.Error(), "t.yaml:1:22: frus[0].file: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte("sources: {1: {fixed: 1}}\nsdr_dump: /dev/null"))
	f.Add([]byte("sensors: [{range: [1, 2], hysteresis: [1]}]"))
	if text, err := os.ReadFile("default.yaml"); err != nil {
		f.Fatal(err)
	} else {
		f.Add(text)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		x, err := template.Parse("x", text, dir)
		if (x == nil) == (err == nil) {
			t.Fatal("neither a template nor an error")
		}
		if err != nil {
			return
		}
		for _, s := range x.Sensors {
			if _, err := sdr.Marshal(1, s.SDR); err != nil {
				t.Errorf("%+v: %v", s.SDR, err)
			}
		}
	})
}
