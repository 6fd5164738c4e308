package thermal

import "testing"

func TestValues(t *testing.T) {
	m := Moment{State: State{CPU: 50, Power: 121, Speed: 4000}, Load: Load{On: true}, Environment: Environment{Inlet: 30, Fan: 1}}
	want := map[string][2]float64{
		"cpu_temp": {50, 50}, "inlet_temp": {30, 30}, "outlet_temp": {38.6, 38.7}, "power": {121, 121}, "fan_speed": {4000, 4000}, "current": {10, 10.1},
		"volts_12": {12, 12.05}, "volts_5": {5, 5.05}, "volts_3_3": {3.3, 3.32},
	}
	for _, name := range ValueNames() {
		if v, ok := m.Value(name); !ok || v < want[name][0] || v > want[name][1] || v == 0 {
			t.Errorf("%s: %g, %v", name, v, ok)
		}
	}
	if len(ValueNames()) != len(want) {
		t.Error(ValueNames())
	}
	m.On = false
	for _, name := range []string{"volts_5", "volts_3_3", "humidity"} {
		if v, ok := m.Value(name); ok {
			t.Errorf("%s of a blade that is off: %g", name, v)
		}
	}
}
