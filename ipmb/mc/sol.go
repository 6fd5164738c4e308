package mc

import (
	"fmt"
	"net/netip"

	"github.com/midplane-project/midplane/ipmb"
)

// SOL configuration parameters (IPMI 2.0 §26.2, table 26-5).
const (
	SOLEnable       = 1
	SOLAuth         = 2
	SOLAccumulate   = 3
	SOLRetry        = 4
	SOLRate         = 5
	SOLVolatileRate = 6
	SOLChannel      = 7
	SOLPort         = 8
)

// Values of SOL parameters.
const (
	solForce       = 0xC0 // encryption and authentication
	solRate115200  = 0x0A
	solRateSerial  = 0x00 // as the serial channel has it
	solRateFirst   = 0x06 // 9600
	solRetriesMask = 0x07
)

// SOL is the configuration of serial over LAN on a channel.
type SOL struct {
	*Parameters
	channel  uint8
	channels Channels
}

// OpenSOL reads the configuration of serial over LAN. It is off, and only an
// administrator may use it, encrypted, until somebody says otherwise.
func OpenSOL(channels Channels, channel uint8, r Records) (*SOL, error) {
	p, err := OpenParameters(r, fmt.Sprintf("sol/%d", channel), []Parameter{
		{Number: SOLEnable, Data: ipmb.Exactly(1), Default: []byte{0}, Check: only(0x01)},
		{Number: SOLAuth, Data: ipmb.Exactly(1), Default: []byte{solForce | byte(ipmb.PrivilegeAdmin)}, Check: solAuth},
		{Number: SOLAccumulate, Data: ipmb.Exactly(2), Default: []byte{12, 96}, Check: within(1, 0xFF)},
		{Number: SOLRetry, Data: ipmb.Exactly(2), Default: []byte{7, 50}, Check: func(v []byte) error { return only(solRetriesMask)(v[:1]) }},
		{Number: SOLRate, Data: ipmb.Exactly(1), Default: []byte{solRate115200}, Check: solRate},
		{Number: SOLVolatileRate, Data: ipmb.Exactly(1), Default: []byte{solRate115200}, Check: solRate},
		{Number: SOLChannel, ReadOnly: true, Default: []byte{channel}},
		// The payload goes by the door's own port: writing here could not move it.
		{Number: SOLPort, ReadOnly: true, Default: port(portRMCP)},
	})
	if err != nil {
		return nil, err
	}
	return &SOL{Parameters: p, channel: channel, channels: channels}, nil
}

// Follow has the configuration tell the port of the door at a.
func (s *SOL) Follow(a netip.AddrPort) { s.Preset(SOLPort, port(a.Port())) }

func solAuth(v []byte) error {
	limit := ipmb.Privilege(v[0] &^ solForce)
	return valid(limit >= ipmb.PrivilegeUser && limit <= ipmb.PrivilegeOEM)
}

func solRate(v []byte) error {
	return valid(v[0] == solRateSerial || v[0] >= solRateFirst && v[0] <= solRate115200)
}

// Commands gives the rows of SOL configuration.
func (s *SOL) Commands() []ipmb.Command {
	return channelParameters("SOL", s.channels, s.channel, s.Parameters, 0x21, "IPMI 2.0 §26.2", "IPMI 2.0 §26.3")
}
