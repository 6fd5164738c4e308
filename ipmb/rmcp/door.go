package rmcp

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/crew"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// Limits of a door.
const (
	maxBusy = 8 // requests of one session that are worked on at once
	maxLate = 256
	maxIdle = 4 // goroutines that wait for a request that waits
)

// Asked before there is a session (IPMI 2.0 appendix G): what a client needs to
// log in, and nothing else.
var sessionless = map[ipmb.Cmd]bool{0x37: true, 0x38: true, 0x54: true}

// DoorConfig is what a door is built on.
type DoorConfig struct {
	Sessions *Sessions
	Handler  ipmb.Handler
	// Origin is of the requests, but for what the session says.
	Origin ipmb.Origin
	// Effect reports whether a request must not be done twice.
	Effect func(*ipmb.Request) bool
	Style  ipmb.BridgeStyle
	Count  *mc.LANCounters
	// SOL serves that payload; nil: it is dropped.
	SOL *SOL
	// Software puts a session's message for LUN 2 where system management software
	// finds it, and reports whether there was room; that answers by [Sessions.Send].
	// nil: there is none, and the Handler says so.
	Software func(privilege ipmb.Privilege, handle uint8, f ipmb.Frame) bool
	Log      *slog.Logger
}

// Door serves a controller on a UDP socket.
type Door struct {
	DoorConfig
	socket  *socket
	stop    context.CancelCauseFunc // ends Serve
	group   sync.WaitGroup
	crew    *crew.Crew      // for requests that wait
	serving context.Context // SOL's lock guards it
	left    atomic.Bool     // it was moved: only those who are logged in are served
	helpers chan struct{}   // bounds them
	outlook outlook
	relief  time.Duration // see reliefAfter
	late    chan struct{} // bounds answers that wait
	limits  *limits
}

// NewDoor makes a door; Serve opens it.
func NewDoor(c DoorConfig) *Door {
	return &Door{
		DoorConfig: c, limits: newLimits(), crew: crew.New(maxIdle), late: make(chan struct{}, maxLate), relief: reliefAfter,
		helpers: make(chan struct{}, min(maxHelpers, runtime.GOMAXPROCS(0)-1)),
	}
}

// Serve answers what comes by conn until ctx ends, and closes it. Its sessions
// end with it, unless it was moved.
func (d *Door) Serve(ctx context.Context, conn net.PacketConn) error {
	d.socket = newSocket(conn)
	ctx, d.stop = context.WithCancelCause(ctx)
	defer func() {
		if !d.left.Load() {
			d.Sessions.Close()
		}
	}()
	defer d.crew.Close()
	defer d.group.Wait()
	defer d.SOL.close(d)
	d.SOL.open(ctx, d)
	defer d.stop(nil)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	d.group.Go(func() { d.read(ctx) })
	<-ctx.Done()
	return context.Cause(ctx)
}

// take deals with one datagram, and what came with it; see [Steps]. It must not keep b.
func (d *Door) take(ctx context.Context, b, login []byte, from netip.AddrPort) {
	d.Count.Received.Add(1)
	d.Count.UDP.Add(1)
	class, rest, err := splitRMCP(b)
	if err != nil || len(b) > maxDatagram {
		d.Count.HeaderErrors.Add(1)
		return
	}
	switch class {
	case classASF:
		if tag, err := parsePing(rest); err == nil && !d.left.Load() && d.limits.take(limitBare, from, time.Now()) {
			d.send(appendPong(nil, tag), from)
		}
	case classIPMI:
		d.Count.RMCP.Add(1)
		if p, err := parsePacket(rest); err == nil {
			p.login = login
			d.packet(ctx, p, from)
		}
	}
}

// packet deals with a session-wrapped payload.
func (d *Door) packet(ctx context.Context, p packet, from netip.AddrPort) {
	if p.auth != 0 {
		d.authenticated15(ctx, p, from)
		return
	}
	if p.ID != 0 {
		d.inSession(ctx, p, from)
		return
	}
	if p.Seq != 0 || p.Encrypted || p.Authenticated || d.left.Load() {
		return
	}
	if p.Type == PayloadIPMI {
		d.outside(ctx, p, from)
		return
	}
	if !d.limits.take(limitStep, from, time.Now()) {
		return
	}
	r, ok := d.Sessions.step(p.Type, p.Payload, p.login, from, time.Now())
	if !ok {
		d.limits.unsaid(limitStep, from)
		return
	}
	if r.login {
		d.limits.loggedIn(from, time.Now())
	}
	answer := appendBare(nil, true, r.kind, r.body)
	if d.Sessions.cfg.Store != nil && d.stored(ctx, p, r, answer, from) {
		return
	}
	if r.after == 0 {
		d.sendStep(answer, r.state, from)
		return
	}
	d.Log.Warn("wrong password again", "from", from.String(), "answer_after", r.after)
	d.sendLate(ctx, answer, r.state, from, r.after)
}

// sendLate sends an answer after a while, or not at all if too many wait.
func (d *Door) sendLate(ctx context.Context, answer, login []byte, to netip.AddrPort, after time.Duration) {
	select {
	case d.late <- struct{}{}:
	default:
		return
	}
	d.group.Go(func() {
		defer func() { <-d.late }()
		select {
		case <-time.After(after):
			if !d.Sessions.unheard(to, after) {
				d.sendStep(answer, login, to)
			}
		case <-ctx.Done():
		}
	})
}

// outside answers what may be asked without a session.
func (d *Door) outside(ctx context.Context, p packet, from netip.AddrPort) {
	f, err := ipmb.ParseFrame(p.Payload)
	if err != nil || f.IsResponse() || f.NetFn != ipmb.NetFnApp || !d.sessionless(p, f.Cmd) {
		return
	}
	setting, ok := d.Sessions.cfg.Active(d.Sessions.cfg.Channel)
	if !ok || setting.Mode() == mc.AccessDisabled || !d.limits.take(limitBare, from, time.Now()) {
		return
	}
	o := d.Origin
	o.Privilege = ipmb.PrivilegeNone
	ctx = context.WithValue(ctx, consoleKey{}, from)
	r := d.Handler.ServeIPMI(ctx, f.Request(o))
	out, err := f.Reply(r).AppendBinary(nil)
	if err == nil && !d.Sessions.silent(r) {
		d.send(appendBare(nil, p.plus, PayloadIPMI, out), from)
	}
}

// sessionless reports whether a command needs no session in that framing.
func (d *Door) sessionless(p packet, cmd ipmb.Cmd) bool {
	return sessionless[cmd] || cmd == cmdChallenge && !p.plus && d.Sessions.cfg.AuthTypes != 0
}

func (d *Door) send(b []byte, to netip.AddrPort) { d.sendStep(b, nil, to) }

// sendStep sends an answer to a message of a login, and what goes with it.
func (d *Door) sendStep(b, login []byte, to netip.AddrPort) {
	if b == nil {
		return
	}
	if d.socket.write(b, login, to) == nil {
		d.Count.Sent.Add(1)
	}
}
