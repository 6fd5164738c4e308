package template

import (
	"fmt"

	"github.com/midplane-project/midplane/ipmb/sdr"
	"github.com/midplane-project/midplane/ipmb/sel"
)

// sensorText is a sensor as it is written.
type sensorText struct {
	Number     uint8          `yaml:"number"`
	Name       string         `yaml:"name"`
	Entity     string         `yaml:"entity"`
	Type       string         `yaml:"type"`
	Unit       string         `yaml:"unit"`
	Range      []float64      `yaml:"range"`
	Factors    *factorsText   `yaml:"factors"`
	Thresholds thresholdsText `yaml:"thresholds"`
	Hysteresis hysteresisText `yaml:"hysteresis"`
	Source     sourceText     `yaml:"source"`
}

// reserved is no sensor number.
const reserved = 0xFF

func (r *reader) sensors(texts []sensorText) (out []Sensor) {
	numbers, names := make(map[uint8]string), make(map[string]bool)
	for i, x := range texts {
		at := func(field string) string { return fmt.Sprintf("$.sensors[%d].%s", i, field) }
		other, taken := numbers[x.Number]
		switch {
		case x.Number < FirstNumber || x.Number == reserved:
			r.add(at("number"), "0x%02x is not within 0x%02x to 0xfe", x.Number, FirstNumber)
		case taken:
			r.add(at("number"), "0x%02x is taken by %s", x.Number, other)
		}
		if names[x.Name] {
			r.add(at("name"), "%q stands twice", x.Name)
		}
		numbers[x.Number], names[x.Name] = x.Name, true
		out = append(out, Sensor{SDR: r.sensor(x, at), Source: r.source(at("source"), x.Source)})
	}
	return out
}

// sensor makes the record of one sensor.
func (r *reader) sensor(x sensorText, at func(string) string) *sdr.Full {
	f := &sdr.Full{
		Sensor: sdr.Sensor{
			Key: sdr.Key{Number: x.Number}, Entity: r.entity(at("entity"), x.Entity),
			Init: sdr.InitScanningAtPowerUp | sdr.InitEventsAtPowerUp | sdr.InitSettable,
			Capabilities: sdr.Capabilities{
				AutoRearm: true, Hysteresis: sdr.AccessSet, Thresholds: sdr.AccessSet, Events: sdr.ControlPerState,
			},
			Kind: word(r, at("type"), x.Type, typeWords), EventType: sel.EventThreshold,
			Units: sdr.Units{Format: sdr.AnalogUnsigned, Base: word(r, at("unit"), x.Unit, unitWords)},
		},
		Factors: r.factors(x, at), Max: 0xFF, Name: x.Name,
	}
	if x.Name == "" {
		r.add(at("name"), "is missing")
	} else if _, err := sdr.Marshal(1, f); err != nil {
		r.add(at("name"), "%v", err)
	}
	if f.Factors.M != 0 { // else that was said
		r.thresholds(f, x.Thresholds, at)
		r.hysteresis(f, x.Hysteresis, at)
	}
	return f
}
