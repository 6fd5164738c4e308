package serial

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// line is one connection of a port.
type line struct {
	door    *Door
	codec   Codec
	conn    net.Conn
	session *session // nil: nobody has logged in
	setup   setup    // what was asked for on the way to a session

	writing sync.Mutex // answers, and what software sends
}

func (l *line) serve(ctx context.Context) error {
	buf := make([]byte, readSize)
	for {
		n, err := l.conn.Read(buf)
		for in, ok := buf[:n], true; ok; {
			var e Event
			if e, in, ok = l.codec.Next(in); !ok {
				break
			}
			if err := l.event(ctx, e); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

// event answers what the line brought. A channel that takes no messages is
// silent.
func (l *line) event(ctx context.Context, e Event) error {
	if _, open := l.door.opens(); !open {
		return nil
	}
	l.expire(time.Now())
	if err := l.write(l.codec.AppendReceipt(nil, e)); err != nil {
		return err
	}
	switch {
	case e.Err != nil:
		l.door.log().Debug("serial line brought no message", "err", e.Err)
		return nil
	case e.Text != "":
		return l.write(l.text(ctx, e.Text))
	}
	reply, ok := l.answer(ctx, e.Frame)
	if !ok {
		return nil
	}
	out, err := l.codec.AppendFrame(nil, reply)
	if err != nil {
		out, err = l.codec.AppendFrame(nil, e.Frame.Reply(ipmb.Response{Code: ipmb.ErrCannotReturn}))
	}
	if err != nil {
		return err
	}
	return l.write(out)
}

// answer gives the frame that answers f, if any does.
func (l *line) answer(ctx context.Context, f ipmb.Frame) (ipmb.Frame, bool) {
	switch {
	case l.local(f.To) && f.ToLUN == ipmb.LUNSMS && l.door.cfg.Deliver != nil:
		return l.deliver(f)
	case f.IsResponse():
		return ipmb.Frame{}, false // nobody here asked
	case l.local(f.To):
		return f.Reply(l.ask(ctx, f)), true
	case l.door.cfg.Mode == Radisys:
		return l.bridge(ctx, f), true
	}
	return ipmb.Frame{}, false
}

// deliver gives a message to system management software, which answers when it
// likes. Who may nothing may not speak to it either.
func (l *line) deliver(f ipmb.Frame) (ipmb.Frame, bool) {
	code := ipmb.OK
	switch p := l.origin().Privilege; {
	case p < ipmb.PrivilegeUser:
		code = ipmb.ErrPrivilege
	case !l.door.cfg.Deliver(p, uint8(l.door.handle.Load()), f):
		code = ipmb.ErrBusy
	}
	if code == ipmb.OK || f.IsResponse() {
		return ipmb.Frame{}, false
	}
	return f.Reply(ipmb.Response{Code: code}), true
}

// local reports whether an address means the controller.
func (l *line) local(a ipmb.Addr) bool {
	return a == addrBMC || a == l.door.cfg.Origin.Source || l.door.cfg.Mode == Radisys && a == addrLocal
}

// ask has the controller answer, or the session's own commands.
func (l *line) ask(ctx context.Context, f ipmb.Frame) ipmb.Response {
	req := f.Request(l.origin())
	req.Origin.SourceLUN = f.FromLUN
	if l.door.cfg.Mode.Sessions() {
		if r, ok := l.sessionCommand(ctx, req); ok {
			return r
		}
	}
	return l.door.cfg.Handler.ServeIPMI(ctx, req)
}

// bridge sends a frame for another controller as Send Message does, which
// carries the whole frame that answers it.
func (l *line) bridge(ctx context.Context, f ipmb.Frame) ipmb.Frame {
	raw, err := f.AppendBinary(nil)
	if err != nil {
		return f.Reply(ipmb.Response{Code: ipmb.ErrLength})
	}
	body, err := ipmb.SendMessage{Tracking: ipmb.TrackRequest, Channel: ipmb.ChannelIPMB, Message: raw}.AppendBinary(nil)
	if err != nil {
		return f.Reply(ipmb.Response{Code: ipmb.ErrLength})
	}
	r := l.door.cfg.Handler.ServeIPMI(ctx, &ipmb.Request{
		NetFn: ipmb.NetFnApp, Cmd: ipmb.CmdSendMessage, Data: body, Origin: l.origin(),
	})
	if r.Code != ipmb.OK {
		return f.Reply(ipmb.Response{Code: r.Code})
	}
	reply, err := ipmb.ParseFrame(r.Data)
	if err != nil {
		return f.Reply(ipmb.Response{Code: ipmb.ErrUnspecified})
	}
	return reply
}

// origin is who speaks on this line now.
func (l *line) origin() ipmb.Origin {
	o := l.door.cfg.Origin
	limit, _ := l.door.opens()
	if s := l.session; s != nil {
		o.Privilege, o.Session = s.privilege, s.id
	}
	o.Privilege = min(o.Privilege, limit)
	return o
}

func (l *line) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	_ = l.conn.SetWriteDeadline(time.Now().Add(stuckLate))
	_, err := l.conn.Write(b)
	return err
}
