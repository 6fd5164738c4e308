package pef

import (
	"encoding/binary"

	"github.com/midplane-project/midplane/ipmb"
)

// Action is a set of what a filter may have done (IPMI 2.0 §30.1 and table 17-2).
type Action uint8

// Actions. Those that this controller does not have are refused when a filter
// asks for them.
const (
	ActionAlert      Action = 0x01
	ActionPowerOff   Action = 0x02
	ActionReset      Action = 0x04
	ActionPowerCycle Action = 0x08
	ActionNMI        Action = 0x20 // diagnostic interrupt

	actionsSupported = ActionAlert | ActionPowerOff | ActionReset | ActionPowerCycle | ActionNMI
)

// Severity is how bad an alert says that an event is (table 17-2). The bits
// are in order, so that the worse of two is the greater.
type Severity uint8

// Severities.
const (
	SeverityUnspecified    Severity = 0x00
	SeverityMonitor        Severity = 0x01
	SeverityInformation    Severity = 0x02
	SeverityOK             Severity = 0x04
	SeverityNonCritical    Severity = 0x08
	SeverityCritical       Severity = 0x10
	SeverityNonRecoverable Severity = 0x20
)

func (s Severity) valid() bool { return s <= SeverityNonRecoverable && s&(s-1) == 0 }

// Filter configuration (table 17-2, byte 1).
const (
	filterEnabled       = 0x80
	filterType          = 0x60
	filterManufacturer  = 0x40 // pre-configured: software may only switch it on and off
	filterReserved      = 0x1F
	filterPolicy        = 0x0F // byte 3
	filterPolicyUnused  = 0x80
	filterGroupSelector = 0x70
)

// matchAny in a field of a filter stands for every value.
const matchAny = 0xFF

// FilterLen is the length of a filter in bytes, without its number.
const FilterLen = 20

// Filter is an entry of the event filter table (IPMI 2.0 table 17-2):
//
//	config, actions, policy number, severity, generator id (2), sensor type,
//	sensor number, event trigger, offset mask (2), 3 × (AND mask, compare 1, compare 2)
type Filter struct {
	Enabled      bool
	Manufacturer bool // pre-configured, not software's to change
	Actions      Action
	Policy       uint8 // of the alerts, 4 bits
	Group        uint8 // group control selector, 3 bits; kept, as nothing here uses it
	Severity     Severity
	Generator    [2]byte // each byte FFh: any
	SensorType   byte
	Sensor       byte
	Trigger      byte   // event direction and type, as in the event message
	Offsets      uint16 // bit n: event offset n matches
	Data         [3]Compare
}

// Compare is the test of one event data byte (IPMI 2.0 table 17-2, §17.8).
type Compare struct{ Mask, Exact, Value byte }

// anything passes every byte.
var anything = Compare{Mask: 0, Exact: 0xFF, Value: 0}

// matches tests a byte: masked, it must equal Value in each bit of Exact, and in
// at least one of the other bits of Mask, if there are any. A zero in Value asks
// for a zero. OpenIPMI's manual (doc/IPMI.ltx, bytes 11 to 13 of a filter) says
// it with an example, which the tests have: mask 0Fh, exact 0Ch, value 0Ah is
// (bit 0 == 0 || bit 1 == 1) && bit 2 == 0 && bit 3 == 1.
func (c Compare) matches(data byte) bool {
	differs := data&c.Mask ^ c.Value
	loose := c.Mask &^ c.Exact
	return differs&c.Exact == 0 && (loose == 0 || differs&loose != loose)
}

// Match reports whether the filter is for an event. Severity is no condition:
// events have none, and a filter gives them its own.
func (f *Filter) Match(e Event) bool {
	return f.Enabled &&
		matchByte(f.Generator[0], byte(e.Generator)) && matchByte(f.Generator[1], byte(e.Generator>>8)) &&
		matchByte(f.SensorType, e.SensorType) && matchByte(f.Sensor, e.Sensor) && matchByte(f.Trigger, e.Trigger) &&
		f.Offsets>>e.Offset()&1 == 1 &&
		f.Data[0].matches(e.Data[0]) && f.Data[1].matches(e.Data[1]) && f.Data[2].matches(e.Data[2])
}

func matchByte(want, got byte) bool { return want == matchAny || want == got }

// ParseFilter reads a filter: C7h for a wrong length, CCh for what cannot be.
func ParseFilter(b []byte) (Filter, error) {
	if len(b) != FilterLen {
		return Filter{}, ipmb.ErrLength
	}
	kind, actions, severity := b[0]&filterType, Action(b[1]), Severity(b[3])
	if b[0]&filterReserved != 0 || kind != 0 && kind != filterManufacturer || b[2]&filterPolicyUnused != 0 {
		return Filter{}, ipmb.ErrInvalidField
	}
	if actions&^actionsSupported != 0 || !severity.valid() {
		return Filter{}, ipmb.ErrInvalidField
	}
	return Filter{
		Enabled: b[0]&filterEnabled != 0, Manufacturer: kind == filterManufacturer,
		Actions: actions, Policy: b[2] & filterPolicy, Group: b[2] & filterGroupSelector >> 4, Severity: severity,
		Generator: [2]byte(b[4:]), SensorType: b[6], Sensor: b[7], Trigger: b[8], Offsets: binary.LittleEndian.Uint16(b[9:]),
		Data: [3]Compare{{b[11], b[12], b[13]}, {b[14], b[15], b[16]}, {b[17], b[18], b[19]}},
	}, nil
}

// Append appends the filter's bytes.
func (f *Filter) Append(b []byte) []byte {
	b = append(b, f.config(), byte(f.Actions), f.Policy&filterPolicy|f.Group<<4, byte(f.Severity))
	b = append(b, f.Generator[0], f.Generator[1], f.SensorType, f.Sensor, f.Trigger)
	b = binary.LittleEndian.AppendUint16(b, f.Offsets)
	for _, c := range f.Data {
		b = append(b, c.Mask, c.Exact, c.Value)
	}
	return b
}

// config is the filter's first byte, which is a parameter of its own.
func (f *Filter) config() (b byte) {
	if f.Enabled {
		b |= filterEnabled
	}
	if f.Manufacturer {
		b |= filterManufacturer
	}
	return b
}
