package template

import (
	"math"

	"github.com/midplane-project/midplane/ipmb/sdr"
)

// factorsText is a sensor's factors as they are written.
type factorsText struct {
	M    int `yaml:"m"`
	B    int `yaml:"b"`
	BExp int `yaml:"b_exp"`
	RExp int `yaml:"r_exp"`
}

// Limits of the factors: 10 bits and 4 bits, signed.
const (
	minFactor, maxFactor = -512, 511
	minExp, maxExp       = -8, 7
)

func within(n, low, high int) bool { return n >= low && n <= high }

// factors gives the factors that are written, or those of the range.
func (r *reader) factors(x sensorText, at func(string) string) sdr.Factors {
	switch {
	case x.Factors != nil && x.Range != nil:
		r.add(at("factors"), "stand beside a range: want one of them")
		return sdr.Factors{}
	case x.Factors != nil:
		f := *x.Factors
		if f.M == 0 || !within(f.M, minFactor, maxFactor) || !within(f.B, minFactor, maxFactor) ||
			!within(f.BExp, minExp, maxExp) || !within(f.RExp, minExp, maxExp) {
			r.add(at("factors"), "want m and b within %d to %d, m not 0, exponents within %d to %d", minFactor, maxFactor, minExp, maxExp)
			return sdr.Factors{}
		}
		return sdr.Factors{M: int16(f.M), B: int16(f.B), BExp: int8(f.BExp), RExp: int8(f.RExp)}
	case len(x.Range) != 2:
		r.add(at("range"), "want [LOWEST, HIGHEST], or factors")
		return sdr.Factors{}
	}
	f, ok := factorsOf(x.Range[0], x.Range[1])
	if !ok {
		r.add(at("range"), "%v: no factors give such a range", x.Range)
	}
	return f
}

// factorsOf gives factors by which the readings 0 to 255 cover the values low
// to high: the lowest one at most a reading's step below low, and the steps as
// small as they can be, or 2 % larger where that makes rounder numbers.
func factorsOf(low, high float64) (sdr.Factors, bool) {
	const readings, slack, dust = 255, 1.02, 1e-9
	if !(high > low) || math.IsInf(high-low, 0) {
		return sdr.Factors{}, false
	}
	var best sdr.Factors
	for exp := minExp; exp <= maxExp; exp++ {
		unit := math.Pow10(exp)
		b, bExp, start, ok := offsetOf(low, exp)
		if !ok {
			continue
		}
		m := math.Ceil((high-start)/readings/unit - dust)
		better := best.M == 0 || m*unit <= slack*float64(best.M)*math.Pow10(int(best.RExp))
		if m >= 1 && m <= maxFactor && better {
			best = sdr.Factors{M: int16(m), B: b, BExp: bExp, RExp: int8(exp)}
		}
	}
	return best, best.M != 0
}

// offsetOf gives B and its exponent for the value low of reading 0, with the
// result's exponent exp, and the value that they really stand for: low, or
// just below it.
func offsetOf(low float64, exp int) (b int16, bExp int8, start float64, ok bool) {
	const dust = 1e-9
	if low == 0 {
		return 0, 0, 0, true
	}
	for e := minExp; e <= maxExp; e++ {
		unit := math.Pow10(e + exp)
		x := math.Floor(low/unit + dust)
		if x < minFactor || x > maxFactor {
			continue
		}
		value := x * unit
		if !ok || low-value <= low-start+dust*math.Abs(low) { // the same with a smaller B
			b, bExp, start, ok = int16(x), int8(e), value, true
		}
	}
	return b, bExp, start, ok
}
