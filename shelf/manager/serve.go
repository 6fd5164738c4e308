package manager

import (
	"context"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/redact"
)

// Serve takes a frame addressed to 0x20. For a request, ok says that answer is
// to be sent; without one the node will ask again. It blocks while a request
// is committed or forwarded, and never for a response.
func (m *Manager) Serve(ctx context.Context, msg ipmb.Message) (answer ipmb.Message, ok bool) {
	if msg.Frame.IsResponse() {
		if t, _ := m.current(); t != nil {
			t.deliver(msg)
		}
		return ipmb.Message{}, false
	}
	r, term, err := m.do(ctx, msg.Frame, originOf(m.cfg.Shelf, msg))
	if err != nil {
		m.cfg.Logger.Debug("no answer", "shelf", m.cfg.Shelf, "frame", redact.Text(msg.Frame), "why", err)
		return ipmb.Message{}, false
	}
	return ipmb.Message{ID: msg.ID, Instance: msg.Instance, Frame: msg.Frame.Reply(r), Plane: msg.Plane, Term: term}, true
}

// originOf is what the bus knows of a message, put over what its envelope says.
func originOf(shelf string, msg ipmb.Message) ipmb.Origin {
	o := msg.Origin
	o.Door, o.Channel, o.Shelf = ipmb.DoorIPMB, ipmb.ChannelIPMB, shelf
	o.Source, o.SourceLUN = msg.Frame.From, msg.Frame.FromLUN
	o.Instance, o.ID = msg.Instance, msg.ID
	return o
}

// Do carries out a request of the shelf's own users: at 0x20 itself, or by
// sending it to the controller at to. The origin is the caller's to vouch for.
// An error says that there is no answer; the request may have taken effect.
func (m *Manager) Do(ctx context.Context, to ipmb.Addr, req *ipmb.Request) (ipmb.Response, error) {
	if to == ipmb.AddrShelfManager {
		r, _, err := m.do(ctx, ipmb.RequestFrame(to, req.Origin.Source, req.Origin.SourceLUN, 0, req), req.Origin)
		return r, err
	}
	t, err := m.await(ctx)
	if err != nil {
		return ipmb.Response{}, err
	}
	return t.requester.Do(ctx, to, req, ipmb.ControllerRhythm)
}

// do answers one request, or says why there must be no answer.
func (m *Manager) do(ctx context.Context, f ipmb.Frame, o ipmb.Origin) (ipmb.Response, uint64, error) {
	t, err := m.await(ctx)
	if err != nil {
		return ipmb.Response{}, 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	c := &call{tenure: t}
	r := m.execute(withCall(ctx, c), f, o)
	if err := m.confirm(ctx, c); err != nil {
		return ipmb.Response{}, 0, err
	}
	return r, t.term, nil
}

// execute checks the guest policy, looks for the answer that the request had
// already, and otherwise lets the mux answer.
func (m *Manager) execute(ctx context.Context, f ipmb.Frame, o ipmb.Origin) ipmb.Response {
	req := f.Request(o)
	if err := m.permit(f, o); err != nil {
		m.cfg.Logger.Warn("request refused", "shelf", m.cfg.Shelf, "speaker", o.Speaker, "frame", redact.Text(f), "code", err)
		return refusal(req, err)
	}
	if r, ok := m.answered(req); ok {
		return r
	}
	return m.mux.ServeIPMI(ctx, req)
}

// permit applies the guest policy to whatever comes over the bus, whoever it says
// speaks: that is the board's word, and it may be in wrong hands. What controllers
// send of their own accord is within it. The shelf's users, who come by its own
// doors, and the shelf itself are held by their privilege alone.
func (m *Manager) permit(f ipmb.Frame, o ipmb.Origin) error {
	if o.Door != ipmb.DoorIPMB {
		return nil
	}
	return m.cfg.Policy.Permit(f)
}

// refusal is a bare completion code with the body that its network function needs.
func refusal(req *ipmb.Request, err error) ipmb.Response {
	body, _, _ := ipmb.SplitBody(req.NetFn, req.Data)
	return ipmb.Response{Code: ipmb.CodeOf(err), Data: ipmb.AppendBody(nil, req.NetFn, body)}
}

// confirm says whether the call's answer may go out: a command was committed,
// or else a quorum confirms that this replica has led all the time.
func (m *Manager) confirm(ctx context.Context, c *call) error {
	switch {
	case c.lost != nil:
		return c.lost
	case c.committed:
		return nil
	}
	if err := m.cfg.Raft.VerifyLeader(ctx); err != nil {
		return err
	}
	if m.cfg.Raft.Term() != c.tenure.term {
		return errNotLeading
	}
	return c.tenure.ctx.Err()
}
