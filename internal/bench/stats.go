package main

import (
	"slices"
	"time"
)

// sample is a set of durations, one for each trial.
type sample []time.Duration

// quantile gives the value that the share q of the trials does not exceed.
func (s sample) quantile(q float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// summary is what is told of one side.
type summary struct {
	P50    float64 `json:"p50"`
	P99    float64 `json:"p99,omitempty"`
	Min    float64 `json:"min,omitempty"` // of the rounds' medians
	Max    float64 `json:"max,omitempty"`
	Trials int     `json:"trials"`
}

// units in which durations are told.
const (
	micros = "µs"
	millis = "ms"
)

func in(unit string, d time.Duration) float64 {
	if unit == millis {
		return float64(d) / float64(time.Millisecond)
	}
	return float64(d) / float64(time.Microsecond)
}

// summarise tells of rounds: median and p99 of all trials, and how far the
// rounds' medians lie apart.
func summarise(unit string, rounds ...sample) *summary {
	var all sample
	var medians sample
	for _, r := range rounds {
		all = append(all, r...)
		medians = append(medians, r.quantile(0.5))
	}
	if len(all) == 0 {
		return nil
	}
	return &summary{
		P50: in(unit, all.quantile(0.5)), P99: in(unit, all.quantile(0.99)),
		Min: in(unit, slices.Min(medians)), Max: in(unit, slices.Max(medians)), Trials: len(all),
	}
}

// single is a summary of plain values: their median.
func single(values ...float64) *summary {
	sorted := slices.Sorted(slices.Values(values))
	return &summary{P50: sorted[len(sorted)/2], Min: sorted[0], Max: sorted[len(sorted)-1], Trials: len(sorted)}
}
