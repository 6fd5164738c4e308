package node

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sel"
)

// SensorFaultKind is one way for a sensor to say what is not so.
type SensorFaultKind uint8

// What sensors with thresholds and, from SensorAssert on, discrete ones do wrong.
const (
	SensorSet         SensorFaultKind = iota + 1 // it reads a value
	SensorRamp                                   // it goes from one value to another
	SensorNoise                                  // it reads somewhere around what is so
	SensorUnavailable                            // it does not read
	SensorAssert                                 // it has a state
	SensorDeassert                               // it does not have a state
)

var sensorFaultNames = [...]string{
	SensorSet: "set", SensorRamp: "ramp", SensorNoise: "noise", SensorUnavailable: "unavailable",
	SensorAssert: "assert", SensorDeassert: "deassert",
}

func (k SensorFaultKind) String() string {
	if k > 0 && int(k) < len(sensorFaultNames) {
		return sensorFaultNames[k]
	}
	return fmt.Sprintf("sensor fault(%d)", uint8(k))
}

// discrete reports whether the fault is one of discrete sensors.
func (k SensorFaultKind) discrete() bool { return k >= SensorAssert }

// Errors of sensor faults.
var (
	ErrSensorFault = errors.New("no such sensor fault")
	ErrNoSensor    = errors.New("no such sensor")
)

// maxSensorFaults bounds the faults of a node's sensors at once.
const maxSensorFaults = 64

// SensorFault makes a sensor say what is not so: its thresholds and events act
// on that as on the truth.
type SensorFault struct {
	Kind   SensorFaultKind
	Sensor string        // the name in its record, or 0x and its number
	Value  float64       // of SensorSet; SensorRamp: from; SensorNoise: how far at most
	To     float64       // of SensorRamp
	Offset uint8         // of SensorAssert and SensorDeassert
	For    time.Duration // how long; 0: until it is healed
}

func (f SensorFault) check() error {
	for _, v := range []float64{f.Value, f.To} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%w: %g is no value", ErrSensorFault, v)
		}
	}
	switch {
	case f.Kind < SensorSet || f.Kind > SensorDeassert:
		return fmt.Errorf("%w: kind %d", ErrSensorFault, f.Kind)
	case f.For != 0 && f.For < climateEvery:
		return fmt.Errorf("%w: sensors are read every %s, which is as short as one lasts", ErrSensorFault, climateEvery)
	case f.Kind == SensorRamp && f.For == 0:
		return fmt.Errorf("%w: a ramp needs a time to go", ErrSensorFault)
	case f.Kind == SensorNoise && f.Value <= 0:
		return fmt.Errorf("%w: noise needs an amplitude above 0", ErrSensorFault)
	}
	return nil
}

// ActiveSensorFault is a fault that a sensor has.
type ActiveSensorFault struct {
	ID uint32
	SensorFault
	Until time.Time // zero: until it is healed
	Hits  int       // readings spoiled so far

	key   mc.SensorKey
	since time.Time
	last  bool // a ramp has read its last value
}

// SensorFaults are the faults of a node's sensors, between what is measured and
// the sensors. Later ones come over earlier ones.
type SensorFaults struct {
	sensors *sensors
	number  func() uint32 // gives faults their ids
	log     *slog.Logger

	mu  sync.Mutex
	all []*ActiveSensorFault
}

// Inject gives a sensor a fault. ErrSensorFault, ErrNoSensor.
func (f *SensorFaults) Inject(fault SensorFault) (ActiveSensorFault, error) {
	if err := fault.check(); err != nil {
		return ActiveSensorFault{}, err
	}
	key, r, err := f.sensors.named(fault.Sensor)
	if err != nil {
		return ActiveSensorFault{}, err
	}
	switch threshold := r.EventType == sel.EventThreshold; {
	case threshold && fault.Kind.discrete():
		return ActiveSensorFault{}, fmt.Errorf("%w: %s has no states to %s, but a value", ErrSensorFault, fault.Sensor, fault.Kind)
	case !threshold && !fault.Kind.discrete():
		return ActiveSensorFault{}, fmt.Errorf("%w: %s has no value to %s, but states", ErrSensorFault, fault.Sensor, fault.Kind)
	case !threshold && (fault.Offset > 14 || r.Readable>>fault.Offset&1 == 0):
		return ActiveSensorFault{}, fmt.Errorf("%w: %s has no state %d", ErrSensorFault, fault.Sensor, fault.Offset)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.all) >= maxSensorFaults {
		return ActiveSensorFault{}, fmt.Errorf("%w: there are %d already", ErrSensorFault, maxSensorFaults)
	}
	a := &ActiveSensorFault{ID: f.number(), SensorFault: fault, key: key, since: time.Now()}
	if fault.For > 0 {
		a.Until = a.since.Add(fault.For)
	}
	f.all = append(f.all, a)
	f.log.Info("sensor fault injected", "id", a.ID, "sensor", fault.Sensor, "kind", fault.Kind.String())
	if fault.Kind.discrete() {
		a.Hits++
		f.force(key)
	}
	return *a, nil
}

// Heal takes a fault away and reports whether there was one; 0 takes all.
func (f *SensorFaults) Heal(id uint32) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.remove(func(a *ActiveSensorFault) bool { return id == 0 || a.ID == id })
}

// Faults lists the faults that sensors have.
func (f *SensorFaults) Faults() (out []ActiveSensorFault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.all {
		out = append(out, *a)
	}
	return out
}

func (f *SensorFaults) remove(which func(*ActiveSensorFault) bool) bool {
	var gone []*ActiveSensorFault
	f.all = slices.DeleteFunc(f.all, func(a *ActiveSensorFault) bool {
		if !which(a) {
			return false
		}
		gone = append(gone, a)
		return true
	})
	for _, a := range gone {
		f.log.Info("sensor fault healed", "id", a.ID, "sensor", a.Sensor)
		if a.Kind.discrete() {
			f.force(a.key)
		}
	}
	return len(gone) > 0
}

// force makes a discrete sensor have the states that its faults leave it.
func (f *SensorFaults) force(k mc.SensorKey) {
	var set, clear uint16
	for _, a := range f.all {
		bit := uint16(1) << a.Offset
		switch {
		case a.key != k:
		case a.Kind == SensorAssert:
			set, clear = set|bit, clear&^bit
		default:
			set, clear = set&^bit, clear|bit
		}
	}
	f.sensors.note(f.sensors.Force(k, set, clear))
}

// faultyGauge is a gauge with the faults of its sensors.
type faultyGauge struct {
	mc.Rounds
	faults *SensorFaults
	now    time.Time
}

// Round implements mc.Rounds. It ends the faults whose time is over.
func (g *faultyGauge) Round(now time.Time) {
	g.Rounds.Round(now)
	g.now = now
	g.faults.mu.Lock()
	defer g.faults.mu.Unlock()
	g.faults.remove(func(a *ActiveSensorFault) bool {
		over := !a.Until.IsZero() && !now.Before(a.Until)
		return over && (a.Kind != SensorRamp || a.last) // a ramp gets where it goes
	})
}

// Value implements mc.Gauge.
func (g *faultyGauge) Value(k mc.SensorKey) (value float64, ok bool) {
	value, ok = g.Rounds.Value(k)
	g.faults.mu.Lock()
	defer g.faults.mu.Unlock()
	for _, a := range g.faults.all {
		if a.key == k {
			value, ok = a.spoil(g.now, value, ok)
		}
	}
	return value, ok
}

// spoil gives what the sensor reads in place of a value.
func (a *ActiveSensorFault) spoil(now time.Time, value float64, ok bool) (float64, bool) {
	a.Hits++
	switch a.Kind {
	case SensorSet:
		return a.Value, true
	case SensorRamp:
		way := min(float64(now.Sub(a.since))/float64(a.For), 1)
		a.last = way == 1
		return a.Value + (a.To-a.Value)*way, true
	case SensorNoise:
		return value + a.Value*(2*rand.Float64()-1), ok
	}
	return 0, false
}
