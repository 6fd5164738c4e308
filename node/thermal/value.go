package thermal

import (
	"maps"
	"slices"
)

// Moment is a blade at one moment, with what acts on it.
type Moment struct {
	State
	Load
	Environment
}

// values are what can be measured at a blade; ok is false for a rail that is off.
var values = map[string]func(Moment) (value float64, ok bool){
	"cpu_temp":    func(m Moment) (float64, bool) { return m.State.CPU, true },
	"inlet_temp":  func(m Moment) (float64, bool) { return m.Inlet, true },
	"outlet_temp": func(m Moment) (float64, bool) { return m.Outlet(m.Environment), true },
	"fan_speed":   func(m Moment) (float64, bool) { return m.Speed, true },
	"power":       func(m Moment) (float64, bool) { return m.Power, true },
	"current":     func(m Moment) (float64, bool) { return m.Amps(), true },
	"volts_12":    func(m Moment) (float64, bool) { return m.Volts12(), true },
	"volts_5":     func(m Moment) (float64, bool) { return m.Volts5(m.Load), m.On },
	"volts_3_3":   func(m Moment) (float64, bool) { return m.Volts33(m.Load), m.On },
}

// ValueNames are the names of what can be measured at a blade, in order.
func ValueNames() []string { return slices.Sorted(maps.Keys(values)) }

// Value measures what is called name: °C, rpm, W, A or V. ok is false for what is
// not there at this moment, or never.
func (m Moment) Value(name string) (value float64, ok bool) {
	if f := values[name]; f != nil {
		return f(m)
	}
	return 0, false
}
