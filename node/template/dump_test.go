package template

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/ipmb/fru"
	"github.com/midplane-project/midplane/ipmb/sdr"
	"github.com/midplane-project/midplane/ipmb/sel"
	"github.com/midplane-project/midplane/node/thermal"
)

func analog(owner, number uint8, name string) *sdr.Full {
	return &sdr.Full{
		Sensor: sdr.Sensor{
			Key: sdr.Key{Owner: owner, Number: number}, EventType: sel.EventThreshold, Kind: sel.SensorTemperature,
			Init: sdr.InitScanningAtPowerUp, Entity: sdr.Entity{ID: 3, Instance: 1},
		},
		Factors: sdr.Factors{M: 1}, Name: name,
	}
}

// aDump is what a real machine has: sensors of all kinds, also with numbers
// that the node has, and of another controller.
func aDump(t testing.TB) []byte {
	nominal := analog(0x20, 0x30, "Nominal")
	nominal.Specified, nominal.Nominal = 1, 42
	compactThreshold := &sdr.Compact{Sensor: analog(0x20, 0x50, "").Sensor, Name: "Odd"}
	discrete := &sdr.Compact{
		Sensor:  sdr.Sensor{Key: sdr.Key{Owner: 0x20, Number: 0x60}, EventType: sel.EventSensor, Kind: sel.SensorPowerSupply, Readable: 3},
		Sharing: sdr.Sharing{Count: 2}, Name: "PSU",
	}
	again := *discrete
	again.Number = 0x61
	var out []byte
	for i, body := range []sdr.Body{
		&sdr.MCLocator{Addr: 0x20, Name: "BMC"}, analog(0x20, 0x01, "Low"), nominal, analog(0x20, 0x31, "Fed"),
		analog(0x2C, 0x32, "Engine"), compactThreshold, discrete, &again, analog(0x20, 0xFF, "Last"),
		&sdr.EventOnly{Key: sdr.Key{Owner: 0x20, Number: 0x70}, Name: "Events"}, &sdr.FRULocator{Name: "FRU"},
		&sdr.OEM{Manufacturer: 343, Data: []byte{1}}, &sdr.Unknown{Kind: 8, Data: []byte{1, 2}},
	} {
		b, err := sdr.Marshal(uint16(i+1), body)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b...)
	}
	return out
}

func TestDump(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "real.sdr"), aDump(t), 0o600); err != nil {
		t.Fatal(err)
	}
	x, err := Parse("t.yaml", []byte("sdr_dump: real.sdr\nsources: {0x31: cpu_temp}\n"), dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range x.Sensors {
		v, ok := s.Source.Value(thermal.Moment{State: thermal.State{CPU: 55}})
		got = append(got, fmt.Sprintf("%s %d/%02x %g %v", s.SDR.Name, s.SDR.LUN, s.SDR.Number, v, ok))
	}
	if want := "Low 1/01 0 false, Nominal 0/30 42 true, Fed 0/31 55 true"; strings.Join(got, ", ") != want {
		t.Errorf("sensors %s, want %s", strings.Join(got, ", "), want)
	}
	if len(x.Others) != 3 || x.Others[0].(*sdr.Compact).Name != "PSU" || x.Others[2].Type() != sdr.TypeOEM {
		t.Errorf("others %+v", x.Others)
	}
	want := `"Engine": of 0x2c, another controller than 0x20; "Odd": a threshold sensor with a compact record; ` +
		`"PSU": number 0x61 on LUN 0 is taken; "Last": no sensor has the number 0xff; a record of type 0x08`
	if got := strings.Join(x.Skipped, "; "); got != want {
		t.Errorf("skipped %s\nwant %s", got, want)
	}
	for text, want := range map[string]string{
		"sdr_dump: real.sdr\nsources: {0x60: power}":    "t.yaml:2:",
		"sdr_dump: real.sdr\nsources: {0x31: heat}":     "\"heat\" is not one of",
		"sdr_dump: t.yaml":                              "sdr_dump: stat ",
		"sdr_dump: /dev/null":                           "is no file",
		"sensors: []\nsdr_dump: real.sdr\nsources: 0\n": "t.yaml:3:",
	} {
		if _, err := Parse("t.yaml", []byte(text), dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// What the built-in template shows in comments is what can be written.
func TestExamples(t *testing.T) {
	dir := t.TempDir()
	image, err := (&fru.Inventory{Board: &fru.Board{Product: fru.NewText("blade")}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"blade.fru": image, "real.sdr": aDump(t)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var text strings.Builder
	for _, first := range []string{"# frus:\n", "# sdr_dump:"} {
		_, rest, ok := strings.Cut(string(builtIn), first)
		if !ok {
			t.Fatalf("there is no %q", first)
		}
		example, _, _ := strings.Cut(first+rest, "\n\n")
		for line := range strings.Lines(example) {
			text.WriteString(strings.TrimPrefix(line, "# "))
		}
		text.WriteString("\n")
	}
	x, err := Parse("examples", []byte(text.String()), dir)
	if err != nil {
		t.Fatalf("%v\n%s", err, text.String())
	}
	if len(x.FRUs) != 2 || x.FRUs[1].Name != "RTM" || len(x.Sensors) != 3 || x.Sensors[2].Source.Fixed != 12.1 {
		t.Errorf("%+v", x)
	}
}

func TestDumpRefuses(t *testing.T) {
	whole := aDump(t)
	for n, b := range map[string][]byte{
		"nothing": nil, "cut off": whole[:len(whole)-1], "half a header": whole[:3], "rubbish": bytes.Repeat([]byte{1}, 40),
	} {
		if out, err := readDump(b); err == nil {
			t.Errorf("%s: %d records", n, len(out))
		}
	}
}

// A name in a code that cannot be written is written in one that can.
func TestDumpNames(t *testing.T) {
	b, err := sdr.Marshal(1, analog(0x20, 0x40, "AB"))
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-3] = 0x01 // one character of Unicode
	b[len(b)-2], b[len(b)-1] = 0x9B, 0x03
	bodies, err := readDump(b)
	if err != nil {
		t.Fatal(err)
	}
	im := importer{to: new(Template), taken: make(map[place]bool), used: make(map[uint8]bool)}
	if why := im.take(bodies[0]); why != "" || im.to.Sensors[0].SDR.Name != "?" {
		t.Errorf("%q, %+v", why, im.to.Sensors)
	}
}

func FuzzDump(f *testing.F) {
	f.Add(aDump(f))
	f.Add([]byte{1, 0, 0x51, 0xC0, 3, 1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		bodies, err := readDump(b)
		if err != nil {
			return
		}
		im := importer{to: new(Template), taken: make(map[place]bool), used: make(map[uint8]bool)}
		for _, body := range bodies {
			im.take(body)
		}
		for _, s := range im.to.Sensors {
			if _, err := sdr.Marshal(1, s.SDR); err != nil {
				t.Errorf("%+v: %v", s.SDR, err)
			}
		}
		for _, body := range im.to.Others {
			if _, err := sdr.Marshal(1, body); err != nil {
				t.Errorf("%+v: %v", body, err)
			}
		}
	})
}

// The factors of a range reach from its lowest value, or a step below, to its
// highest, in steps not much larger than 1/255 of it.
func TestFactorsOfRanges(t *testing.T) {
	for _, c := range [][2]float64{
		{0, 255}, {-20, 107.5}, {0, 15.3}, {-128, 127}, {0, 6000}, {1000, 25000}, {0.5, 1.5}, {-55, 125}, {11, 13}, {0, 1e6}, {-0.001, 0.001}, {273, 373},
	} {
		f, ok := factorsOf(c[0], c[1])
		low, high := f.Value(0, sdr.AnalogUnsigned), f.Value(255, sdr.AnalogUnsigned)
		ideal := (c[1] - c[0]) / 255
		if !ok || low > c[0]+1e-9 || low < c[0]-ideal || high < c[1]-1e-6*ideal || step(f) > 1.05*ideal {
			t.Errorf("%v: %+v, %g to %g in steps of %g", c, f, low, high, step(f))
		}
	}
}
