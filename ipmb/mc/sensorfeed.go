package mc

import (
	"context"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/sel"
)

// NoData is event data 2 or 3 of a state that has none.
const NoData = 0xFF

// Update feeds a threshold sensor with a value in its unit. One that no
// reading stands for, such as NaN, makes it unavailable.
//
// When a feed returns, its events are taken by the sink; or next in line, if
// the sink is at work just then, perhaps as the very caller.
func (s *Sensors) Update(k SensorKey, value float64) error {
	return s.feed(k, func(n *sensor, next *sensorState) ([]sel.Event, error) {
		if !n.threshold() {
			return nil, ipmb.ErrIllegal
		}
		reading, ok := n.full.Factors.Reading(value, n.sdr.Units.Format)
		n.source = sensorSource{fed: true, known: ok, reading: reading}
		return next.listen(n, nil), nil
	})
}

// Assert makes a discrete sensor have a state, Deassert not have it any more.
func (s *Sensors) Assert(k SensorKey, offset, data2, data3 uint8) error {
	return s.feedStates(k, offset, data2, data3, func(states, bit uint16) uint16 { return states | bit })
}

// Deassert takes a state from a discrete sensor.
func (s *Sensors) Deassert(k SensorKey, offset, data2, data3 uint8) error {
	return s.feedStates(k, offset, data2, data3, func(states, bit uint16) uint16 { return states &^ bit })
}

// Enter makes a discrete sensor have this state and no other.
func (s *Sensors) Enter(k SensorKey, offset, data2, data3 uint8) error {
	return s.feedStates(k, offset, data2, data3, func(_, bit uint16) uint16 { return bit })
}

// Pulse tells a discrete sensor of something that happens and is over, such as
// the press of a button.
func (s *Sensors) Pulse(k SensorKey, offset, data2, data3 uint8) error {
	set := func(states, bit uint16) uint16 { return states | bit }
	clear := func(states, bit uint16) uint16 { return states &^ bit }
	return s.feedStates(k, offset, data2, data3, set, clear)
}

// Begin says which states a discrete sensor has to begin with. That something
// is as it was is no event.
func (s *Sensors) Begin(k SensorKey, offsets ...uint8) error {
	return s.feed(k, func(n *sensor, next *sensorState) ([]sel.Event, error) {
		var states uint16
		for _, o := range offsets {
			if !n.hasState(o) {
				return nil, ipmb.ErrIllegal
			}
			states |= 1 << o
		}
		n.source = sensorSource{fed: true, known: true, reading: n.source.reading, states: states}
		if next.scanning {
			next.known, next.states, next.reading = true, n.force.over(states), n.source.reading
			next.asserted = next.states & n.sdr.Assert
		}
		return nil, nil
	})
}

// SetByte says which reading byte a discrete sensor has beside its states from
// its next state on: 0 unless its type has a use for it, as PICMG's have.
func (s *Sensors) SetByte(k SensorKey, reading uint8) error {
	return s.feed(k, func(n *sensor, _ *sensorState) ([]sel.Event, error) {
		if n.threshold() {
			return nil, ipmb.ErrIllegal
		}
		n.source.reading = reading
		return nil, nil
	})
}

// States gives the states that a discrete sensor has, or the thresholds, lower
// ones first, that a threshold sensor's reading is beyond; none while it is
// unavailable.
func (s *Sensors) States(k SensorKey) uint16 {
	n := s.sensors[k]
	if n == nil {
		return 0
	}
	if now := n.state.Load(); now.known {
		return now.states
	}
	return 0
}

// SetUnavailable says that a sensor's source knows nothing at present. The
// sensor's event status stays, so that what is the same afterwards is no event.
func (s *Sensors) SetUnavailable(k SensorKey) error {
	return s.feed(k, func(n *sensor, next *sensorState) ([]sel.Event, error) {
		n.source.fed, n.source.known = true, false
		return next.listen(n, nil), nil
	})
}

// EventEnabled reports whether a sensor makes an event of a state's coming, for
// a source that reports its events itself.
func (s *Sensors) EventEnabled(k SensorKey, offset uint8) bool {
	n := s.sensors[k]
	if n == nil {
		return false
	}
	now := n.state.Load()
	return now.events && now.scanning && now.assert>>offset&1 != 0
}

// hasState reports whether a discrete sensor can have a state.
func (n *sensor) hasState(offset uint8) bool {
	return !n.threshold() && offset < 15 && n.sdr.Readable>>offset&1 != 0
}

// feedStates takes a discrete sensor through steps that change one state.
func (s *Sensors) feedStates(k SensorKey, offset, data2, data3 uint8, steps ...func(states, bit uint16) uint16) error {
	return s.feed(k, func(n *sensor, next *sensorState) (events []sel.Event, err error) {
		if !n.hasState(offset) {
			return nil, ipmb.ErrIllegal
		}
		for _, step := range steps {
			n.source = sensorSource{fed: true, known: true, reading: n.source.reading, states: step(n.source.states, 1<<offset)}
			events = append(events, next.listen(n, stateData(next.kind, offset, data2, data3))...)
		}
		return events, nil
	})
}

// listen takes what the sensor's source said last, unless scanning is off.
// data makes the event data of a discrete sensor; nil: there are none.
func (s *sensorState) listen(n *sensor, data func(offset uint8) [3]byte) []sel.Event {
	switch {
	case !s.scanning || !n.source.fed && !n.force.some():
		return nil
	case !n.source.known && !n.force.some():
		s.known = false
		return nil
	case n.threshold():
		return s.read(n, n.source.reading)
	}
	s.known, s.reading = true, n.source.reading
	return s.enter(n, n.force.over(n.source.states), data)
}

// plainData is the event data of a state that has none but its offset.
func plainData(offset uint8) [3]byte {
	return [3]byte{sel.EventData1(offset, sel.UseNone, sel.UseNone), NoData, NoData}
}

// stateData gives one offset event data 2 and 3: a standard sensor type has
// extension codes there (IPMI 2.0 table 42-3), an OEM one, as PICMG's, its own.
func stateData(kind sel.SensorType, offset, data2, data3 uint8) func(uint8) [3]byte {
	use := func(data uint8) sel.DataUse {
		switch {
		case kind == sel.SensorIPMBLink: // its data are always there, and FFh is a status
			return sel.UseOEM
		case data == NoData:
			return sel.UseNone
		case kind >= sel.SensorOEM:
			return sel.UseOEM
		}
		return sel.UseExtension
	}
	return func(o uint8) [3]byte {
		if o != offset {
			return plainData(o)
		}
		return [3]byte{sel.EventData1(o, use(data2), use(data3)), data2, data3}
	}
}

// Gauge is where threshold sensors have their values from: a thermal model, a
// fan. ok is false while there is no value.
type Gauge interface {
	Value(k SensorKey) (value float64, ok bool)
}

// Rounds is a gauge that is told when a round of readings begins.
type Rounds interface {
	Gauge
	Round(now time.Time)
}

// sample feeds sensors from a gauge once.
func (s *Sensors) sample(g Gauge, keys []SensorKey) error {
	for _, k := range keys {
		var err error
		if value, ok := g.Value(k); ok {
			err = s.Update(k, value)
		} else {
			err = s.SetUnavailable(k)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Scan feeds sensors from a gauge, at once and after each period, until ctx
// ends; its error is that of a sensor that cannot be fed so.
func (s *Sensors) Scan(ctx context.Context, g Gauge, period time.Duration, keys ...SensorKey) error {
	tick := time.NewTicker(period)
	defer tick.Stop()
	rounds, _ := g.(Rounds)
	for {
		if rounds != nil {
			rounds.Round(time.Now())
		}
		if err := s.sample(g, keys); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
