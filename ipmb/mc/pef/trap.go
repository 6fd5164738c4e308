package pef

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// Source is who traps come from.
type Source struct {
	Addr         ipmb.Addr
	Manufacturer uint32
	Product      uint16
	GUID         mc.GUID // of the system
	// Entity gives the entity id and instance of a sensor by its owner, zeros
	// where nothing says what it belongs to.
	Entity func(generator uint16, sensor byte) (id, instance byte)
}

// generator is the generator id of the controller's own events.
func (s *Source) generator() uint16 { return uint16(s.Addr) }

// trap is a platform event trap (IPMI Platform Event Trap Format 1.0).
type trap struct {
	guid     [16]byte
	sequence uint16
	event    Event
	severity Severity
	source   *Source
	text     string
}

// Values of a trap's variable.
const (
	epoch1998         = 883612800 // 1 January 1998, from where traps count seconds
	offsetUnspecified = 0xFFFF    // from UTC: software may have set the SEL's clock to any zone
	languageAny       = 0xFF
	eventDataPad      = 5 // bytes of event data after the three of an event
	customASCII       = 0xC0
	customEnd         = 0xC1
	customMax         = 62 // characters: with length and end the fields have 64 bytes
)

// Source types of traps and events.
const (
	sourceFirmware = 0x00 // BIOS
	sourceSMI      = 0x08
	sourceSoftware = 0x10
	sourceIPMI     = 0x20
)

// sourceType gives the source type of an event by the software id in its
// generator id (IPMI 2.0 table 5-4), or that of a controller.
func (e Event) sourceType() byte {
	id := byte(e.Generator) >> 1
	switch {
	case e.Generator&1 == 0:
		return sourceIPMI
	case id < 0x10:
		return sourceFirmware
	case id < 0x20:
		return sourceSMI
	case id < 0x30:
		return sourceSoftware
	}
	return sourceIPMI
}

// timestamp is when the event was logged as traps have it, 0 for unknown.
func (e Event) timestamp() uint32 { return max(e.Time, epoch1998) - epoch1998 }

// specific is the trap's number: sensor type, event type, direction and offset.
func (t *trap) specific() uint32 {
	e := t.event
	return uint32(e.SensorType)<<16 | uint32(e.Trigger&triggerType)<<8 | uint32(e.Trigger&triggerDeass) | uint32(e.Offset())
}

// acknowledgement names a trap to PET Acknowledge.
type acknowledgement struct {
	sequence       uint16
	timestamp      uint32
	source         byte
	device, sensor byte
	data           [3]byte
}

func (t *trap) acknowledgement() acknowledgement {
	e := t.event
	return acknowledgement{t.sequence, e.timestamp(), e.sourceType(), byte(e.Generator), e.Sensor, e.Data}
}

// appendVariable appends the bytes of the trap's variable, high bytes first:
//
//	GUID 16, sequence number 2, local time 4, UTC offset 2, trap source type,
//	event source type, severity, sensor device, sensor number, entity, entity
//	instance, event data 8, language, manufacturer 4, system 2, custom fields
func (t *trap) appendVariable(b []byte) []byte {
	be, e := binary.BigEndian, t.event
	b = append(b, t.guid[:]...)
	b = be.AppendUint16(b, t.sequence)
	b = be.AppendUint32(b, e.timestamp())
	b = be.AppendUint16(b, offsetUnspecified)
	b = append(b, sourceIPMI, e.sourceType(), byte(t.severity), byte(e.Generator), e.Sensor)
	entity, instance := t.source.Entity(e.Generator, e.Sensor)
	b = append(b, entity, instance)
	b = append(b, e.Data[:]...)
	b = append(b, make([]byte, eventDataPad)...)
	b = append(b, languageAny)
	b = be.AppendUint32(b, t.source.Manufacturer)
	b = be.AppendUint16(b, t.source.Product)
	if text := t.custom(); text != "" {
		b = append(b, customASCII|byte(len(text)))
		b = append(b, text...)
	}
	return append(b, customEnd)
}

// custom is the alert string as a field: one character would look like the end.
func (t *trap) custom() string {
	text := t.text[:min(len(t.text), customMax)]
	if len(text) == 1 {
		text += " "
	}
	return text
}

// Of the message around it (RFC 1157 §4.1.6).
const (
	snmpVersion1       = 0
	enterpriseSpecific = 6
)

// Object identifiers 1.3.6.1.4.1.3183.1.1, the enterprise of platform event
// traps, and its variable .1.
var (
	oidTrap     = []byte{0x2B, 6, 1, 4, 1, 0x98, 0x6F, 1, 1}
	oidVariable = append(append([]byte{}, oidTrap...), 1)
)

// appendMessage appends the SNMPv1 message, as it leaves a controller with
// this address after so much time.
func (t *trap) appendMessage(b []byte, community string, agent netip.Addr, up time.Duration) []byte {
	binding := appendValue(nil, tagOID, oidVariable)
	binding = appendValue(binding, tagOctets, t.appendVariable(nil))
	pdu := appendValue(nil, tagOID, oidTrap)
	pdu = appendValue(pdu, tagIPAddress, agentBytes(agent))
	pdu = appendNumber(pdu, tagInteger, enterpriseSpecific)
	pdu = appendNumber(pdu, tagInteger, t.specific())
	pdu = appendNumber(pdu, tagTimeTicks, uint32(up/(10*time.Millisecond)))
	pdu = appendValue(pdu, tagSequence, appendValue(nil, tagSequence, binding))
	message := appendNumber(nil, tagInteger, snmpVersion1)
	message = appendValue(message, tagOctets, []byte(community))
	message = appendValue(message, tagTrap, pdu)
	return appendValue(b, tagSequence, message)
}

// agentBytes is an IPv4 address; SNMPv1 knows no other.
func agentBytes(a netip.Addr) []byte {
	if a = a.Unmap(); a.Is4() {
		return a.AsSlice()
	}
	return make([]byte, 4)
}
