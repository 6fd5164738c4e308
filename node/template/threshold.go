package template

import (
	"math"

	"github.com/midplane-project/midplane/ipmb/sdr"
)

// thresholdsText are a sensor's thresholds, in its unit, by ipmitool's words.
type thresholdsText struct {
	LNR *float64 `yaml:"lnr"`
	LCR *float64 `yaml:"lcr"`
	LNC *float64 `yaml:"lnc"`
	UNC *float64 `yaml:"unc"`
	UCR *float64 `yaml:"ucr"`
	UNR *float64 `yaml:"unr"`
}

// Bits of a record's masks (IPMI 2.0 table 43-1): threshold i, in the order of
// the commands, has the event offsets 2i, going low, and 2i+1, going high.
const (
	firstUpper    = 3
	settableShift = 8
	compareShift  = 12
	goesLow       = 1
	goesHigh      = 2
)

// thresholds puts those that are given in the record: they can be read and set,
// and the reading's going beyond and coming back are events.
func (r *reader) thresholds(f *sdr.Full, x thresholdsText, at func(string) string) {
	t := &f.Thresholds
	last := math.Inf(-1)
	for _, one := range []struct {
		name  string
		value *float64
		to    *uint8
		index int // in the order of the commands
	}{
		{"lnr", x.LNR, &t.LowerNonRecoverable, 2},
		{"lcr", x.LCR, &t.LowerCritical, 1},
		{"lnc", x.LNC, &t.LowerNonCritical, 0},
		{"unc", x.UNC, &t.UpperNonCritical, 3},
		{"ucr", x.UCR, &t.UpperCritical, 4},
		{"unr", x.UNR, &t.UpperNonRecoverable, 5},
	} {
		if one.value == nil {
			continue
		}
		v, path := *one.value, at("thresholds."+one.name)
		reading, ok := f.Factors.Reading(v, f.Units.Format)
		if !ok || math.Abs(f.Factors.Value(reading, f.Units.Format)-v) > step(f.Factors) {
			r.add(path, "%g is out of the sensor's range", v)
		}
		if v < last {
			r.add(path, "%g is below the threshold before it, %g; the order is lnr, lcr, lnc, unc, ucr, unr", v, last)
		}
		last, *one.to = v, reading
		f.Readable |= 1<<one.index | 1<<(settableShift+one.index)
		if one.index < firstUpper {
			f.Assert |= goesLow<<(2*one.index) | 1<<(compareShift+one.index)
			f.Deassert |= goesLow << (2 * one.index)
		} else {
			f.Assert |= goesHigh << (2 * one.index)
			f.Deassert |= goesHigh<<(2*one.index) | 1<<(compareShift+one.index-firstUpper)
		}
	}
	if f.Readable == 0 {
		f.Capabilities.Thresholds = sdr.AccessNone
	}
}

// step is by how much the values of two readings differ.
func step(f sdr.Factors) float64 { return math.Abs(float64(f.M)) * math.Pow10(int(f.RExp)) }

// hysteresisText is one value, or one for each direction.
type hysteresisText struct{ up, down float64 }

// UnmarshalYAML takes a number or a mapping.
func (h *hysteresisText) UnmarshalYAML(unmarshal func(any) error) error {
	var both float64
	if unmarshal(&both) == nil {
		h.up, h.down = both, both
		return nil
	}
	var m struct {
		Up   float64 `yaml:"up"`
		Down float64 `yaml:"down"`
	}
	if err := unmarshal(&m); err != nil {
		return err
	}
	h.up, h.down = m.Up, m.Down
	return nil
}

func (r *reader) hysteresis(f *sdr.Full, x hysteresisText, at func(string) string) {
	counts := func(v float64) uint8 {
		n := math.Round(v / step(f.Factors))
		if !(n >= 0 && n < math.MaxUint8) { // FFh is reserved
			r.add(at("hysteresis"), "%g is not within 0 to %g", v, (math.MaxUint8-1)*step(f.Factors))
			return 0
		}
		return uint8(n)
	}
	f.HystUp, f.HystDown = counts(x.up), counts(x.down)
}
