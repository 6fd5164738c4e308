package pef

import (
	"encoding/binary"

	"github.com/midplane-project/midplane/ipmb/mc"
)

// Event is an event as its SEL record has it (IPMI 2.0 table 32-1).
type Event struct {
	ID         uint16 // of its record; 0: it was not logged
	Time       uint32 // seconds since 1970 by the SEL's clock
	Generator  uint16
	SensorType byte
	Sensor     byte
	Trigger    byte // [7] deassertion, [6:0] event type
	Data       [3]byte
}

// Parts of an event's bytes.
const (
	eventRevision  = 0x04 // IPMI 1.5 and later
	triggerDeass   = 0x80
	triggerType    = 0x7F
	offsetMask     = 0x0F
	offsetUnknown  = 0x0F // in a trap
	eventBodyLen   = 7    // from revision to event data 3
	sensorSpecific = 0x6F // event type
)

// Offset is the event's offset within its type.
func (e Event) Offset() byte { return e.Data[0] & offsetMask }

// eventOf reads a system event record; ok is false for records of other types.
func eventOf(r mc.SELEntry) (e Event, ok bool) {
	if r.Type() != mc.SELTypeSystem {
		return Event{}, false
	}
	return Event{
		ID: r.ID(), Time: binary.LittleEndian.Uint32(r[3:]), Generator: binary.LittleEndian.Uint16(r[7:]),
		SensorType: r[10], Sensor: r[11], Trigger: r[12], Data: [3]byte(r[13:]),
	}, true
}

// The event that says what PEF is about to do: a system event's offset 04h,
// with the actions in event data 2 (IPMI 2.0 table 42-3).
const (
	typeSystemEvent = 0x12
	offsetPEFAction = 0x04
	extensionInED2  = 0xC0 // event data 2 has the extension of a sensor-specific offset
	dataUnused      = 0xFF
)

// actionEvent is the body of that event.
func actionEvent(sensor byte, a Action) []byte {
	return []byte{eventRevision, typeSystemEvent, sensor, sensorSpecific, extensionInED2 | offsetPEFAction, byte(a), dataUnused}
}

// ownAction reports whether an event is PEF's own, made by the controller with
// this generator id. Filtering it would let a filter set itself off for ever.
func (e Event) ownAction(generator uint16) bool {
	return e.Generator == generator && e.SensorType == typeSystemEvent && e.Trigger == sensorSpecific && e.Offset() == offsetPEFAction
}
