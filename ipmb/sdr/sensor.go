package sdr

import (
	"encoding/binary"
	"fmt"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/sel"
)

// Key names a sensor in the whole shelf (record bytes 5–7):
//
//	owner  [7:4] channel [3:2] FRU owner's LUN [1:0] LUN  number
type Key struct {
	Owner   uint8 // IPMB address, or software id with bit 0 set
	Channel uint8
	FRULUN  ipmb.LUN
	LUN     ipmb.LUN
	Number  uint8
}

const (
	keyLen       = 3
	highShift    = 4
	nibble       = 0x0F
	fruLUNShift  = 2
	lunMask      = 0x03
	logicalBit   = 0x80
	instanceMask = 0x7F
)

func (k Key) append(b []byte) []byte {
	return append(b, k.Owner, k.Channel<<highShift|byte(k.FRULUN&lunMask)<<fruLUNShift|byte(k.LUN&lunMask), k.Number)
}

func parseKey(b []byte) Key {
	return Key{
		Owner: b[0], Channel: b[1] >> highShift, FRULUN: ipmb.LUN(b[1] >> fruLUNShift & lunMask),
		LUN: ipmb.LUN(b[1] & lunMask), Number: b[2],
	}
}

// EntityID is what kind of thing a record is about (IPMI 2.0 table 43-13;
// A0h and up PICMG 3.0).
type EntityID uint8

// Entity ids.
const (
	EntityProcessor   EntityID = 0x03
	EntitySystemBoard EntityID = 0x07
	EntityPowerSupply EntityID = 0x0A
	EntityChassis     EntityID = 0x17
	EntityFan         EntityID = 0x1D
	EntityCooling     EntityID = 0x1E
	EntityMemory      EntityID = 0x20
	EntityAirInlet    EntityID = 0x37
	EntityFrontBoard  EntityID = 0xA0
	EntityRearBoard   EntityID = 0xC0
	EntityAMC         EntityID = 0xC1
	EntityShelfMC     EntityID = 0xF0
	EntityFiltration  EntityID = 0xF1
	EntityShelfFRU    EntityID = 0xF2
	EntityAlarmPanel  EntityID = 0xF3
)

// DeviceRelative is the first instance that counts within its own
// controller; in ATCA it means "this FRU".
const DeviceRelative = 0x60

// Entity is a physical or logical thing: id, [7] logical [6:0] instance.
type Entity struct {
	ID       EntityID
	Instance uint8
	Logical  bool
}

const entityLen = 2

func (e Entity) String() string { return fmt.Sprintf("%d.%d", uint8(e.ID), e.Instance) }

func (e Entity) append(b []byte) []byte {
	i := e.Instance & instanceMask
	if e.Logical {
		i |= logicalBit
	}
	return append(b, byte(e.ID), i)
}

func parseEntity(b []byte) Entity {
	return Entity{ID: EntityID(b[0]), Instance: b[1] & instanceMask, Logical: b[1]&logicalBit != 0}
}

// Init is the sensor initialisation byte: what an init agent sets up, and
// what is on after power-up.
type Init uint8

// Initialisation bits.
const (
	InitEventsAtPowerUp   Init = 1 << 0
	InitScanningAtPowerUp Init = 1 << 1
	InitType              Init = 1 << 2
	InitHysteresis        Init = 1 << 3
	InitThresholds        Init = 1 << 4
	InitEvents            Init = 1 << 5
	InitScanning          Init = 1 << 6
	InitSettable          Init = 1 << 7
)

// Access is what a controller lets one do with thresholds or hysteresis.
type Access uint8

// Accesses.
const (
	AccessNone Access = iota
	AccessRead
	AccessSet
	AccessFixed
)

// EventControl is how events of a sensor can be switched.
type EventControl uint8

// Event controls.
const (
	ControlPerState EventControl = iota
	ControlSensor
	ControlGlobal
	ControlNoEvents
)

// Capabilities is the sensor capabilities byte:
//
//	[7] ignore without entity [6] auto re-arm [5:4] hysteresis [3:2] thresholds [1:0] event control
type Capabilities struct {
	Ignore     bool
	AutoRearm  bool
	Hysteresis Access
	Thresholds Access
	Events     EventControl
}

const (
	ignoreBit       = 0x80
	rearmBit        = 0x40
	hysteresisShift = 4
	thresholdsShift = 2
	accessMask      = 0x03
)

func (c Capabilities) byte() byte {
	b := byte(c.Hysteresis&accessMask)<<hysteresisShift | byte(c.Thresholds&accessMask)<<thresholdsShift | byte(c.Events&accessMask)
	if c.Ignore {
		b |= ignoreBit
	}
	if c.AutoRearm {
		b |= rearmBit
	}
	return b
}

func parseCapabilities(b byte) Capabilities {
	return Capabilities{
		Ignore: b&ignoreBit != 0, AutoRearm: b&rearmBit != 0,
		Hysteresis: Access(b >> hysteresisShift & accessMask), Thresholds: Access(b >> thresholdsShift & accessMask),
		Events: EventControl(b & accessMask),
	}
}

// Sensor is what full and compact records have in common (record bytes 5–22).
type Sensor struct {
	Key
	Entity       Entity
	Init         Init
	Capabilities Capabilities
	Kind         sel.SensorType
	EventType    sel.EventType
	Assert       uint16 // assertion events; of a threshold sensor with [14:12] lower thresholds compared
	Deassert     uint16 // deassertion events; with [14:12] upper thresholds compared
	Readable     uint16 // discrete: states; threshold: [13:8] settable, [5:0] readable thresholds
	Units        Units
}

const sensorLen = 18

func (s *Sensor) append(b []byte) []byte {
	b = s.Entity.append(s.Key.append(b))
	b = append(b, byte(s.Init), s.Capabilities.byte(), byte(s.Kind), byte(s.EventType))
	for _, mask := range []uint16{s.Assert, s.Deassert, s.Readable} {
		b = binary.LittleEndian.AppendUint16(b, mask)
	}
	return s.Units.append(b)
}

// parseSensor reads sensorLen bytes.
func parseSensor(b []byte) Sensor {
	return Sensor{
		Key: parseKey(b), Entity: parseEntity(b[keyLen:]),
		Init: Init(b[5]), Capabilities: parseCapabilities(b[6]),
		Kind: sel.SensorType(b[7]), EventType: sel.EventType(b[8]),
		Assert: binary.LittleEndian.Uint16(b[9:]), Deassert: binary.LittleEndian.Uint16(b[11:]),
		Readable: binary.LittleEndian.Uint16(b[13:]), Units: parseUnits(b[15:]),
	}
}
