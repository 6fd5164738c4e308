package mc

import (
	"context"

	"github.com/midplane-project/midplane/ipmb"
)

// Channel is one row of a controller's channel table.
type Channel struct {
	Number   uint8
	Medium   uint8 // IPMI 2.0 table 6-3
	Protocol uint8 // IPMI 2.0 table 6-2
	Sessions bool  // many at a time, unless Single; false: session-less
	Single   bool  // one session at a time

	Active func() int // sessions open now; nil: there is no door for them
}

// Channel media and protocols (IPMI 2.0 tables 6-2 and 6-3).
const (
	MediumIPMB   = 0x01
	MediumLAN    = 0x04 // 802.3
	MediumSerial = 0x05 // asynchronous serial
	MediumSystem = 0x0C

	ProtocolIPMB  = 0x01
	ProtocolKCS   = 0x05
	ProtocolSMBus = 0x04
	ProtocolBT15  = 0x08
	ProtocolTMode = 0x09
)

// IPMBChannel is channel 0. Linux needs it, with this medium, before it lets
// anybody address the bus (ipmi_msghandler.c, channel_handler).
var IPMBChannel = Channel{Number: ipmb.ChannelIPMB, Medium: MediumIPMB, Protocol: ProtocolIPMB}

// LANChannel is the channel of RMCP and RMCP+.
var LANChannel = Channel{Number: 1, Medium: MediumLAN, Protocol: ProtocolIPMB, Sessions: true}

// SystemChannel gives channel Fh for a system interface: kcs, bt or ssif, with
// or without the prefix pci-.
func SystemChannel(systemInterface string) Channel {
	c := Channel{Number: ipmb.ChannelSystem, Medium: MediumSystem, Protocol: ProtocolKCS}
	switch systemInterface {
	case "bt", "pci-bt":
		c.Protocol = ProtocolBT15
	case "ssif":
		c.Protocol = ProtocolSMBus
	}
	return c
}

// Channels is a controller's channel table.
type Channels []Channel

// ipmiForum is the vendor of the standard protocols, 7154, low byte first.
var ipmiForum = [3]byte{0xF2, 0x1B, 0x00}

// Session support in Get Channel Info (IPMI 2.0 §22.24).
const (
	singleSession   = 0x40
	multiSession    = 0x80
	activeCountMask = 0x3F
)

// find resolves a channel number of a request; Eh is the one that it came by.
func (t Channels) find(req *ipmb.Request, n uint8) (Channel, error) {
	n &= 0x0F
	if n == ipmb.ChannelPresent {
		n = req.Origin.Channel
	}
	for _, c := range t {
		if c.Number == n {
			return c, nil
		}
	}
	return Channel{}, ipmb.ErrInvalidField
}

// Has reports whether the controller has channel n.
func (t Channels) Has(n uint8) bool {
	_, err := t.find(&ipmb.Request{}, n)
	return err == nil && n != ipmb.ChannelPresent
}

// medium is that of a channel, 0 for one that is not there.
func (t Channels) medium(n uint8) uint8 {
	c, _ := t.find(&ipmb.Request{}, n)
	return c.Medium
}

// Commands gives Get Channel Info and Get Channel Access of a controller whose
// channels are all session-less. A channel that is not there gives CCh: C1h
// would make Linux stop looking at the others.
func (t Channels) Commands() []ipmb.Command {
	return []ipmb.Command{
		t.infoCommand(),
		getAccessCommand(func(_ context.Context, req *ipmb.Request) ([]byte, error) {
			if _, err := t.find(req, req.Data[0]); err != nil {
				return nil, err
			}
			return nil, ErrSessionless
		}),
	}
}

func (t Channels) infoCommand() ipmb.Command {
	return ipmb.Command{
		Name: "Get Channel Info", NetFn: ipmb.NetFnApp, Cmd: 0x42, Privilege: ipmb.PrivilegeUser,
		Data: ipmb.Exactly(1), Ref: "IPMI 2.0 §22.24", Do: t.info,
	}
}

// info describes a channel.
func (t Channels) info(_ context.Context, req *ipmb.Request) ([]byte, error) {
	c, err := t.find(req, req.Data[0])
	if err != nil {
		return nil, err
	}
	out := []byte{c.Number, c.Medium, c.Protocol, c.sessions()}
	out = append(out, ipmiForum[:]...)
	if c.Number != ipmb.ChannelSystem {
		return append(out, 0, 0), nil
	}
	return append(out, 0xFF, 0xFF), nil // interrupts: unspecified for SMS and event buffer
}

// sessions is a channel's session support, and how many are active.
func (c Channel) sessions() (b byte) {
	switch {
	case !c.Sessions:
		return 0
	case c.Single:
		b = singleSession
	default:
		b = multiSession
	}
	if c.Active != nil {
		b |= byte(min(c.Active(), activeCountMask))
	}
	return b
}
