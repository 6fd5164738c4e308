package manager

import (
	"context"
	"errors"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// forwardPatience is how long a Send Message waits for the answer that it must
// carry back.
const forwardPatience = 5 * time.Second

// bridgeCommands gives Send Message: 0x20 as the controller in the middle of a
// double bridge (ipmitool -T 0x20 -t 0x84). The response carries the whole
// frame that answered: on the inner leg ipmitool reads nothing else.
func (m *Manager) bridgeCommands() []ipmb.Command {
	return []ipmb.Command{{
		Name: "Send Message", NetFn: ipmb.NetFnApp, Cmd: ipmb.CmdSendMessage, Privilege: ipmb.PrivilegeUser,
		Data: ipmb.AtLeast(1), Ref: "IPMI 2.0 §22.7", Do: m.sendMessage,
	}}
}

func (m *Manager) sendMessage(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	if req.Data[0]&0x0F != ipmb.ChannelIPMB {
		return nil, ipmb.ErrInvalidField
	}
	s, err := ipmb.ParseSendMessage(req.Data)
	if err != nil {
		return nil, err
	}
	f, err := ipmb.ParseFrame(s.Message)
	if err != nil || f.IsResponse() || s.Broadcast || !f.To.Valid() {
		return nil, ipmb.ErrInvalidField
	}
	r, err := m.pass(ctx, f, req)
	if err != nil {
		return nil, err
	}
	return f.Reply(r).AppendBinary(nil)
}

// pass gets the answer to an inner request. Its origin stays what it was: a
// guest remains a guest however often its message is wrapped.
func (m *Manager) pass(ctx context.Context, f ipmb.Frame, req *ipmb.Request) (ipmb.Response, error) {
	o := req.Origin
	if f.To == ipmb.AddrShelfManager {
		return m.execute(ctx, f, o), nil
	}
	c := callOf(ctx)
	if c == nil {
		return ipmb.Response{}, ipmb.ErrNoResponse
	}
	r, err := c.tenure.forwards.do(ctx, o, func() (ipmb.Response, error) {
		return m.forward(ctx, c.tenure, f, req)
	})
	if err != nil && c.tenure.ctx.Err() != nil {
		c.lost = errNotLeading // committed or not: what has become of it the next leader finds out
	}
	return r, err
}

// send sends an inner request to its addressee. Nobody there is 83h for the requester, as it is on
// the wire.
func (t *tenure) send(ctx context.Context, f ipmb.Frame, o ipmb.Origin) (ipmb.Response, error) {
	return sendBy(ctx, f, o, func(ctx context.Context, req *ipmb.Request) (ipmb.Response, error) {
		return t.requester.Do(ctx, f.To, req, ipmb.ControllerRhythm)
	})
}

func sendBy(ctx context.Context, f ipmb.Frame, o ipmb.Origin, do func(context.Context, *ipmb.Request) (ipmb.Response, error)) (ipmb.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, forwardPatience)
	defer cancel()
	o.SourceLUN = f.FromLUN
	r, err := do(ctx, f.Request(o))
	if errors.Is(err, ipmb.ErrDestination) {
		return r, ipmb.ErrNAK
	}
	return r, err
}
