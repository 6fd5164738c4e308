package thermal

import (
	"math"
	"testing"
	"time"
)

var room = Environment{Inlet: 24, Fan: 0.5}

// after runs the model for a while in steps.
func after(s State, d, step time.Duration, l Load, e Environment) State {
	for ; d > 0; d -= step {
		s = s.Step(step, l, e)
	}
	return s
}

func TestSettles(t *testing.T) {
	for name, c := range map[string]struct {
		load    Load
		env     Environment
		cpu     [2]float64 // from, to
		power   float64
		volts   float64
		volts33 float64
	}{
		"off":           {Load{}, room, [2]float64{24, 24}, 4, 12.097, 0},
		"idle":          {Load{On: true}, room, [2]float64{27, 30}, 45, 12.07, 3.309},
		"busy":          {Load{On: true, CPU: 1}, room, [2]float64{50, 60}, 165, 11.99, 3.309},
		"busy, no fans": {Load{On: true, CPU: 1}, Environment{Inlet: 24}, [2]float64{75, 85}, 165, 11.99, 3.309},
		"hot air":       {Load{On: true, CPU: 1}, Environment{Inlet: 45, Fan: 1}, [2]float64{65, 72}, 165, 11.99, 3.309},
		"beyond":        {Load{On: true, CPU: 7}, room, [2]float64{50, 60}, 165, 11.99, 3.309},
	} {
		t.Run(name, func(t *testing.T) {
			s := after(Cold(c.env), time.Hour, time.Second, c.load, c.env)
			if s.CPU < c.cpu[0] || s.CPU > c.cpu[1] {
				t.Errorf("CPU %.1f °C, want %v", s.CPU, c.cpu)
			}
			for what, v := range map[string][2]float64{
				"power": {s.Power, c.power}, "12 V": {s.Volts12(), c.volts}, "3.3 V": {s.Volts33(c.load), c.volts33},
				"W = V·A": {s.Volts12() * s.Amps(), s.Power},
			} {
				if math.Abs(v[0]-v[1]) > 0.005*max(1, v[1]) {
					t.Errorf("%s: %.3f, want %.3f", what, v[0], v[1])
				}
			}
			if out := s.Outlet(c.env); out < c.env.Inlet || out > s.CPU+10 {
				t.Errorf("air from %.1f to %.1f °C", c.env.Inlet, out)
			}
		})
	}
}

// It does not matter in which steps time passes.
func TestSteps(t *testing.T) {
	busy := Load{On: true, CPU: 0.7}
	one := after(Cold(room), time.Minute, time.Minute, busy, room)
	many := after(Cold(room), time.Minute, 100*time.Millisecond, busy, room)
	if math.Abs(one.CPU-many.CPU) > 1e-6 || one.CPU <= room.Inlet {
		t.Errorf("%v in one step, %v in many", one, many)
	}
}

// More load heats, more fan cools, and both monotonously.
func TestDirections(t *testing.T) {
	var last float64
	for cpu := 0.0; cpu <= 1; cpu += 0.1 {
		s := after(Cold(room), time.Hour, time.Minute, Load{On: true, CPU: cpu}, room)
		if s.CPU <= last {
			t.Errorf("load %.1f: %.2f °C after %.2f", cpu, s.CPU, last)
		}
		last = s.CPU
	}
	last = math.Inf(1)
	for fan := 0.0; fan <= 1; fan += 0.1 {
		s := after(Cold(room), time.Hour, time.Minute, Load{On: true, CPU: 1}, Environment{Inlet: 24, Fan: fan})
		if s.CPU >= last {
			t.Errorf("fan %.1f: %.2f °C after %.2f", fan, s.CPU, last)
		}
		last = s.CPU
	}
}
