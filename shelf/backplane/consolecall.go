package backplane

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Why there is no console.
var (
	ErrNoNode    = errors.New("backplane: no node is attached there")
	ErrNoConsole = errors.New("backplane: the node has no console to serve")
)

// consoleCalls are the consoles that nodes were asked for and did not bring yet.
type consoleCalls struct {
	mu   sync.Mutex
	open map[uint64]consoleCall
}

// consoleCall waits for a node's stream.
type consoleCall struct {
	slotKey
	came chan *Console // room for the one
}

func (c *consoleCalls) begin(k slotKey) (id uint64, call consoleCall) {
	var raw [8]byte
	_, _ = rand.Read(raw[:]) // does not fail
	id, call = binary.LittleEndian.Uint64(raw[:]), consoleCall{k, make(chan *Console, 1)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = make(map[uint64]consoleCall)
	}
	c.open[id] = call
	return id, call
}

// answer gives a call's console to who waits; false when nobody does.
func (c *consoleCalls) answer(id uint64, k slotKey, console *Console) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	call, ok := c.open[id]
	if !ok || call.slotKey != k {
		return false
	}
	delete(c.open, id)
	call.came <- console
	return true
}

// end forgets a call; a console that came too late goes.
func (c *consoleCalls) end(id uint64, call consoleCall) {
	c.mu.Lock()
	delete(c.open, id)
	c.mu.Unlock()
	select {
	case late := <-call.came:
		_ = late.Close() // does not fail
	default:
	}
}

// Console asks the node of a slot for its VM's console, and waits until it is
// there or ctx ends. The node must be attached to this replica, as all are to
// the one that leads. Who has the console closes it. Of ask, all but the call
// itself is passed on.
func (s *Switch) Console(ctx context.Context, shelf string, hw uint8, ask *v1.ConsoleCall) (*Console, error) {
	k := slotKey{shelf, hw}
	p := s.port(k)
	switch {
	case p == nil:
		return nil, ErrNoNode
	case !p.console:
		return nil, ErrNoConsole
	}
	id, call := s.calls.begin(k)
	defer s.calls.end(id, call)
	p.link.Send(&v1.AttachResponse{Kind: &v1.AttachResponse_Console{Console: &v1.ConsoleCall{
		Call: id, Session: ask.GetSession(), Resume: ask.GetResume(), HoldMs: ask.GetHoldMs(),
	}}})
	select {
	case c := <-call.came:
		if problem := c.hello.GetProblem(); problem != "" {
			return nil, fmt.Errorf("%w: %s", ErrNoConsole, problem)
		}
		return c, nil
	case <-p.link.Done():
		return nil, ErrNoNode
	case <-s.ctx.Done():
		return nil, errStopping
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ServeConsole takes a console that a node brings because it was asked to.
func (s *Switch) ServeConsole(stream v1.Backplane_ServeConsoleServer) error {
	if !s.enter() {
		return status.Error(codes.Unavailable, errStopping.Error())
	}
	defer s.wg.Done()
	m, err := first(s, stream.Recv)
	if err != nil {
		return err
	}
	h := m.GetHello()
	if r := s.certified(stream.Context(), &v1.NodeHello{Shelf: h.GetShelf(), HardwareAddress: h.GetHardwareAddress()}); r != nil {
		return status.Error(codes.PermissionDenied, r.GetMessage())
	}
	if h.GetHardwareAddress() > maxHW {
		return status.Error(codes.InvalidArgument, "no such slot")
	}
	c := newConsole(h)
	if !s.calls.answer(h.GetCall(), slotKey{h.GetShelf(), uint8(h.GetHardwareAddress())}, c) {
		return status.Error(codes.NotFound, "nobody waits for this console")
	}
	s.wg.Go(func() { c.receive(stream) })
	c.send(s.ctx, stream)
	return nil
}
