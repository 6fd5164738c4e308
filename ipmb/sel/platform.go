package sel

import "github.com/midplane-project/midplane/ipmb"

// CmdPlatformEvent is Platform Event, network function S/E (IPMI 2.0 §29.3).
const CmdPlatformEvent ipmb.Cmd = 0x02

const systemEventLen = 1 + eventLen

// AppendBus appends the seven data bytes of a Platform Event as it goes over
// IPMB and LAN, where the generator is known by the message's source.
func (e Event) AppendBus(b []byte) []byte { return append(b, e.bytes()...) }

// ParseBus reads the data of a Platform Event from IPMB or LAN; C7h unless it
// has seven bytes.
func ParseBus(data []byte) (Event, error) {
	if len(data) != eventLen {
		return Event{}, ipmb.ErrLength
	}
	return eventFrom(data), nil
}

// AppendSystem appends the eight data bytes of a Platform Event as it goes
// over the system interface: the generator's low byte comes first.
func (e Event) AppendSystem(b []byte, id uint8) []byte { return e.AppendBus(append(b, id)) }

// ParseSystem reads the data of a Platform Event from the system interface:
// the generator's low byte, and the event. C7h unless it has eight bytes.
func ParseSystem(data []byte) (id uint8, e Event, err error) {
	if len(data) != systemEventLen {
		return 0, Event{}, ipmb.ErrLength
	}
	return data[0], eventFrom(data[1:]), nil
}
