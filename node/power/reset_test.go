package power

import (
	"testing"
	"time"
)

func TestResetsAreCountedOnce(t *testing.T) {
	type ev struct {
		ms   float64
		what string // H: host reset, G: guest reset, S: stop, R: resume
	}
	for name, tt := range map[string]struct {
		events []ev
		want   int
	}{
		"before the firmware ran":             {[]ev{{0, "H"}}, 1},
		"SeaBIOS pair":                        {[]ev{{0, "H"}, {24, "G"}}, 1},
		"SeaBIOS triple":                      {[]ev{{0, "H"}, {24, "G"}, {24.15, "G"}}, 1},
		"guest reset, paired":                 {[]ev{{0, "G"}, {24, "G"}}, 1},
		"two guest resets, paired, in 0.5 s":  {[]ev{{0, "G"}, {2, "G"}, {500, "G"}, {502, "G"}}, 2},
		"two host resets":                     {[]ev{{0, "H"}, {5, "H"}}, 2},
		"reset while stopped, echo on resume": {[]ev{{0, "S"}, {1, "H"}, {9000, "R"}, {9024, "G"}}, 1},
		"stopped between reset and echo":      {[]ev{{0, "H"}, {10, "S"}, {60000, "R"}, {60014, "G"}}, 1},
		"no echo, later a guest's own":        {[]ev{{0, "H"}, {30000, "G"}}, 2},
		"no echo, pause, a guest's own":       {[]ev{{0, "H"}, {30000, "S"}, {60000, "R"}, {60500, "G"}}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			f := resetFilter{burst: burstWindow}
			base, got := time.Unix(1700000000, 0), 0
			for _, e := range tt.events {
				at := base.Add(time.Duration(e.ms * float64(time.Millisecond)))
				switch e.what {
				case "S":
					f.stopped(at)
				case "R":
					f.resumed(at)
				default:
					if f.counts(at, e.what == "G") {
						got++
					}
				}
			}
			if got != tt.want {
				t.Errorf("counted %d, want %d", got, tt.want)
			}
		})
	}
}

// Where another process tells of them, the events of one reset may come late.
func TestResetsToldOfLateAreCountedOnce(t *testing.T) {
	base := time.Unix(1700000000, 0)
	f := resetFilter{burst: relayedBurst}
	for i, e := range []struct {
		ms     int
		guest  bool
		counts bool
	}{{0, false, true}, {40, true, false}, {204, true, false}, {6000, true, true}, {6100, true, false}, {6900, true, false}, {7200, true, true}} {
		if got := f.counts(base.Add(time.Duration(e.ms)*time.Millisecond), e.guest); got != e.counts {
			t.Errorf("event %d at %d ms: counted is %v", i, e.ms, got)
		}
	}
}
