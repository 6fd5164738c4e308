package rmcp

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// port is a system's serial port: what it says is put into out, what it hears
// comes from heard.
type port struct {
	out     chan string
	heard   chan string
	full    chan struct{} // nil: it takes everything
	mu      sync.Mutex
	changed chan struct{}
	off     bool
	taken   chan struct{}
	opening Opening
	has     int   // of what it said, the console
	packet  uint8 // the last that was acknowledged
	number  uint32
	resumes bool // it knows that from another process
	closed  chan struct{}
}

func newPort() *port {
	return &port{
		out: make(chan string), heard: make(chan string, 100), changed: make(chan struct{}), closed: make(chan struct{}, 9),
	}
}

func (p *port) Open(_ context.Context, o Opening) (Line, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opening = o
	p.taken = make(chan struct{})
	return p, nil
}

func (p *port) Next(ctx context.Context) ([]byte, bool, error) {
	select {
	case s := <-p.out:
		return []byte(s), s == "", nil
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
}

func (p *port) Heard(n int, packet uint8, number uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.has, p.packet, p.number = p.has+n, packet, number
}

func (p *port) Resumed() (packet uint8, number uint32, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.packet, p.number, p.resumes
}

func (p *port) Write(b []byte) (int, error) {
	if p.full != nil {
		<-p.full
	}
	p.heard <- string(b)
	return len(b), nil
}

func (p *port) Break(context.Context) error {
	p.heard <- "BREAK"
	return nil
}

func (p *port) Power() (bool, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.off, p.changed
}

// says is the system that says something; nothing: that something was lost.
func (p *port) says(t *testing.T, s string) {
	t.Helper()
	select {
	case p.out <- s:
	case <-time.After(patience):
		t.Fatalf("nobody hears %q", s)
	}
}

func (p *port) power(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off = !on
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *port) Taken() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken
}

// take is somebody else who takes the port.
func (p *port) take() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.taken)
}

func (p *port) Close() error {
	p.closed <- struct{}{}
	return nil
}

// withSOL is a site whose admin may use a port.
func withSOL(t *testing.T) (*site, *port) {
	p := newPort()
	return withConsole(t, p), p
}

func withConsole(t *testing.T, c Console) *site {
	s := newSite(t)
	s.params = map[uint8][]byte{
		mc.SOLEnable: {1}, mc.SOLAuth: {0xC0 | byte(ipmb.PrivilegeAdmin)}, mc.SOLAccumulate: {1, 10}, mc.SOLRetry: {7, 255},
	}
	s.sol.Console = c
	s.open()
	return s
}

func (s *site) admin() *client {
	s.t.Helper()
	c := s.dial(s.cfg.Suites[2], "admin", "secret", 0x14)
	if got := c.login(nil); got != StatusOK {
		s.t.Fatal(got)
	}
	c.do(6, 0x3B, 4)
	return c
}

var activateSOL = []byte{1, 1, 0xC0, 0, 0, 0}

// activate is Activate Payload and checks its answer, the door's own port included.
func (c *client) activate() {
	c.t.Helper()
	c.packet = 0
	port := uint16(c.conn.RemoteAddr().(*net.UDPAddr).Port)
	c.want("activate", c.do(6, 0x48, activateSOL...), 0, 0, 0, 0, 0, 3, 1, 3, 1, byte(port), byte(port>>8), 0xFF, 0xFF)
}

func (c *client) sendSOL(p solPacket) {
	c.seq++
	c.write(c.keys.appendSealed(nil, PayloadSOL, c.id, c.seq, p.append(nil)))
}

// again reports whether a packet of the payload repeats the one before it: what
// is acknowledged late, as on a busy machine, comes again.
func (c *client) again(p packet, b []byte) bool {
	if p.Type != PayloadSOL || len(b) == 0 || b[0] == 0 {
		return false
	}
	last := c.packet
	c.packet = b[0]
	return last == b[0]
}

// sol reads the next packet of the payload.
func (c *client) sol() solPacket {
	c.t.Helper()
	p := c.read()
	b, err := c.keys.open(p)
	if err != nil || p.Type != PayloadSOL {
		c.t.Fatalf("type %x: %v", p.Type, err)
	}
	if c.again(p, b) {
		return c.sol()
	}
	out, err := parseSOL(b)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

func (c *client) wantSOL(what string, seq, ack, count uint8, op solOp, data string) {
	c.t.Helper()
	got := c.sol()
	if got.Seq != seq || got.Ack != ack || got.Count != count || got.Op != op || string(got.Data) != data {
		c.t.Errorf("%s: %+v", what, got)
	}
}

func hears(t *testing.T, p *port, want string) {
	t.Helper()
	select {
	case got := <-p.heard:
		if got != want {
			t.Errorf("the system hears %q, want %q", got, want)
		}
	case <-time.After(patience):
		t.Fatalf("the system does not hear %q", want)
	}
}
