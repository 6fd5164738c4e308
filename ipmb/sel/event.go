package sel

// Revision is the event message format of IPMI 1.5 and 2.0. IPMI 1.0 had 03h.
const Revision = 0x04

const (
	eventLen     = 7
	deassertBit  = 0x80
	offsetMask   = 0x0F
	useMask      = 0x03
	data2UseBits = 6
	data3UseBits = 4
)

// Event is what a controller or software says has happened:
//
//	rev  sensor type  number  [7] deassertion [6:0] event type  data 1  data 2  data 3
type Event struct {
	Revision uint8
	Sensor   SensorType
	Number   uint8 // of the sensor, at its generator
	Deassert bool
	Type     EventType
	Data     [3]byte
}

// DataUse says what event data 2 or 3 holds (IPMI 2.0 table 29-6).
type DataUse uint8

// Uses of event data 2 and 3. Reading is a threshold event's trigger reading
// (data 2) or trigger threshold (data 3), and a discrete event's previous state.
const (
	UseNone      DataUse = 0
	UseReading   DataUse = 1
	UseOEM       DataUse = 2
	UseExtension DataUse = 3
)

// Offset is the number of the threshold or state that caused the event.
func (e Event) Offset() uint8 { return e.Data[0] & offsetMask }

// Use2 says what event data 2 holds.
func (e Event) Use2() DataUse { return DataUse(e.Data[0] >> data2UseBits & useMask) }

// Use3 says what event data 3 holds.
func (e Event) Use3() DataUse { return DataUse(e.Data[0] >> data3UseBits & useMask) }

// EventData1 makes event data 1 from an offset and the uses of the other two.
func EventData1(offset uint8, use2, use3 DataUse) byte {
	return offset&offsetMask | byte(use2&useMask)<<data2UseBits | byte(use3&useMask)<<data3UseBits
}

func (e Event) bytes() []byte {
	dir := byte(e.Type) &^ deassertBit
	if e.Deassert {
		dir |= deassertBit
	}
	return []byte{e.Revision, byte(e.Sensor), e.Number, dir, e.Data[0], e.Data[1], e.Data[2]}
}

// eventFrom reads seven bytes.
func eventFrom(b []byte) Event {
	return Event{
		Revision: b[0], Sensor: SensorType(b[1]), Number: b[2],
		Deassert: b[3]&deassertBit != 0, Type: EventType(b[3] &^ deassertBit),
		Data: [3]byte{b[4], b[5], b[6]},
	}
}
