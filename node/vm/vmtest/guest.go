package vmtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/vm"
)

// Timeout is how long QEMU waits for an answer.
const Timeout = 4 * time.Second

// redial is how long a Guest waits between attempts to connect.
const redial = 10 * time.Millisecond

// ErrClosed is what a closed Guest says.
var ErrClosed = errors.New("vmtest: guest closed")

// Options of a [Guest]; the zero value is a usual QEMU with Linux.
type Options struct {
	Capabilities vm.Capabilities // 0: all
	Address      ipmb.Addr       // what the kernel puts into rqSA; 0: 20h, as Linux without other knowledge
	Seq          uint8           // number of the first request, as after a migration
	Timeout      time.Duration   // 0: Timeout
}

// Guest is a fake QEMU with a guest. It lives through any number of
// connections, one at a time. Its methods may be called from any goroutine;
// requests wait for each other.
type Guest struct {
	opt      Options
	asking   sync.Mutex // one request at a time
	wg       sync.WaitGroup
	closed   chan struct{}
	closeAll func()

	mu       sync.Mutex
	conn     net.Conn
	changed  chan struct{} // closed and renewed at every change of what follows
	seq      uint8
	waiting  *pending
	irq      bool
	atn      vm.Command
	commands []vm.Command
	dropped  int
	rqSeq    uint8
}

// pending is the outstanding request.
type pending struct {
	answer  chan ipmb.Response
	timer   *time.Timer
	unheard bool // what QEMU itself says of it has another number
	other   bool // … or is of another command
}

// New makes a Guest without a connection.
func New(o Options) *Guest {
	if o.Capabilities == 0 {
		o.Capabilities = vm.CapAll
	}
	if o.Address == 0 {
		o.Address = ipmb.AddrShelfManager
	}
	if o.Timeout == 0 {
		o.Timeout = Timeout
	}
	g := &Guest{opt: o, seq: o.Seq, closed: make(chan struct{}), changed: make(chan struct{})}
	g.closeAll = sync.OnceFunc(func() { close(g.closed) })
	return g
}

// Do asks for one command. Like QEMU it answers D2h when no node is connected
// or the connection breaks, and C3h when there is no answer in time. When ctx
// ends first the guest has given the request up, as a KCS abort does, and the
// next request goes out at once.
func (g *Guest) Do(ctx context.Context, n ipmb.NetFn, lun ipmb.LUN, cmd ipmb.Cmd, data []byte) (ipmb.CompletionCode, []byte, error) {
	g.asking.Lock()
	defer g.asking.Unlock()
	p, conn, frame := g.begin(vm.Message{NetFn: n, LUN: lun, Cmd: cmd, Data: data})
	if conn == nil {
		return ipmb.ErrInitialising, nil, nil
	}
	defer g.end(p)
	if _, err := conn.Write(frame); err != nil {
		return ipmb.ErrInitialising, nil, nil
	}
	select {
	case r := <-p.answer:
		return r.Code, r.Data, nil
	case <-g.closed:
		return 0, nil, ErrClosed
	case <-ctx.Done():
		return 0, nil, fmt.Errorf("vmtest: request %02x/%02x given up: %w", uint8(n), uint8(cmd), context.Cause(ctx))
	}
}

func (g *Guest) begin(m vm.Message) (*pending, net.Conn, []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.conn == nil {
		return nil, nil, nil
	}
	m.Seq = g.seq
	frame := vm.AppendMessage(nil, m)
	p := &pending{answer: make(chan ipmb.Response, 1)}
	p.unheard = frame[0] != m.Seq
	p.other = frame[1] != byte(m.NetFn)<<2|byte(m.LUN) || frame[2] != byte(m.Cmd)
	p.timer = time.AfterFunc(g.opt.Timeout, func() { g.tellItself(p, ipmb.ErrTimeout) })
	g.waiting = p
	return p, g.conn, frame
}

// tellItself is what QEMU says of a request without an answer. It takes number and
// command from what it sent, with the escapes: so it may be that nobody hears it,
// or that it is said of another command, which a KCS driver takes for FFh.
func (g *Guest) tellItself(p *pending, code ipmb.CompletionCode) {
	switch {
	case p.unheard:
		return
	case p.other:
		code = ipmb.ErrUnspecified
	}
	g.settle(p, ipmb.Response{Code: code})
}

// end counts the request, answered or not.
func (g *Guest) end(p *pending) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p.timer.Stop()
	if g.waiting == p {
		g.waiting = nil
	}
	g.seq++
}

func (g *Guest) settle(p *pending, r ipmb.Response) {
	select {
	case p.answer <- r:
	default: // answered already
	}
}

// Attention gives the line to the guest: whether something waits, and whether
// the guest was interrupted for it.
func (g *Guest) Attention() (up, irq bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.atn != vm.CommandNoAttention, g.atn == vm.CommandAttentionIRQ
}

// Interrupts reports whether the interface may interrupt for answers (05h, 06h).
func (g *Guest) Interrupts() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.irq
}

// Commands gives every hardware command so far, in order.
func (g *Guest) Commands() []vm.Command {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.commands)
}

// Dropped counts answers that came with a number that nobody waited for.
func (g *Guest) Dropped() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.dropped
}

// Seq is the number that the next request will have.
func (g *Guest) Seq() uint8 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.seq
}

// Connected reports whether there is a connection.
func (g *Guest) Connected() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.conn != nil
}

// WaitAttention waits until something waits for the guest.
func (g *Guest) WaitAttention(ctx context.Context) error {
	return g.WaitFor(ctx, "attention", func(g *Guest) bool { up, _ := g.Attention(); return up })
}

// WaitCommand waits until hardware command c has been seen.
func (g *Guest) WaitCommand(ctx context.Context, c vm.Command) error {
	return g.WaitFor(ctx, c.String(), func(g *Guest) bool { return slices.Contains(g.Commands(), c) })
}

// WaitFor waits until ok, which is asked again whenever the guest heard
// something. what names it in the error.
func (g *Guest) WaitFor(ctx context.Context, what string, ok func(*Guest) bool) error {
	for {
		g.mu.Lock()
		changed := g.changed
		g.mu.Unlock()
		if ok(g) {
			return nil
		}
		select {
		case <-changed:
		case <-g.closed:
			return ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("vmtest: waiting for %s: %w", what, context.Cause(ctx))
		}
	}
}
