package backplane

import (
	"bytes"
	"context"
	"net"
	"sync"

	"github.com/midplane-project/midplane/internal/link"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Console is the serial console of a node's VM, as its node serves it. What it
// says waits at the node until it is read here.
type Console struct {
	hello  *v1.ConsoleHello
	text   chan *v1.ConsoleText
	input  chan *v1.ServeConsoleResponse
	ended  chan struct{} // the node took it away, or is gone
	closed chan struct{} // nobody here wants it any more
	end    func()
	close  func()

	mu      sync.Mutex
	heard   *v1.ConsoleHeard // is still to be told; nil: nothing is
	hears   chan struct{}    // holds a token while there is something to tell
	power   bool
	changed chan struct{}
}

func newConsole(h *v1.ConsoleHello) *Console {
	c := &Console{
		hello: h, power: h.GetPower(), changed: make(chan struct{}), hears: make(chan struct{}, 1),
		text: make(chan *v1.ConsoleText), input: make(chan *v1.ServeConsoleResponse),
		ended: make(chan struct{}), closed: make(chan struct{}),
	}
	c.end = sync.OnceFunc(func() { close(c.ended) })
	c.close = sync.OnceFunc(func() { close(c.closed) })
	return c
}

// receive takes what the node sends, until the stream ends.
func (c *Console) receive(stream link.Stream[v1.ServeConsoleResponse, v1.ServeConsoleRequest]) {
	defer c.end()
	for {
		m, err := stream.Recv()
		if err != nil {
			return
		}
		switch k := m.GetKind().(type) {
		case *v1.ServeConsoleRequest_Output:
			select {
			case c.text <- k.Output:
			case <-c.closed:
				return
			}
		case *v1.ServeConsoleRequest_Power:
			c.setPower(k.Power)
		}
	}
}

// send sends what is written, until either side ends it.
func (c *Console) send(ctx context.Context, stream link.Stream[v1.ServeConsoleResponse, v1.ServeConsoleRequest]) {
	defer c.close()
	for {
		select {
		case m := <-c.input:
			if stream.Send(m) != nil {
				return
			}
		case <-c.hears:
			if h := c.untold(); h != nil && stream.Send(&v1.ServeConsoleResponse{Kind: &v1.ServeConsoleResponse_Heard{Heard: h}}) != nil {
				return
			}
		case <-c.ended:
			return
		case <-c.closed:
			return
		case <-ctx.Done():
			c.end()
			return
		}
	}
}

func (c *Console) setPower(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if on != c.power {
		c.power = on
		close(c.changed)
		c.changed = make(chan struct{})
	}
}

// Next waits for characters of the VM's; lost says that some were lost before.
func (c *Console) Next(ctx context.Context) (p []byte, lost bool, err error) {
	select {
	case t := <-c.text:
		return t.GetData(), t.GetLost(), nil
	case <-c.ended:
		return nil, false, net.ErrClosed
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
}

// Heard tells the node that the one who reads has n more characters, the last of
// them in that packet of his, and the number of the last packet of his session. It
// does not wait for that.
func (c *Console) Heard(n int, packet uint8, number uint32) {
	c.mu.Lock()
	h := &v1.ConsoleHeard{Characters: uint64(n) + c.heard.GetCharacters(), Sequence: uint32(packet), SessionSequence: number}
	c.heard = h
	c.mu.Unlock()
	select {
	case c.hears <- struct{}{}:
	default:
	}
}

func (c *Console) untold() *v1.ConsoleHeard {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.heard
	c.heard = nil
	return h
}

// Resumed gives the last packet that the session acknowledged to another replica,
// where the node goes on after it, and the last number of the session's packets, 0
// where the node knows none.
func (c *Console) Resumed() (packet uint8, number uint32, ok bool) {
	return uint8(c.hello.GetSequence()), c.hello.GetSessionSequence(), c.hello.GetResumed()
}

// Write gives characters to the VM.
func (c *Console) Write(p []byte) (int, error) {
	m := &v1.ServeConsoleResponse{Kind: &v1.ServeConsoleResponse_Input{Input: bytes.Clone(p)}}
	select {
	case c.input <- m:
		return len(p), nil
	case <-c.closed:
		return 0, net.ErrClosed
	}
}

// Break gives the VM a break.
func (c *Console) Break(ctx context.Context) error {
	select {
	case c.input <- &v1.ServeConsoleResponse{Kind: &v1.ServeConsoleResponse_Break{Break: true}}:
		return nil
	case <-c.closed:
		return net.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Power tells whether the VM has any; changed is closed when that is not so any more.
func (c *Console) Power() (on bool, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.power, c.changed
}

// Taken is closed when the node ended it: somebody else took it over, or the
// node is gone.
func (c *Console) Taken() <-chan struct{} { return c.ended }

// Close lets the console go.
func (c *Console) Close() error {
	c.close()
	return nil
}
