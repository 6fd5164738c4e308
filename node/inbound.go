package node

import (
	"context"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/redact"
)

// Deliver takes a frame from the bus: an answer to the requester, a request
// for guest software to the receive message queue, a command to the mux.
func (c *Controller) Deliver(ctx context.Context, m ipmb.Message) {
	switch f := m.Frame; {
	case f.To != c.id.Addr:
		c.log.Debug("frame for another", "frame", redact.Text(f))
	case f.IsResponse():
		c.requester.Deliver(m)
	case f.ToLUN == ipmb.LUNSMS:
		if !c.software.ask(m) {
			c.answer(ctx, m, ipmb.Response{Code: ipmb.ErrBusy})
		}
	default:
		c.serve(ctx, m)
	}
}

// serve runs a command from the bus in a goroutine of its own, so that a slow
// one holds nobody up.
func (c *Controller) serve(ctx context.Context, m ipmb.Message) {
	select {
	case c.slots <- struct{}{}:
	default:
		c.answer(ctx, m, ipmb.Response{Code: ipmb.ErrBusy})
		return
	}
	c.spawn(func(ctx context.Context) {
		defer func() { <-c.slots }()
		c.answer(ctx, m, c.execute(ctx, m))
	})
}

func (c *Controller) execute(ctx context.Context, m ipmb.Message) ipmb.Response {
	o := m.Origin
	o.Door, o.Channel, o.Source, o.SourceLUN = ipmb.DoorIPMB, ipmb.ChannelIPMB, m.Frame.From, m.Frame.FromLUN
	o.Instance, o.ID, o.Shelf = m.Instance, m.ID, c.id.Shelf
	// Who speaks is the other board's word, and it may be in wrong hands: like the
	// switch, only the shelf's is taken.
	others := o.Source != c.id.Addr && o.Source != ipmb.AddrShelfManager
	if o.Speaker == ipmb.SpeakerGuest || others {
		if err := c.policy.Permit(m.Frame); err != nil {
			c.log.Warn("request over the bus refused", "frame", redact.Text(m.Frame), "speaker", o.Speaker.String(), "code", err)
			return ipmb.Response{Code: ipmb.CodeOf(err)}
		}
	}
	if o.Speaker == ipmb.SpeakerGuest || o.Source != ipmb.AddrShelfManager {
		o.Privilege = min(o.Privilege, ipmb.PrivilegeOperator) // only the shelf administers its boards
	}
	return c.handler.ServeIPMI(ctx, m.Frame.Request(o))
}

func (c *Controller) answer(ctx context.Context, m ipmb.Message, r ipmb.Response) {
	c.reply(ctx, ipmb.Message{ID: m.ID, Instance: m.Instance, Frame: m.Frame.Reply(r), Plane: m.Plane})
}

// reply sends an answer to whoever asked, which may be the own guest.
func (c *Controller) reply(ctx context.Context, m ipmb.Message) {
	if m.Frame.To == c.id.Addr {
		c.requester.Deliver(m)
		return
	}
	if err := c.out.Send(ctx, m); err != nil {
		c.log.Debug("answer not sent", "frame", redact.Text(m.Frame), "err", err)
	}
}

// sendOrLoop sends a frame, or hands it back when it is for this controller:
// a guest may address its own board over the bus.
func (c *Controller) sendOrLoop(ctx context.Context, m ipmb.Message) error {
	if m.Frame.To == c.id.Addr {
		c.Deliver(ctx, m)
		return nil
	}
	return c.out.Send(ctx, m)
}
