package vm

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// The device waits four seconds of VM time for an answer, then tells the
// guest C3h (QEMU hw/ipmi/ipmi_bmc_extern.c, continue_send). An answer after
// that would be dropped, but would also stop the timeout of the next request:
// so it must not be sent.
const answerWithin = 4 * time.Second

// maxSlow bounds the handlers that nobody waits for any more and that still
// run. With so many, requests are answered C0h, node busy.
const maxSlow = 8

// turn is one request being served. The goroutine that read it calls the
// handler itself: that is the fast path, without a switch. When the handler is
// slow, the watch gives the reading to a new goroutine and the turn to
// door.slow, so that the link's end or a newer request is seen meanwhile.
type turn struct {
	link  *link
	msg   Message
	data  [MaxMessage]byte
	req   ipmb.Request
	ctx   requestContext
	began time.Duration // VM time
	looks int           // how often the watch has seen it
	slow  bool
	fault FaultKind // what spoils its answer; 0: nothing
}

// request serves one request on the reading goroutine.
func (l *link) request(m Message) error {
	l.asks()
	t, err := l.begin(m)
	if t == nil {
		return err
	}
	if l.door.cfg.Tap != nil {
		l.door.tap(FromGuest, wireBytes(t.msg), "")
	}
	return l.door.finish(t, l.serve(t))
}

// begin makes m the door's newest request. It gives nil when m is not to be served.
func (l *link) begin(m Message) (*turn, error) {
	d := l.door
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case l.handing:
		l.unserved = AppendMessage(l.unserved, m)
		return nil, errStopped
	case l.draining || l.dead:
		return nil, nil
	}
	l.firstRequest()
	if d.active != l {
		d.takeOver(l)
	}
	d.supersede(l)
	d.last, d.reply = sequence{m.Seq, true}, d.reply[:0]
	d.memory.note(m)
	if len(d.slow) >= maxSlow {
		d.answer(l, m, ipmb.Response{Code: ipmb.ErrBusy}, 0)
		return nil, nil
	}
	t := l.newTurn(m)
	l.turn, l.newest, d.current = t, t, t
	d.served++
	d.arm()
	return t, nil
}

func (l *link) firstRequest() {
	if !l.asked {
		l.asked = true
		if l.kick != nil {
			l.kick.Stop()
		}
	}
}

func (l *link) newTurn(m Message) *turn {
	d, t := l.door, l.free
	if t == nil {
		t = &turn{link: l}
		t.ctx.Context = context.Background()
	}
	l.free = nil
	t.msg, t.looks = m, 0
	t.msg.Data = t.data[:copy(t.data[:], m.Data)]
	t.req = ipmb.Request{NetFn: m.NetFn, LUN: m.LUN, Cmd: m.Cmd, Data: t.msg.Data, Origin: d.origin}
	t.began = d.clock.now() - d.backdate
	d.backdate = 0
	return t
}

// supersede makes room for a request by l. An older one of the same link its
// requester has given up; by another link it is still waited for.
func (d *Door) supersede(l *link) {
	l.giveUp()
	if t := d.current; t != nil && !t.link.usable() {
		t.ctx.end(context.Canceled)
	}
	d.current = nil
}

// giveUp ends the wait for the last request of l. The caller holds door.mu.
func (l *link) giveUp() {
	if t := l.newest; t != nil {
		t.ctx.end(context.Canceled)
		l.door.forget(t)
	}
}

// finish sends the answer, unless nobody waits for it.
func (d *Door) finish(t *turn, r ipmb.Response) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := t.link
	unused := t.ctx.release()
	if t.slow {
		d.slow = slices.DeleteFunc(d.slow, func(o *turn) bool { return o == t })
	} else {
		l.turn = nil
	}
	age := d.clock.now() - t.began
	switch inTime := age < answerWithin || t.msg.unheard(); {
	case inTime && d.settle(t, r, t.fault):
		if t.fault.silent() && t.msg.mistold() {
			l.rescueLater(t.msg, tellWithin-age, ipmb.ErrTimeout)
		}
	case age >= tellWithin:
		d.drop(t, "late")
	default:
		d.drop(t, "superseded")
	}
	l.flush() // what the handler queued
	d.notify()
	if t.slow {
		return errHandedOff
	}
	if unused {
		l.free = t
	}
	return nil
}

// settle answers t with r if that is waited for, and reports whether it was. The
// caller holds d.mu.
func (d *Door) settle(t *turn, r ipmb.Response, bad FaultKind) bool {
	l, newest, waits := t.link, d.current == t, t.link.newest == t && t.link.usable()
	d.forget(t)
	switch {
	case newest:
		d.answer(l, t.msg, r, bad)
	case waits: // by another link something newer was asked
		l.out = append(l.out, l.frameOf(nil, t.msg, r, bad)...)
		l.flushSoon()
	}
	return newest || waits
}

// forget ends the wait for t.
func (d *Door) forget(t *turn) {
	if d.current == t {
		d.current = nil
	}
	if t.link.newest == t {
		t.link.newest = nil
	}
}

// answer sends r by the link that m came by, or by the active one if that is
// gone, and remembers it for a link that follows. The caller holds d.mu.
func (d *Door) answer(l *link, m Message, r ipmb.Response, bad FaultKind) {
	if !l.usable() && d.active != nil {
		l = d.active
	}
	d.reply, d.replyTo = l.frameOf(d.reply[:0], m, r, bad), l
	l.out = append(l.out, d.reply...)
	l.flushSoon()
}

// frameOf gives the answer r to m as the link is to be told, in b's room.
func (l *link) frameOf(b []byte, m Message, r ipmb.Response, bad FaultKind) []byte {
	d := l.door
	if len(r.Data) > d.cfg.Interface.MaxData() {
		r = ipmb.Response{Code: ipmb.ErrTruncated}
	}
	if bad == FaultWrongSeq {
		l.rescueLater(m, kickAfter, ipmb.ErrInitialising)
		m.Seq ^= 0x80
	}
	if d.cfg.Tap != nil {
		d.tap(ToGuest, responseBytes(m, r), "")
	}
	return bad.spoil(appendResponse(b, m, r))
}

// drop gives up the answer to t.
func (d *Door) drop(t *turn, why string) {
	d.forget(t)
	d.log.Warn("answer dropped", "why", why, "seq", t.msg.Seq,
		"netfn", t.msg.NetFn, "cmd", t.msg.Cmd, "after", d.clock.now()-t.began)
	if d.cfg.Tap != nil {
		d.tap(ToGuest, nil, fmt.Sprintf("answer to %02x/%02x dropped: %s", uint8(t.msg.NetFn), uint8(t.msg.Cmd), why))
	}
}

func wireBytes(m Message) []byte {
	return append([]byte{byte(m.NetFn)<<netFnShift | byte(m.LUN), byte(m.Cmd)}, m.Data...)
}

func responseBytes(m Message, r ipmb.Response) []byte {
	return append([]byte{byte(m.NetFn.Response())<<netFnShift | byte(m.LUN), byte(m.Cmd), byte(r.Code)}, r.Data...)
}
