package sdr

import "github.com/midplane-project/midplane/ipmb/sel"

// Sharing lets one record stand for several like sensors:
//
//	[7:6] direction [5:4] id string modifier [3:0] count  [7] instances differ [6:0] modifier's offset
type Sharing struct {
	Direction uint8
	Modifier  uint8 // 0 numbers, 1 letters behind the name
	Count     uint8
	Instances bool
	Offset    uint8
}

const (
	sharingLen     = 2
	directionShift = 6
	twoBits        = 0x03
)

func (s Sharing) append(b []byte) []byte {
	second := s.Offset & instanceMask
	if s.Instances {
		second |= logicalBit
	}
	return append(b, s.Direction<<directionShift|s.Modifier&twoBits<<highShift|s.Count&nibble, second)
}

func parseSharing(b []byte) Sharing {
	return Sharing{
		Direction: b[0] >> directionShift, Modifier: b[0] >> highShift & twoBits, Count: b[0] & nibble,
		Instances: b[1]&logicalBit != 0, Offset: b[1] & instanceMask,
	}
}

// Compact is a compact sensor record, type 02h.
type Compact struct {
	Sensor
	Sharing  Sharing
	HystUp   uint8 // positive-going hysteresis
	HystDown uint8
	OEM      uint8
	Name     string
}

const compactLen = 27 // from the owner to the type/length byte

// Type is TypeCompact.
func (*Compact) Type() Type { return TypeCompact }

func (c *Compact) append(b []byte) ([]byte, error) {
	b = c.Sharing.append(c.Sensor.append(b))
	return appendID(append(b, c.HystUp, c.HystDown, 0, 0, 0, c.OEM), c.Name)
}

func parseCompact(b []byte) (Body, error) {
	if len(b) < compactLen {
		return nil, ErrShort
	}
	name, err := parseID(b[compactLen-1:])
	if err != nil {
		return nil, err
	}
	a := b[sensorLen+sharingLen:]
	return &Compact{
		Sensor: parseSensor(b), Sharing: parseSharing(b[sensorLen:]),
		HystUp: a[0], HystDown: a[1], OEM: a[5], Name: name,
	}, nil
}

// EventOnly is an event-only sensor record, type 03h: a sensor that cannot be read.
type EventOnly struct {
	Key
	Entity    Entity
	Kind      sel.SensorType
	EventType sel.EventType
	Sharing   Sharing
	OEM       uint8
	Name      string
}

const eventOnlyLen = 12 // from the owner to the type/length byte

// Type is TypeEventOnly.
func (*EventOnly) Type() Type { return TypeEventOnly }

func (e *EventOnly) append(b []byte) ([]byte, error) {
	b = e.Entity.append(e.Key.append(b))
	b = e.Sharing.append(append(b, byte(e.Kind), byte(e.EventType)))
	return appendID(append(b, 0, e.OEM), e.Name)
}

func parseEventOnly(b []byte) (Body, error) {
	if len(b) < eventOnlyLen {
		return nil, ErrShort
	}
	name, err := parseID(b[eventOnlyLen-1:])
	if err != nil {
		return nil, err
	}
	a := b[keyLen+entityLen:]
	return &EventOnly{
		Key: parseKey(b), Entity: parseEntity(b[keyLen:]),
		Kind: sel.SensorType(a[0]), EventType: sel.EventType(a[1]),
		Sharing: parseSharing(a[2:]), OEM: a[5], Name: name,
	}, nil
}
