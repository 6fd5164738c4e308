package node

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// Limits of the bridge.
const (
	// nestedPatience is how long a Send Message that came over the bus waits
	// for the answer that it must carry back in its own.
	nestedPatience = 5 * time.Second
	// guestPatience is how long guest software may take to answer a LUN 2
	// request; Linux gives up on its own after ten seconds.
	guestPatience = 10 * time.Second
)

// bus is the way out: the uplink, or nothing on a standalone node.
type bus interface {
	ipmb.Bus
	// Absent reports whether the presence table knows nobody at an address.
	Absent(ipmb.Addr) bool
}

// bridge carries messages between the guest's system interface and IPMB.
//
// A guest's request gets its acknowledgement at once and its answer later, in
// the receive message queue, under the sequence number that the guest chose.
// On the bus it has the node's own address, number and 64-bit id, whatever
// the guest wrote into rqSA: ipmitool rewrites that freely.
type bridge struct {
	self      ipmb.Addr
	shelf     string
	out       bus
	requester *ipmb.Requester
	mail      *messages
	policy    *ipmb.GuestPolicy
	retries   ipmb.RetryFilter
	log       *slog.Logger
	spawn     func(func(context.Context)) // starts a goroutine that the node waits for

	mu    sync.Mutex
	asked map[guestAsk]ipmb.Message // LUN 2 requests that guest software has not answered
}

// guestAsk is what a guest's answer is matched by.
type guestAsk struct {
	from  ipmb.Addr
	seq   uint8
	netFn ipmb.NetFn
	cmd   ipmb.Cmd
}

func (b *bridge) commands() []ipmb.Command {
	return []ipmb.Command{{
		Name: "Send Message", NetFn: ipmb.NetFnApp, Cmd: ipmb.CmdSendMessage, Privilege: ipmb.PrivilegeUser,
		Data: ipmb.AtLeast(1), Ref: "IPMI 2.0 §22.7", Do: b.sendMessage,
	}}
}

func (b *bridge) sendMessage(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	if req.Data[0]&0x0F != ipmb.ChannelIPMB {
		return nil, ipmb.ErrInvalidField
	}
	s, err := ipmb.ParseSendMessage(req.Data)
	if err != nil {
		return nil, err
	}
	f, err := ipmb.ParseFrame(s.Message)
	if err != nil {
		return nil, ipmb.ErrInvalidField
	}
	if req.Origin.Speaker == ipmb.SpeakerGuest {
		if err := b.policy.Permit(f); err != nil {
			b.log.Warn("guest message refused", "frame", f.String(), "code", err)
			return nil, err
		}
	}
	if req.Origin.Door == ipmb.DoorSystem {
		return nil, b.fromGuest(f, req.Origin)
	}
	return b.nested(ctx, f, req.Origin)
}

// fromGuest takes a message of the own guest: an answer to a LUN 2 request, or
// a request, which is under way when it returns nil.
func (b *bridge) fromGuest(f ipmb.Frame, o ipmb.Origin) error {
	if f.IsResponse() {
		b.guestAnswers(f)
		return nil
	}
	if f.To != b.self && b.out.Absent(f.To) {
		return ipmb.ErrDestination
	}
	who := ipmb.Requestor{Target: f.To, Source: b.self, LUN: f.FromLUN}
	if b.retries.Seen(who, f.Seq, retryKey(f), time.Now()) {
		return nil // it is on its way; its answer will do for both
	}
	req := f.Request(b.originOnBus(o, f))
	req.Data = append([]byte(nil), f.Data...)
	b.spawn(func(ctx context.Context) {
		answer, err := b.requester.Do(ctx, f.To, req, ipmb.LinuxRhythm)
		if code := ipmb.CodeOf(err); code == ipmb.ErrDestination || code == ipmb.ErrBusy {
			answer, err = ipmb.Response{Code: code}, nil // nobody will answer: say so rather than let the guest wait
		}
		if err == nil {
			reply := f.Reply(answer)
			reply.To = b.self
			b.mail.push(reply)
		}
		b.retries.Done(who, f.Seq, time.Now())
		if err != nil && !errors.Is(err, context.Canceled) {
			b.log.Warn("no answer for the guest", "frame", f.String(), "err", err)
		}
	})
	return nil
}

// originOnBus is what a message of the own guest claims on the bus: operator at
// most, and the guest policy besides.
func (b *bridge) originOnBus(o ipmb.Origin, f ipmb.Frame) ipmb.Origin {
	return ipmb.Origin{
		Speaker: o.Speaker, Door: ipmb.DoorIPMB, Channel: ipmb.ChannelIPMB,
		Privilege: min(o.Privilege, ipmb.PrivilegeOperator), Shelf: b.shelf, Source: b.self, SourceLUN: f.FromLUN,
	}
}

// retryKey is all that a retry repeats.
func retryKey(f ipmb.Frame) []byte {
	return append([]byte{byte(f.NetFn)<<2 | byte(f.ToLUN), byte(f.Cmd)}, f.Data...)
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
	ctx, cancel := context.WithTimeout(ctx, nestedPatience)
	defer cancel()
	o.Source, o.SourceLUN = b.self, f.FromLUN
	req := f.Request(o)
	answer, err := b.requester.Do(ctx, f.To, req, ipmb.ControllerRhythm)
	if err != nil {
		return nil, err
	}
	return f.Reply(answer).AppendBinary(nil)
}

// forGuest puts a LUN 2 request into the receive message queue, once however
// often its sender repeats it.
func (b *bridge) forGuest(m ipmb.Message) {
	ask := guestAsk{m.Frame.From, m.Frame.Seq, m.Frame.NetFn, m.Frame.Cmd}
	b.mu.Lock()
	known, ok := b.asked[ask]
	repeat := ok && known.ID == m.ID && known.Instance == m.Instance
	if !repeat {
		b.asked[ask] = m
	}
	b.mu.Unlock()
	if repeat {
		return
	}
	if !b.mail.push(m.Frame) {
		b.forget(ask, m.ID)
		return
	}
	b.spawn(func(ctx context.Context) {
		timer := time.NewTimer(guestPatience)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		b.forget(ask, m.ID)
	})
}

func (b *bridge) forget(ask guestAsk, id uint64) (ipmb.Message, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m, ok := b.asked[ask]
	if !ok || (id != 0 && m.ID != id) {
		return ipmb.Message{}, false
	}
	delete(b.asked, ask)
	return m, true
}

// guestAnswers sends the answer of guest software to whoever asked. An answer
// that nobody waits for is dropped, as on the wire.
func (b *bridge) guestAnswers(f ipmb.Frame) {
	m, ok := b.forget(guestAsk{f.To, f.Seq, f.NetFn.Request(), f.Cmd}, 0)
	if !ok {
		b.log.Debug("answer of the guest to nobody", "frame", f.String())
		return
	}
	f.From, f.ToLUN, f.FromLUN = b.self, m.Frame.FromLUN, m.Frame.ToLUN
	f.Data = append([]byte(nil), f.Data...)
	b.spawn(func(ctx context.Context) {
		answer := ipmb.Message{ID: m.ID, Instance: m.Instance, Frame: f, Plane: m.Plane}
		if err := b.out.Send(ctx, answer); err != nil {
			b.log.Debug("answer of the guest not sent", "frame", f.String(), "err", err)
		}
	})
}
