package rmcp

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// Limits of what sessions ask system management software, which answers when it
// likes, or never.
const (
	// softwarePatience is how long a request waits: no client does so for longer
	// by default, nor would Linux.
	softwarePatience = 10 * time.Second
	// maxAsked leaves a session room for other requests (maxBusy).
	maxAsked = 4
)

// asked is a session's request that software has not answered.
type asked struct {
	frame  ipmb.Frame
	answer chan ipmb.Frame // has room for one
}

// is reports whether f answers it.
func (a *asked) is(f ipmb.Frame) bool {
	q := a.frame
	return f.IsResponse() && f.To == q.From && f.Seq == q.Seq && f.NetFn.Request() == q.NetFn && f.Cmd == q.Cmd
}

// forSoftware gives a message for LUN 2 to software, and sends its answer to the
// session. Nobody has to answer: then the client hears nothing.
func (d *Door) forSoftware(ctx context.Context, s *session, f ipmb.Frame, o ipmb.Origin, one *repeat, to netip.AddrPort) {
	var answers [][]byte
	if r, ok := d.software(ctx, s, f, o.Privilege); ok {
		b, err := r.AppendBinary(nil)
		if err != nil {
			b, _ = f.Reply(ipmb.Response{Code: ipmb.ErrCannotReturn}).AppendBinary(nil)
		}
		answers = [][]byte{b}
	}
	if d.answer(s, one, answers, answers, to) {
		s.wipe()
	}
}

// software gives the frame that answers f, if any does. Who may nothing may not
// speak to software either.
func (d *Door) software(ctx context.Context, s *session, f ipmb.Frame, p ipmb.Privilege) (ipmb.Frame, bool) {
	if p < ipmb.PrivilegeUser {
		return f.Reply(ipmb.Response{Code: ipmb.ErrPrivilege}), !f.IsResponse()
	}
	if f.IsResponse() {
		d.Software(p, s.handle, f)
		return ipmb.Frame{}, false
	}
	a := d.Sessions.await(s, f, time.Now())
	if a == nil {
		return f.Reply(ipmb.Response{Code: ipmb.ErrBusy}), true
	}
	defer d.Sessions.forget(s, a)
	if !d.Software(p, s.handle, f) {
		return f.Reply(ipmb.Response{Code: ipmb.ErrBusy}), true
	}
	timer := time.NewTimer(softwarePatience)
	defer timer.Stop()
	select {
	case r := <-a.answer:
		return r, true
	case <-timer.C:
	case <-s.ended():
	case <-ctx.Done():
	}
	return ipmb.Frame{}, false
}

// await enters a request, unless too many wait, or an earlier session of this
// handle may still be answered: what it asked is nobody else's business.
func (t *Sessions) await(s *session, f ipmb.Frame, now time.Time) *asked {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.find(s.id) != s || len(s.asked) >= maxAsked || now.Sub(t.unanswered[s.handle]) < softwarePatience {
		return nil
	}
	a := &asked{f, make(chan ipmb.Frame, 1)}
	s.asked = append(s.asked, a)
	return a
}

func (t *Sessions) forget(s *session, a *asked) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.asked = slices.DeleteFunc(s.asked, func(other *asked) bool { return other == a })
}

// Send sends a message of system management software to the session with a
// handle: 80h if there is none, 83h if it cannot be reached. An answer that it does
// not wait for is dropped.
func (t *Sessions) Send(handle uint8, f ipmb.Frame) error {
	if c, ok := t.cfg.Active(t.cfg.Channel); !ok || c.Mode() == mc.AccessDisabled {
		return ipmb.ErrNAK
	}
	s, door, to := t.receiver(handle, f)
	switch {
	case s == nil:
		return ipmb.ErrHandle
	case f.IsResponse():
		return nil
	case door == nil:
		return ipmb.ErrNAK
	}
	b, err := f.AppendBinary(nil)
	if err != nil {
		return ipmb.ErrLength
	}
	door.send(s.seal(PayloadIPMI, b), to)
	return nil
}

// receiver finds a handle's session, nil for none, and by which door its console
// last spoke. It hands an answer to the request that waits for it.
func (t *Sessions) receiver(handle uint8, f ipmb.Frame) (s *session, door *Door, to netip.AddrPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if int(handle) < len(t.handles) {
		s = t.handles[handle]
	}
	if s == nil {
		return nil, nil, to
	}
	if i := slices.IndexFunc(s.asked, func(a *asked) bool { return a.is(f) }); i >= 0 {
		f.Data = slices.Clone(f.Data)
		s.asked[i].answer <- f
		s.asked = slices.Delete(s.asked, i, i+1)
	}
	return s, s.door, s.peer
}
