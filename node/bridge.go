package node

import (
	"context"
	"log/slog"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/redact"
)

// channelMask is the channel in the first byte of Send Message.
const channelMask = 0x0F

// bus is the way out: the uplink, or nothing on a standalone node.
type bus interface {
	ipmb.Bus
	// Absent reports whether the presence table knows nobody at an address.
	Absent(ipmb.Addr) bool
}

// bridge is Send Message: it carries messages from the doors to the bus.
//
// The own guest's requests are acknowledged at once, since its interface is
// blocked until then, and answered through the receive message queue. Those
// who come by another door get the answer in that of their Send Message.
type bridge struct {
	self      ipmb.Addr
	out       bus
	requester *ipmb.Requester
	policy    *ipmb.GuestPolicy
	asks      *asks
	software  *software
	lines     lines // nil: there are none
	log       *slog.Logger
}

func (b *bridge) commands() []ipmb.Command {
	return []ipmb.Command{{
		Name: "Send Message", NetFn: ipmb.NetFnApp, Cmd: ipmb.CmdSendMessage, Privilege: ipmb.PrivilegeUser,
		Data: ipmb.AtLeast(1), Ref: "IPMI 2.0 §22.7", Do: b.sendMessage,
	}}
}

func (b *bridge) sendMessage(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	if req.Data[0]&channelMask != ipmb.ChannelIPMB {
		return nil, b.toLine(req)
	}
	s, err := ipmb.ParseSendMessage(req.Data)
	if err != nil {
		return nil, err
	}
	f, err := ipmb.ParseFrame(s.Message)
	if err != nil {
		return nil, ipmb.ErrInvalidField
	}
	if b.guestly(req.Origin, f.To) {
		if err := b.policy.Permit(f); err != nil {
			b.log.Warn("guest message refused", "frame", redact.Text(f), "code", err,
				"by", req.Origin.Speaker.String(), "door", req.Origin.Door.String(), "session", req.Origin.Session)
			return nil, err
		}
	}
	switch {
	case req.Origin.Door != ipmb.DoorSystem:
		return b.nested(ctx, f, req.Origin)
	case f.IsResponse():
		b.software.answer(ctx, f)
		return nil, nil
	}
	return nil, b.asks.send(f, req.Origin)
}

// guestly reports whether a message is held to the guest's policy. A user of a
// node's own line or LAN door may have been made by its guest: what he may do
// there, he may not do elsewhere, nor by way of this controller or a third.
func (b *bridge) guestly(o ipmb.Origin, to ipmb.Addr) bool {
	own := o.Door == ipmb.DoorSerial || o.Door == ipmb.DoorLAN || boardSession(o)
	return o.Speaker == ipmb.SpeakerGuest || own && to != b.self
}

// boardSession reports whether a session at a board's own door spoke, this one's
// or another's. Only those of the shelf's door come from 20h.
func boardSession(o ipmb.Origin) bool {
	return o.Speaker == ipmb.SpeakerSession && o.Source != ipmb.AddrShelfManager
}

// nested sends a message on behalf of another controller, and gives back the
// whole frame that answers it: the shape that ipmitool decodes when it bridges
// twice (-T and -B, src/plugins/lan).
func (b *bridge) nested(ctx context.Context, f ipmb.Frame, o ipmb.Origin) ([]byte, error) {
	if f.IsResponse() {
		return nil, ipmb.ErrInvalidField
	}
	if f.To != b.self && b.out.Absent(f.To) {
		return nil, ipmb.ErrNAK
	}
	o.Source, o.SourceLUN = b.self, f.FromLUN
	answer, err := b.requester.Do(ctx, f.To, f.Request(o), ipmb.ControllerRhythm)
	if err != nil {
		return nil, err
	}
	return f.Reply(answer).AppendBinary(nil)
}
