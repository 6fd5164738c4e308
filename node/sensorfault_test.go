package node

import (
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/node/thermal"
)

// inject gives a sensor of the board a fault.
func (b *heated) inject(f SensorFault) uint32 {
	b.t.Helper()
	a, err := b.sensors.faults.Inject(f)
	if err != nil {
		b.t.Fatal(err)
	}
	return a.ID
}

// A ramp takes a sensor through its thresholds to where it goes, and back to
// what is so.
func TestSensorRamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newHeated(t, ProfileATCA, "environment: {}", "")
		b.pass(time.Second / 2)
		b.inject(SensorFault{Kind: SensorRamp, Sensor: "CPU Temp", Value: 40, To: 95, For: 11 * time.Second})
		last := 40.0
		for range 11 {
			b.pass(time.Second)
			got := b.reads("CPU Temp")
			if got <= last || got > 95 {
				t.Errorf("%g after %g", got, last)
			}
			last = got
		}
		if got := strings.Join(b.told(0), " "); got != "20+7 20+9" || last != 92.5 {
			t.Errorf("at %g: %s", last, got)
		}
		b.pass(time.Second)
		if got := b.reads("CPU Temp"); got != 95 || len(b.told(0)) != 3 {
			t.Errorf("at the end %g, %v", got, b.told(0))
		}
		b.pass(time.Second)
		if got := b.reads("CPU Temp"); got != 24 || len(b.sensors.faults.Faults()) != 0 {
			t.Errorf("afterwards %g, %v", got, b.sensors.faults.Faults())
		}
		if got := strings.Join(b.told(0), " "); got != "20+7 20+9 20+11 20-11 20-9 20-7" {
			t.Errorf("events %s", got)
		}
	})
}

func TestSensorValueFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newHeated(t, ProfileServer, "environment: {}", "")
		set := b.inject(SensorFault{Kind: SensorSet, Sensor: "0x20", Value: 80})
		b.inject(SensorFault{Kind: SensorSet, Sensor: "5V", Value: 4.5, For: 3 * time.Second})
		b.pass(time.Second)
		b.want("set", map[string][2]float64{"CPU Temp": {80, 80}, "5V": {4.5, 4.5}, "Inlet Temp": {24, 24}})
		gone := b.inject(SensorFault{Kind: SensorUnavailable, Sensor: "CPU Temp"})
		b.pass(3 * time.Second)
		b.want("the later one", map[string][2]float64{"CPU Temp": unavailable, "5V": unavailable})
		if all := b.sensors.faults.Faults(); len(all) != 2 || all[0].ID != set || all[0].Hits != 4 || all[1].ID != gone || all[1].Hits != 3 {
			t.Errorf("%+v", all)
		}
		if !b.sensors.faults.Heal(gone) || b.sensors.faults.Heal(gone) {
			t.Error("not healed once")
		}
		b.pass(time.Second)
		b.want("healed", map[string][2]float64{"CPU Temp": {80, 80}})
		if !b.sensors.faults.Heal(0) || b.sensors.faults.Heal(0) {
			t.Error("not all healed once")
		}
		b.pass(time.Second)
		b.want("all healed", map[string][2]float64{"CPU Temp": {24, 24}})
		if got := strings.Join(b.told(0), " "); got != "20+7 26+0 26+2 26+4 20-7" {
			t.Errorf("events %s", got)
		}
	})
}

func TestSensorNoise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newHeated(t, ProfileServer, "environment: {}", "")
		b.inject(SensorFault{Kind: SensorNoise, Sensor: "Inlet Temp", Value: 10})
		b.inject(SensorFault{Kind: SensorNoise, Sensor: "5V", Value: 1})
		seen := make(map[float64]bool)
		for range 50 {
			b.pass(time.Second)
			v := b.reads("Inlet Temp")
			if v < 14 || v > 34 || !math.IsNaN(b.reads("5V")) {
				t.Errorf("reads %g, and a rail that is off %g", v, b.reads("5V"))
			}
			seen[v] = true
		}
		if len(seen) < 10 {
			t.Errorf("only %v", seen)
		}
	})
}

func TestDiscreteSensorFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newHeated(t, ProfileServer, "environment: {}", "")
		b.sensors.osStarts()
		b.inject(SensorFault{Kind: SensorAssert, Sensor: "OS Stop", Offset: 1, For: 2 * time.Second})
		b.inject(SensorFault{Kind: SensorAssert, Sensor: "0x14", Offset: 3})
		b.want("asserted", map[string][2]float64{"OS Stop": {0b1010, 0b1010}})
		b.inject(SensorFault{Kind: SensorDeassert, Sensor: "OS Stop", Offset: 3})
		b.want("the later one", map[string][2]float64{"OS Stop": {0b0010, 0b0010}})
		b.pass(2 * time.Second)
		b.want("over", map[string][2]float64{"OS Stop": {0, 0}})
		b.sensors.faults.Heal(0)
		b.want("healed", map[string][2]float64{"OS Stop": {0, 0}})
		if got := strings.Join(b.told(0), " "); got != "14+1 14+3" {
			t.Errorf("events %s", got)
		}
	})
}

func TestSensorFaultsThatCannotBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newHeated(t, ProfileServer, "environment: {}", "")
		for name, c := range map[string]struct {
			fault SensorFault
			want  error
		}{
			"no kind":              {SensorFault{Sensor: "5V"}, ErrSensorFault},
			"kind":                 {SensorFault{Kind: SensorDeassert + 1, Sensor: "5V"}, ErrSensorFault},
			"no sensor":            {SensorFault{Kind: SensorSet, Sensor: "6V"}, ErrNoSensor},
			"no number":            {SensorFault{Kind: SensorSet, Sensor: "0x99"}, ErrNoSensor},
			"a number without 0x":  {SensorFault{Kind: SensorSet, Sensor: "32"}, ErrNoSensor},
			"a ramp for ever":      {SensorFault{Kind: SensorRamp, Sensor: "5V"}, ErrSensorFault},
			"too short":            {SensorFault{Kind: SensorSet, Sensor: "5V", For: time.Millisecond}, ErrSensorFault},
			"in the past":          {SensorFault{Kind: SensorSet, Sensor: "5V", For: -time.Hour}, ErrSensorFault},
			"no value":             {SensorFault{Kind: SensorSet, Sensor: "5V", Value: math.NaN()}, ErrSensorFault},
			"nowhere":              {SensorFault{Kind: SensorRamp, Sensor: "5V", To: math.Inf(1), For: time.Hour}, ErrSensorFault},
			"silence":              {SensorFault{Kind: SensorNoise, Sensor: "5V"}, ErrSensorFault},
			"a state of a value":   {SensorFault{Kind: SensorAssert, Sensor: "5V"}, ErrSensorFault},
			"a value of states":    {SensorFault{Kind: SensorUnavailable, Sensor: "Button"}, ErrSensorFault},
			"a state it has not":   {SensorFault{Kind: SensorAssert, Sensor: "Button", Offset: 7}, ErrSensorFault},
			"a state there is not": {SensorFault{Kind: SensorAssert, Sensor: "Button", Offset: 200}, ErrSensorFault},
		} {
			if a, err := b.sensors.faults.Inject(c.fault); !errors.Is(err, c.want) {
				t.Errorf("%s: %+v, %v", name, a, err)
			}
		}
		for range maxSensorFaults {
			b.inject(SensorFault{Kind: SensorSet, Sensor: "5V", Value: 5})
		}
		if _, err := b.sensors.faults.Inject(SensorFault{Kind: SensorSet, Sensor: "5V"}); !errors.Is(err, ErrSensorFault) {
			t.Errorf("one too many: %v", err)
		}
		b.set(thermal.Load{On: true})
		b.pass(time.Second)
		b.want("set", map[string][2]float64{"5V": {5, 5}})
	})
}
