package mc

import (
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/sdr"
	"github.com/midplane-project/midplane/ipmb/sel"
)

// What Set Sensor Event Enable does with the single events (IPMI 2.0 §35.10).
const (
	enableOpShift   = 4
	enableOpMask    = 0x03
	enableKeep      = 0
	enableSelected  = 1
	disableSelected = 2

	rearmSelected = 0x80 // Re-arm Sensor Events: by masks, else all
)

// setEnables switches scanning, and events as far as the record lets one:
// each, all together, or not for this sensor alone.
func (s *Sensors) setEnables(n *sensor, data []byte) error {
	flags, op := data[0], data[0]>>enableOpShift&enableOpMask
	assert, deassert := masks(data[1:])
	control := n.sdr.Capabilities.Events
	switch {
	case op != enableKeep && control != sdr.ControlPerState:
		return ipmb.ErrIllegal
	case op > disableSelected:
		return ipmb.ErrInvalidField
	case op != enableKeep && (assert&^(n.sdr.Assert&n.offsets()) != 0 || deassert&^(n.sdr.Deassert&n.offsets()) != 0):
		return ipmb.ErrInvalidField
	}
	return s.command(n, func(next *sensorState) ([]sel.Event, error) {
		if control == sdr.ControlPerState || control == sdr.ControlSensor {
			next.events = flags&sensorEvents != 0
		}
		switch op {
		case enableSelected:
			next.assert, next.deassert = next.assert|assert, next.deassert|deassert
		case disableSelected:
			next.assert, next.deassert = next.assert&^assert, next.deassert&^deassert
		}
		return next.scan(n, flags&sensorScanning != 0), nil
	})
}

// scan switches scanning. Whoever begins to scan hears what the source said last.
func (s *sensorState) scan(n *sensor, on bool) []sel.Event {
	begins := on && !s.scanning
	s.scanning = on
	if !begins {
		return nil
	}
	return s.listen(n, plainData)
}

// rearm forgets that events have happened. Those whose condition still holds
// happen again.
func (s *Sensors) rearm(n *sensor, data []byte) error {
	assert, deassert := uint16(discreteBits), uint16(discreteBits)
	if data[0]&rearmSelected != 0 {
		assert, deassert = masks(data[1:])
	}
	return s.command(n, func(next *sensorState) ([]sel.Event, error) {
		forgotten := next.asserted & assert
		next.asserted &^= forgotten
		next.deasserted &^= deassert
		holds := n.conditions(next.states)
		again := next.follow(holds&^forgotten, holds, n.sdr)
		if n.threshold() {
			return next.told(n, again, next.trigger), nil
		}
		return next.told(n, again, plainData), nil
	})
}
