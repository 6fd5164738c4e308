package mc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// Serial/modem configuration parameters (IPMI 2.0 §25.2, table 25-4) that a
// serial door acts by. There is no mux: nobody shares a port with the
// controller. Of modems and paging there are two that FreeIPMI asks for.
const (
	SerialAuthSupport    = 1
	SerialAuthEnables    = 2
	SerialConnectionMode = 3
	SerialInactivity     = 4
	SerialTermination    = 6
	SerialCommSettings   = 7
	SerialPageBlackout   = 14
	SerialCallRetry      = 18
	SerialTerminalMode   = 29
)

// Values of serial parameters.
const (
	SerialAuthMD5      = 1 << 2
	SerialAuthPassword = 1 << 4

	serialAuthTypes = SerialAuthMD5 | SerialAuthPassword
	serialLevels    = 5 // callback to OEM

	connectDirect   = 0x80
	connectTerminal = 0x04
	connectBasic    = 0x01

	inactivityStep    = 30 * time.Second
	inactivityMask    = 0x0F
	inactivityDefault = 10

	endsByInactivity = 0x02
	endsWithLine     = 0x01

	flowMask       = 0xC0
	flowReserved   = 0xC0
	flowHangup     = 0x20
	serialRateLow  = 0x06 // 9600
	serialRateHigh = 0x0A // 115200
)

// SerialSettings are the parameters of a channel that a door acts by.
type SerialSettings struct {
	Basic, Terminal bool               // modes that may be spoken
	Auth            [serialLevels]byte // types of authentication by the level asked for, callback first
	Inactivity      time.Duration      // after which a session ends; 0: it does not
	EndsWithLine    bool               // a session ends when the line is lost
	Mode            TerminalMode
}

// AuthFor gives the types of authentication for a privilege level.
func (s SerialSettings) AuthFor(p ipmb.Privilege) byte {
	if p < ipmb.PrivilegeCallback || int(p) > len(s.Auth) {
		return 0
	}
	return s.Auth[p-1]
}

// Serial is the configuration of the serial channels that have sessions.
type Serial struct {
	channels Channels
	ports    map[uint8]*Parameters
}

// OpenSerial reads the configuration. A port that was given another mode by
// whoever configures its node begins anew.
func OpenSerial(channels Channels, r Records) (*Serial, error) {
	s := &Serial{channels: channels, ports: make(map[uint8]*Parameters)}
	for _, c := range channels {
		if c.Medium != MediumSerial || !c.Sessions {
			continue
		}
		p, err := OpenParameters(r, fmt.Sprintf("serial/%d/%d", c.Number, c.Protocol), serialParameters(c))
		if err != nil {
			return nil, err
		}
		s.ports[c.Number] = p
	}
	return s, nil
}

func serialParameters(c Channel) []Parameter {
	mode := byte(connectDirect | connectBasic)
	if c.Protocol == ProtocolTMode {
		mode = connectDirect | connectTerminal
	}
	auth := make([]byte, serialLevels)
	for i := range auth[:ipmb.PrivilegeAdmin] {
		auth[i] = serialAuthTypes
	}
	return []Parameter{
		{Number: SerialAuthSupport, ReadOnly: true, Default: []byte{serialAuthTypes}},
		{Number: SerialAuthEnables, Data: ipmb.Exactly(serialLevels), Default: auth, Check: only(serialAuthTypes)},
		{Number: SerialConnectionMode, Data: ipmb.Exactly(1), Default: []byte{mode}, Check: connectionMode},
		{Number: SerialInactivity, Data: ipmb.Exactly(1), Default: []byte{inactivityDefault}, Check: only(inactivityMask)},
		{Number: SerialTermination, Data: ipmb.Exactly(1), Default: []byte{endsByInactivity | endsWithLine}, Check: only(endsByInactivity | endsWithLine)},
		// A socket has neither bit rate nor lines of flow control: kept, no more.
		{Number: SerialCommSettings, Data: ipmb.Exactly(2), Default: []byte{0, serialRateHigh}, Check: commSettings},
		{Number: SerialPageBlackout, Data: ipmb.Exactly(1), Default: []byte{0}}, // nobody is paged
		{Number: SerialCallRetry, Data: ipmb.Exactly(1), Default: []byte{0}},    // or called
		{Number: SerialTerminalMode, Data: ipmb.Exactly(2), Default: terminalDefault[:], Check: func(v []byte) error {
			_, err := ParseTerminalMode(v)
			return err
		}},
	}
}

// connectionMode permits direct connections in the modes that there are.
func connectionMode(v []byte) error {
	return valid(v[0]&connectDirect != 0 && v[0]&^(connectDirect|connectTerminal|connectBasic) == 0)
}

func commSettings(v []byte) error {
	return valid(v[0]&flowMask != flowReserved && v[0]&^(flowMask|flowHangup) == 0 &&
		v[1] >= serialRateLow && v[1] <= serialRateHigh)
}

// Settings are those of a channel that hold; ok is false for one that has none.
func (s *Serial) Settings(channel uint8) (out SerialSettings, ok bool) {
	p := s.ports[channel]
	if p == nil {
		return out, false
	}
	return serialSettings(func(number uint8) []byte { return p.Get(number, 0) }), true
}

// DefaultSerialSettings hold until somebody says otherwise.
func DefaultSerialSettings(c Channel) SerialSettings {
	values := make(map[uint8][]byte)
	for _, p := range serialParameters(c) {
		values[p.Number] = p.Default
	}
	return serialSettings(func(number uint8) []byte { return values[number] })
}

// serialSettings reads parameters, which were checked when they were written.
func serialSettings(get func(number uint8) []byte) (out SerialSettings) {
	mode, ends := get(SerialConnectionMode)[0], get(SerialTermination)[0]
	out.Basic, out.Terminal = mode&connectBasic != 0, mode&connectTerminal != 0
	out.EndsWithLine = ends&endsWithLine != 0
	copy(out.Auth[:], get(SerialAuthEnables))
	if ends&endsByInactivity != 0 {
		out.Inactivity = time.Duration(get(SerialInactivity)[0]) * inactivityStep
	}
	out.Mode, _ = ParseTerminalMode(get(SerialTerminalMode))
	return out
}

// Reset ends what was being configured.
func (s *Serial) Reset() error {
	var errs []error
	for _, p := range s.ports {
		errs = append(errs, p.Reset())
	}
	return errors.Join(errs...)
}

// Commands gives the rows of serial configuration.
func (s *Serial) Commands() []ipmb.Command {
	return []ipmb.Command{
		{
			Name: "Set Serial/Modem Configuration", NetFn: ipmb.NetFnTransport, Cmd: 0x10, Privilege: ipmb.PrivilegeAdmin,
			Data: ipmb.AtLeast(3), Effect: true, Ref: "IPMI 2.0 §25.1",
			Do: func(_ context.Context, req *ipmb.Request) ([]byte, error) {
				p, err := s.port(req)
				if err != nil {
					return nil, err
				}
				return nil, p.write(req.Data[1], req.Data[2:])
			},
		},
		{
			Name: "Get Serial/Modem Configuration", NetFn: ipmb.NetFnTransport, Cmd: 0x11, Privilege: ipmb.PrivilegeOperator,
			Data: ipmb.Exactly(4), Ref: "IPMI 2.0 §25.2",
			Do: func(_ context.Context, req *ipmb.Request) ([]byte, error) {
				p, err := s.port(req)
				if err != nil {
					return nil, err
				}
				return p.read(req.Data)
			},
		},
	}
}

// port gives the parameters of the channel that a request means.
func (s *Serial) port(req *ipmb.Request) (*Parameters, error) {
	c, err := s.channels.find(req, req.Data[0])
	if err != nil {
		return nil, err
	}
	p := s.ports[c.Number]
	if p == nil {
		return nil, ipmb.ErrInvalidField
	}
	return p, nil
}
