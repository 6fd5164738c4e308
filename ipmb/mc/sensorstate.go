package mc

import (
	"math/bits"

	"github.com/midplane-project/midplane/ipmb/sdr"
	"github.com/midplane-project/midplane/ipmb/sel"
)

// sensorState is everything about a sensor that changes.
type sensorState struct {
	sensorSettings
	known      bool   // there is a reading or a state
	reading    uint8  // raw
	states     uint16 // discrete: the states; threshold: the thresholds that the reading is beyond
	asserted   uint16 // event status, by event offset
	deasserted uint16
}

// The number of thresholds, and the first of them that is an upper one. They
// stand in the order of the commands (IPMI 2.0 §35.8), which is that of the
// status bits of Get Sensor Reading:
//
//	lower non-critical, critical, non-recoverable; upper non-critical, critical, non-recoverable
//
// Threshold i has the event offsets 2i, going low, and 2i+1, going high.
const (
	thresholdCount = 6
	firstUpper     = 3
	thresholdMask  = 1<<thresholdCount - 1
	lowerThreshold = 1<<firstUpper - 1
	thresholdBits  = 0x0FFF // event offsets of a threshold sensor
	discreteBits   = 0x7FFF
	compareShift   = 12 // of the comparison bits in a record's event masks
)

// edge is an event offset whose condition came or went.
type edge struct {
	offset uint8
	gone   bool
}

// offsets are the event offsets that a sensor may have.
func (n *sensor) offsets() uint16 {
	if n.threshold() {
		return thresholdBits
	}
	return discreteBits
}

// compared are the thresholds that the sensor compares its reading with: those
// of which it returns the comparison, and those of which it makes events.
func (n *sensor) compared() (mask uint16) {
	mask = n.returned()
	for i := range thresholdCount {
		if (n.sdr.Assert|n.sdr.Deassert)>>(2*i)&0x03 != 0 {
			mask |= 1 << i
		}
	}
	return mask
}

// returned are the thresholds of which Get Sensor Reading tells the comparison.
func (n *sensor) returned() uint16 {
	return n.sdr.Assert>>compareShift&lowerThreshold | n.sdr.Deassert>>compareShift&lowerThreshold<<firstUpper
}

// beyond gives the thresholds that a reading is beyond, when it was beyond
// those of was before. A lower one is reached by a reading at or below it and
// left by one above it plus the negative-going hysteresis; an upper one is
// reached at or above, and left below it less the positive-going hysteresis.
// Raw readings are compared, as numbers of the sensor's format.
func (s *sensorSettings) beyond(was uint16, reading uint8, format sdr.Analog) (now uint16) {
	x := format.Number(reading)
	for i := range thresholdCount {
		over := x - format.Number(s.thresholds[i]) // how far it is on the good side
		margin := int(s.hystDown)
		if i >= firstUpper {
			over, margin = -over, int(s.hystUp)
		}
		if over <= 0 || was>>i&1 != 0 && over <= margin {
			now |= 1 << i
		}
	}
	return now
}

// conditions gives the event offsets that hold with these states: a discrete
// sensor's states themselves. Of a threshold, "going low" holds while the
// reading is on its low side, and "going high" while it is on its high side.
func (n *sensor) conditions(states uint16) (offsets uint16) {
	if !n.threshold() {
		return states
	}
	for i := range thresholdCount {
		low := (states>>i&1 != 0) == (i < firstUpper)
		if low {
			offsets |= 1 << (2 * i)
		} else {
			offsets |= 2 << (2 * i)
		}
	}
	return offsets
}

// follow takes the event status from conditions to those that hold now, and
// gives the edges that are events: the sensor has them, they are enabled, and
// the sensor is armed for them. A sensor that does not re-arm itself is armed
// for an event until it has happened.
func (s *sensorState) follow(was, now uint16, r *sdr.Sensor) (events []edge) {
	auto := r.Capabilities.AutoRearm
	gone, come := was&^now&r.Deassert, now&^was&r.Assert
	if auto {
		s.asserted &^= was &^ now
		s.deasserted &^= now &^ was
	}
	fresh := edges(gone&^s.deasserted&s.deassert, come&^s.asserted&s.assert)
	s.deasserted |= gone
	s.asserted |= come
	if !s.events || !s.scanning {
		return nil
	}
	return fresh
}

// edges lists what went, the highest offset first, and then what came, so that
// a reading that leaves several thresholds tells of them in the order of the way.
func edges(gone, come uint16) (list []edge) {
	for gone != 0 {
		top := uint8(bits.Len16(gone) - 1)
		list = append(list, edge{top, true})
		gone &^= 1 << top
	}
	for come != 0 {
		list = append(list, edge{uint8(bits.TrailingZeros16(come)), false})
		come &= come - 1
	}
	return list
}

// enter takes the sensor to other states and gives the events of that. data
// makes event data 2 and 3 of an offset.
func (s *sensorState) enter(n *sensor, states uint16, data func(offset uint8) [3]byte) []sel.Event {
	was := n.conditions(s.states)
	s.states = states
	return s.told(n, s.follow(was, n.conditions(states), n.sdr), data)
}

// told makes events of edges.
func (s *sensorState) told(n *sensor, list []edge, data func(offset uint8) [3]byte) (events []sel.Event) {
	for _, e := range list {
		events = append(events, sel.Event{
			Revision: sel.Revision, Sensor: s.kind, Number: n.key.Number, Deassert: e.gone, Type: s.eventType,
			Data: data(e.offset),
		})
	}
	return events
}

// read takes a reading of a threshold sensor. Its events carry the reading and
// the threshold (IPMI 2.0 §29.7).
func (s *sensorState) read(n *sensor, reading uint8) []sel.Event {
	s.reading, s.known = reading, true
	return s.enter(n, s.beyond(s.states, reading, n.sdr.Units.Format)&n.compared(), s.trigger)
}

// trigger is the event data of a threshold event.
func (s *sensorState) trigger(offset uint8) [3]byte {
	return [3]byte{sel.EventData1(offset, sel.UseReading, sel.UseReading), s.reading, s.thresholds[offset/2]}
}
