package serial

import (
	"context"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// line is one connection of a port.
type line struct {
	door  *Door
	codec Codec
	conn  Conn
	setup setup // what was asked for on the way to a session
	// mode is the configuration of terminal mode that holds on this line alone;
	// nil: the channel's does.
	mode *mc.TerminalMode

	writing sync.Mutex // answers, and what software sends
}

func (l *line) serve(ctx context.Context) error {
	buf := make([]byte, readSize)
	for {
		n, err := l.conn.Read(buf)
		for in, ok := buf[:n], true; ok; {
			l.configure()
			var e Event
			if e, in, ok = l.next(in); !ok {
				break
			}
			if err := l.event(ctx, e); err != nil {
				return err
			}
		}
		if err := l.write(l.echo()); err != nil {
			return err
		}
		if err != nil {
			return err
		}
	}
}

// configure tells the codec how the line is to be spoken.
func (l *line) configure() {
	s := l.door.settings()
	if l.mode != nil {
		s.Mode = *l.mode
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	l.codec.Configure(s)
}

func (l *line) next(in []byte) (Event, []byte, bool) {
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.codec.Next(in)
}

// echo is what the line gets back of what it brought. A channel that takes no
// messages is silent.
func (l *line) echo() []byte {
	echo := l.codec.AppendEcho(nil)
	if _, open := l.door.opens(); !open {
		return nil
	}
	return echo
}

// event answers what the line brought. A channel that takes no messages is
// silent.
func (l *line) event(ctx context.Context, e Event) error {
	echo := l.echo()
	if _, open := l.door.opens(); !open {
		return nil
	}
	l.door.hear(time.Now())
	if err := l.write(l.codec.AppendReceipt(echo, e)); err != nil {
		return err
	}
	out, err := l.reply(ctx, e)
	if err != nil {
		return err
	}
	return l.write(l.codec.AppendReady(out))
}

// reply gives what answers an event, nothing if nothing does.
func (l *line) reply(ctx context.Context, e Event) ([]byte, error) {
	switch {
	case e.Err != nil:
		l.door.log().Debug("serial line brought no message", "err", e.Err)
		return nil, nil
	case e.Text != "":
		text, err := l.text(ctx, e.Text)
		return l.codec.AppendText(nil, text, err), nil
	}
	reply, ok := l.answer(ctx, e.Frame)
	if !ok {
		return nil, nil
	}
	reply, inner := l.split(e.Frame, reply)
	out, err := l.codec.AppendFrame(nil, reply, false)
	if err != nil {
		return l.codec.AppendFrame(nil, e.Frame.Reply(ipmb.Response{Code: ipmb.ErrCannotReturn}), false)
	}
	if inner != nil {
		return l.codec.AppendFrame(out, *inner, true)
	}
	return out, nil
}

// split takes the answer of a tracked Send Message apart: its completion code
// comes first, and the answer of the controller that it was for is a message of
// its own (IPMI 2.0 §14.7), unless the port's style is another one. Where nothing
// is said that is for terminal mode: on a line of binary packets ipmitool
// overlooks one that it has read together with another (serial_bm_recv_msg).
func (l *line) split(f, reply ipmb.Frame) (ipmb.Frame, *ipmb.Frame) {
	style := l.door.cfg.Style
	if style == "" && f.From != addrTerminal {
		style = ipmb.BridgeEmbedded
	}
	r, ok := reply.Response()
	if !ok {
		return reply, nil
	}
	_, raw := style.Apart(f, r)
	inner, err := ipmb.ParseFrame(raw)
	if err != nil {
		return reply, nil
	}
	reply.Data = reply.Data[:1]
	return reply, &inner
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
	case !l.door.cfg.Deliver(p, l.door.handle(), f):
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
	if s, open := l.door.Session(); open {
		o.Privilege, o.Session = s.Privilege, s.ID
	}
	o.Privilege = min(o.Privilege, limit)
	return o
}

// send sends a message of system management software.
func (l *line) send(f ipmb.Frame) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	out, err := l.codec.AppendFrame(nil, f, false)
	if err != nil {
		return ipmb.ErrLength
	}
	if err := l.put(out); err != nil {
		return ErrNoLine
	}
	return nil
}

func (l *line) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.put(b)
}

// put writes; whoever calls it holds the lock.
func (l *line) put(b []byte) error {
	_ = l.conn.SetWriteDeadline(time.Now().Add(stuckLate))
	_, err := l.conn.Write(b)
	return err
}
