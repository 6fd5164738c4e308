package mc

import (
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/sdr"
	"github.com/midplane-project/midplane/ipmb/sel"
)

// Operations of Set Sensor Reading And Event Status (IPMI 2.0 §35.17):
//
//	[7:6] event data  [5:4] assertion bits  [3:2] deassertion bits  [1:0] reading
const (
	setDataShift     = 6
	setAssertShift   = 4
	setDeassertShift = 2
	setOpMask        = 0x03

	setKeep      = 0 // of all of them
	setWrite     = 1
	setOnes      = 2 // bits: set where the mask is 1
	setZeros     = 3 // bits: clear where the mask is 0
	setAllButOne = 2 // event data: all but the offset in event data 1
)

// errNotSettable says that a status bit cannot be set by this command.
const errNotSettable ipmb.CompletionCode = 0x80

// sensorOrder is a Set Sensor Reading And Event Status request.
type sensorOrder struct {
	dataOp, assertOp, deassertOp, readingOp byte
	reading                                 byte
	assert, deassert                        uint16
	data                                    [3]byte
}

// parseOrder reads an order. What its operations use must be there.
func parseOrder(data []byte) (o sensorOrder, err error) {
	const all = 9
	op := data[0]
	o = sensorOrder{
		dataOp: op >> setDataShift, assertOp: op >> setAssertShift & setOpMask,
		deassertOp: op >> setDeassertShift & setOpMask, readingOp: op & setOpMask,
	}
	need := 1
	for _, part := range []struct {
		op  byte
		end int
	}{{o.readingOp, 2}, {o.assertOp, 4}, {o.deassertOp, 6}, {o.dataOp, all}} {
		if part.op != setKeep {
			need = part.end
		}
	}
	if len(data) < need {
		return sensorOrder{}, ipmb.ErrLength
	}
	if o.readingOp > setWrite || o.dataOp > setAllButOne {
		return sensorOrder{}, ipmb.ErrInvalidField
	}
	var b [all]byte
	copy(b[:], data)
	o.reading, o.data = b[1], [3]byte(b[6:])
	o.assert, o.deassert = masks(b[2:6])
	return o, nil
}

// setReading gives a settable sensor a reading or states in the place of its
// source's. They stand until the source says something anew: its next feed, or
// the last one when scanning is switched on again, takes the sensor back.
// A threshold sensor's event status follows its reading and cannot be set.
func (s *Sensors) setReading(n *sensor, data []byte) error {
	if n.sdr.Init&sdr.InitSettable == 0 {
		return ipmb.ErrIllegal
	}
	o, err := parseOrder(data)
	if err != nil {
		return err
	}
	if !o.settable(n) {
		return errNotSettable
	}
	return s.command(n, func(next *sensorState) ([]sel.Event, error) {
		events := next.obey(n, &o)
		for i := range events {
			o.mark(&events[i])
		}
		return events, nil
	})
}

// settable reports whether the sensor has what the order would set.
func (o *sensorOrder) settable(n *sensor) bool {
	if n.threshold() {
		return o.assertOp == setKeep && o.deassertOp == setKeep
	}
	adds := o.assertOp == setWrite || o.assertOp == setOnes
	return o.deassertOp != setZeros && !(adds && o.assert&^n.sdr.Readable != 0)
}

func (s *sensorState) obey(n *sensor, o *sensorOrder) []sel.Event {
	if o.readingOp == setWrite {
		s.known, s.reading = true, o.reading
		if n.threshold() {
			return s.read(n, o.reading)
		}
	}
	if o.assertOp == setKeep && o.deassertOp == setKeep {
		return nil
	}
	s.known = true
	return s.enter(n, o.states(s.states), plainData)
}

// states applies the order's bits to a discrete sensor's states: assertion bits
// say which it has, and deassertion bits which it has not any more.
func (o *sensorOrder) states(states uint16) uint16 {
	switch o.assertOp {
	case setWrite:
		states = o.assert
	case setOnes:
		states |= o.assert
	case setZeros:
		states &= o.assert
	}
	if o.deassertOp != setKeep {
		states &^= o.deassert
	}
	return states & discreteBits
}

// mark puts the order's event data into an event.
func (o *sensorOrder) mark(e *sel.Event) {
	switch o.dataOp {
	case setWrite:
		e.Data = o.data
	case setAllButOne:
		e.Data = [3]byte{o.data[0]&^0x0F | e.Offset(), o.data[1], o.data[2]}
	}
}
