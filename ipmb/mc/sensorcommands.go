package mc

import (
	"context"
	"encoding/binary"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/sdr"
	"github.com/midplane-project/midplane/ipmb/sel"
)

// Flags of Get Sensor Reading, Event Enable and Event Status (IPMI 2.0 §35.11,
// §35.13, §35.14).
const (
	sensorEvents      = 0x80
	sensorScanning    = 0x40
	sensorUnavailable = 0x20

	thresholdReserved = 0xC0 // status of a threshold sensor: returned as 11b
	discreteReserved  = 0x80 // second byte of the states: returned as 1b
)

// Commands gives the rows of the sensor commands. A sensor's are served on its
// LUN: the others answer CBh.
func (s *Sensors) Commands() []ipmb.Command {
	type do = func(*sensor, []byte) ([]byte, error)
	row := func(name string, cmd ipmb.Cmd, data ipmb.Span, ref string, f do) ipmb.Command {
		return ipmb.Command{
			Name: name, NetFn: ipmb.NetFnSensor, Cmd: cmd, Privilege: ipmb.PrivilegeUser, AnyLUN: true, Data: data, Ref: ref,
			Do: func(_ context.Context, req *ipmb.Request) ([]byte, error) {
				n, err := s.find(SensorKey{req.LUN, req.Data[0]})
				if err != nil {
					return nil, err
				}
				return f(n, req.Data[1:])
			},
		}
	}
	set := func(name string, cmd ipmb.Cmd, data ipmb.Span, ref string, f func(*sensor, []byte) error) ipmb.Command {
		c := row(name, cmd, data, ref, func(n *sensor, data []byte) ([]byte, error) { return nil, f(n, data) })
		c.Privilege, c.Effect = ipmb.PrivilegeOperator, true
		return c
	}
	one := ipmb.Exactly(1)
	return []ipmb.Command{
		row("Get Sensor Reading Factors", 0x23, ipmb.Exactly(2), "IPMI 2.0 §35.5", (*sensor).factors),
		set("Set Sensor Hysteresis", cmdSetHysteresis, ipmb.Exactly(4), "IPMI 2.0 §35.6", s.setHysteresis),
		row("Get Sensor Hysteresis", 0x25, ipmb.Between(1, 2), "IPMI 2.0 §35.7", (*sensor).hysteresis),
		set("Set Sensor Thresholds", cmdSetThresholds, ipmb.Exactly(2+thresholdCount), "IPMI 2.0 §35.8", s.setThresholds),
		row("Get Sensor Thresholds", 0x27, one, "IPMI 2.0 §35.9", (*sensor).thresholds),
		set("Set Sensor Event Enable", cmdSetEventEnable, ipmb.Between(2, 6), "IPMI 2.0 §35.10", s.setEnables),
		row("Get Sensor Event Enable", 0x29, one, "IPMI 2.0 §35.11", (*sensor).enables),
		set("Re-arm Sensor Events", 0x2A, ipmb.Between(2, 6), "IPMI 2.0 §35.12", s.rearm),
		row("Get Sensor Event Status", 0x2B, one, "IPMI 2.0 §35.13", (*sensor).eventStatus),
		row("Get Sensor Reading", 0x2D, one, "IPMI 2.0 §35.14", (*sensor).read),
		set("Set Sensor Type", cmdSetSensorType, ipmb.Exactly(3), "IPMI 2.0 §35.15", s.setType),
		row("Get Sensor Type", 0x2F, one, "IPMI 2.0 §35.16", (*sensor).kind),
		set("Set Sensor Reading And Event Status", 0x30, ipmb.Between(2, 10), "IPMI 2.0 §35.17", s.setReading),
	}
}

// factors answers for one reading with the factors of all: there are no
// sensors whose factors differ, and so the next reading is the one asked for.
func (n *sensor) factors(data []byte) ([]byte, error) {
	if n.full == nil || n.sdr.Units.Format == sdr.AnalogNone {
		return nil, ipmb.ErrIllegal
	}
	return n.full.Factors.AppendReadingFactors([]byte{data[0]}), nil
}

func (n *sensor) hysteresis([]byte) ([]byte, error) {
	if c := n.sdr.Capabilities.Hysteresis; c != sdr.AccessRead && c != sdr.AccessSet {
		return nil, ipmb.ErrIllegal
	}
	s := n.state.Load()
	return []byte{s.hystUp, s.hystDown}, nil
}

// thresholds gives those that the record says are readable, and 0 for others.
func (n *sensor) thresholds([]byte) ([]byte, error) {
	if c := n.sdr.Capabilities.Thresholds; !n.threshold() || c != sdr.AccessRead && c != sdr.AccessSet {
		return nil, ipmb.ErrIllegal
	}
	s, readable := n.state.Load(), byte(n.sdr.Readable&thresholdMask)
	out := make([]byte, 1, 1+thresholdCount)
	out[0] = readable
	for i, t := range s.thresholds {
		if readable>>i&1 == 0 {
			t = 0
		}
		out = append(out, t)
	}
	return out, nil
}

func (n *sensor) enables([]byte) ([]byte, error) {
	s := n.state.Load()
	out := []byte{s.flags() &^ sensorUnavailable}
	if n.sdr.Capabilities.Events != sdr.ControlPerState {
		return out, nil
	}
	return appendMasks(out, s.assert, s.deassert), nil
}

func (n *sensor) eventStatus([]byte) ([]byte, error) {
	s := n.state.Load()
	return appendMasks([]byte{s.flags()}, s.asserted, s.deasserted), nil
}

func (n *sensor) read([]byte) ([]byte, error) {
	s := n.state.Load()
	out := append(make([]byte, 0, 4), s.reading, s.flags())
	if n.threshold() {
		return append(out, thresholdReserved|byte(s.states&n.returned())), nil
	}
	return append(out, byte(s.states), discreteReserved|byte(s.states>>8)), nil
}

func (n *sensor) kind([]byte) ([]byte, error) {
	s := n.state.Load()
	return []byte{byte(s.kind), byte(s.eventType)}, nil
}

func (s *sensorState) flags() (f byte) {
	if s.events {
		f |= sensorEvents
	}
	if s.scanning {
		f |= sensorScanning
	}
	if !s.known {
		f |= sensorUnavailable
	}
	return f
}

func appendMasks(b []byte, assert, deassert uint16) []byte {
	return binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, assert), deassert)
}

// masks reads an assertion and a deassertion mask, of which the end may be left out.
func masks(data []byte) (assert, deassert uint16) {
	var b [4]byte
	copy(b[:], data)
	return binary.LittleEndian.Uint16(b[:]), binary.LittleEndian.Uint16(b[2:])
}

func (s *Sensors) setHysteresis(n *sensor, data []byte) error {
	if n.sdr.Capabilities.Hysteresis != sdr.AccessSet {
		return ipmb.ErrIllegal
	}
	return s.command(n, func(next *sensorState) ([]sel.Event, error) {
		next.hystUp, next.hystDown = data[1], data[2]
		return next.compare(n), nil
	})
}

// setThresholds sets those that the mask names. Their order among each other is
// not checked: clients set them one by one.
func (s *Sensors) setThresholds(n *sensor, data []byte) error {
	if !n.threshold() || n.sdr.Capabilities.Thresholds != sdr.AccessSet {
		return ipmb.ErrIllegal
	}
	mask, values := data[0], data[1:]
	if mask&^byte(n.sdr.Readable>>8&thresholdMask) != 0 {
		return ipmb.ErrInvalidField
	}
	return s.command(n, func(next *sensorState) ([]sel.Event, error) {
		for i := range thresholdCount {
			if mask>>i&1 != 0 {
				next.thresholds[i] = values[i]
			}
		}
		return next.compare(n), nil
	})
}

// compare looks at the reading again, after the thresholds have changed.
func (s *sensorState) compare(n *sensor) []sel.Event {
	if !n.threshold() || !s.known {
		return nil
	}
	return s.read(n, s.reading)
}

// setType takes a type of the same class: a sensor with thresholds has no states.
func (s *Sensors) setType(n *sensor, data []byte) error {
	kind, eventType := sel.SensorType(data[0]), sel.EventType(data[1])
	switch {
	case n.sdr.Init&sdr.InitType == 0:
		return ipmb.ErrIllegal
	case kind == 0 || eventType == 0 || eventType > sel.EventMax || n.threshold() != (eventType == sel.EventThreshold):
		return ipmb.ErrInvalidField
	}
	return s.command(n, func(next *sensorState) ([]sel.Event, error) {
		next.kind, next.eventType = kind, eventType
		return nil, nil
	})
}
