package rmcp

import (
	"context"
	"net/netip"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// inSession deals with a packet that names a session: one that its keys do not
// open is as if it had never come.
func (d *Door) inSession(ctx context.Context, p packet, from netip.AddrPort) {
	s := d.Sessions.lookup(p.ID)
	if s == nil || p.Type != PayloadIPMI && p.Type != PayloadSOL {
		return
	}
	message, err := s.unseal(p)
	if err != nil {
		return
	}
	if p.Type == PayloadSOL {
		d.SOL.take(s, p.Seq, message, from)
		return
	}
	f, err := ipmb.ParseFrame(message)
	toSoftware := d.Software != nil && f.ToLUN == ipmb.LUNSMS
	if err != nil || f.IsResponse() && !toSoftware {
		return
	}
	came := time.Now()
	o, one, again := d.Sessions.admit(d, s, p.Seq, message, from, came)
	switch {
	case one == nil:
	case again:
		for i, a := range one.answers {
			d.send(d.Sessions.sealAnswer(s, one.seq, i, a), from)
		}
	case toSoftware:
		d.crew.Go(func() { d.forSoftware(ctx, s, f, o, one, from) })
	case d.waits(f):
		d.crew.Go(func() {
			d.serve(ctx, s, f, o, one, from)
			d.lookOut(ctx, came)
		})
	default:
		d.serve(ctx, s, f, o, one, from)
	}
}

// waits reports whether the answer to f takes a while for sure: it comes from
// another controller, when the disk has what was changed, or where there is a
// store from all of the cluster. Else a session's own commands are of memory.
func (d *Door) waits(f ipmb.Frame) bool {
	switch {
	case d.Sessions.cfg.Store != nil, bridges(f):
		return true
	case f.NetFn == ipmb.NetFnApp && (f.Cmd == cmdSetPrivilege || f.Cmd == cmdCloseSession):
		return false
	}
	return d.Effect(f.Request(d.Origin))
}

// lookup finds a session for a packet that came.
func (t *Sessions) lookup(id uint32) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.find(id)
}

// admit takes a message that a session's keys opened: not one that came before,
// nor one of a session that has too many under way. again says that the client
// repeats what it asked: answers are those that there are.
func (t *Sessions) admit(d *Door, s *session, seq uint32, message []byte, from netip.AddrPort, now time.Time) (o ipmb.Origin, one *repeat, again bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	setting, ok := t.cfg.Active(t.cfg.Channel)
	in, fresh := s.in.accept(seq)
	if !ok || !fresh || t.cfg.Store != nil && s.state != stateKept || setting.Mode() == mc.AccessDisabled || t.find(s.id) != s {
		return o, nil, false
	}
	if s.busy == 0 && now.Sub(s.last) > IdleTime {
		t.remove(s)
		s.wipe()
		return o, nil, false
	}
	s.in, s.last, s.peer, s.door = in, now, from, d
	if s.first == 0 {
		s.first = seq
	}
	if one, again = s.repeats.find(message, now); again {
		return o, &repeat{answers: one.answers, seq: seq}, true
	}
	if s.busy >= maxBusy {
		s.repeats = s.repeats[:len(s.repeats)-1]
		return o, nil, false
	}
	s.busy++
	one.seq = seq
	return ipmb.Origin{Session: s.id, Privilege: min(s.privilege, setting.Limit)}, one, false
}

// done notes the answers to a message; nil lets a repeat be done again.
func (t *Sessions) done(s *session, one *repeat, answers [][]byte) (ended bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.busy--
	s.repeats.done(one, answers, time.Now())
	return t.find(s.id) != s
}

// serve does one request of a session's and sends its answer.
func (d *Door) serve(ctx context.Context, s *session, f ipmb.Frame, o ipmb.Origin, one *repeat, to netip.AddrPort) {
	origin := d.Origin
	origin.Session, origin.Privilege = o.Session, o.Privilege
	if d.Sessions.cfg.Store != nil {
		origin.Instance, origin.ID = d.Sessions.name(s, one)
	}
	req := f.Request(origin)
	r := d.Handler.ServeIPMI(ctx, req)
	if d.Sessions.silent(r) {
		if d.Sessions.done(s, one, nil) {
			s.wipe()
		}
		return
	}
	answers := d.split(f, r)
	keep := answers
	if !bridges(f) && !d.Effect(req) {
		keep = nil
	}
	ended := d.answer(s, one, answers, keep, to)
	d.SOL.answered(s)
	if ended {
		s.wipe()
	}
}

// answer sends the answers to a request, and keeps some for its repeats. It
// reports whether the session is over, which may be by that request.
func (d *Door) answer(s *session, one *repeat, answers, keep [][]byte, to netip.AddrPort) (ended bool) {
	ended = d.Sessions.done(s, one, keep)
	for i, a := range answers {
		d.send(d.Sessions.sealAnswer(s, one.seq, i, a), to)
	}
	return ended
}

func bridges(f ipmb.Frame) bool { return f.NetFn == ipmb.NetFnApp && f.Cmd == ipmb.CmdSendMessage }

// split gives the messages that answer f: one, but for a tracked Send Message,
// whose answer is followed by that of the controller it was for, unless the
// door's style is another one.
func (d *Door) split(f ipmb.Frame, r ipmb.Response) [][]byte {
	r, inner := d.Style.Apart(f, r)
	b, err := f.Reply(r).AppendBinary(make([]byte, 0, ipmb.MinFrameLen+1+len(r.Data)))
	if err != nil {
		b, _ = f.Reply(ipmb.Response{Code: ipmb.ErrCannotReturn}).AppendBinary(nil)
	}
	if inner != nil {
		return [][]byte{b, inner}
	}
	return [][]byte{b}
}
