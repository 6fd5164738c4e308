package front

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb/rmcp"
)

// waiting bounds the datagrams that the leader has not read yet.
const waiting = 512

// way is where a replica's datagrams come from and go to: an [Entry] or a [Socket].
type way interface {
	write(datagram) error
	// leads is told whether anybody reads; term is 0 when nobody does.
	leads(term uint64)
}

// passage lets datagrams pass to the leader. What comes while this replica does
// not lead is dropped.
type passage struct {
	way  way
	mu   sync.Mutex
	term uint64
	now  *Conn
}

// Lead gives the datagrams of a term, until it is closed.
func (p *passage) Lead(term uint64) *Conn {
	c := &Conn{passage: p, in: make(chan datagram, waiting), over: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now, p.term = c, term
	p.way.leads(term)
	return c
}

func (p *passage) take(d datagram) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now == nil {
		return
	}
	select {
	case p.now.in <- d:
	default:
	}
}

func (p *passage) end(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now == c {
		p.now, p.term = nil, 0
		p.way.leads(0)
	}
}

// Conn is what comes and goes while a replica leads.
type Conn struct {
	passage *passage
	in      chan datagram
	over    chan struct{}
	once    sync.Once
}

var _ rmcp.Steps = (*Conn)(nil)

// ReadFrom implements net.PacketConn.
func (c *Conn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, _, from, err := c.ReadStep(b)
	return n, from, err
}

// ReadStep implements [rmcp.Steps].
func (c *Conn) ReadStep(b []byte) (n int, login []byte, from net.Addr, err error) {
	select {
	case d := <-c.in:
		return copy(b, d.data), d.login, net.UDPAddrFromAddrPort(d.peer), nil
	case <-c.over:
		return 0, nil, nil, net.ErrClosed
	}
}

// WriteTo implements net.PacketConn.
func (c *Conn) WriteTo(b []byte, to net.Addr) (int, error) { return c.WriteStep(b, nil, to) }

// WriteStep implements [rmcp.Steps].
func (c *Conn) WriteStep(b, login []byte, to net.Addr) (int, error) {
	a, ok := to.(*net.UDPAddr)
	if !ok || len(b) > maxDatagram || len(login) > maxLogin {
		return 0, net.InvalidAddrError("front: not a datagram to a UDP address")
	}
	select {
	case <-c.over:
		return 0, net.ErrClosed
	default:
	}
	peer := a.AddrPort()
	return len(b), c.passage.way.write(datagram{peer: netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port()), data: b, login: login})
}

// Close implements net.PacketConn: nobody reads here any more.
func (c *Conn) Close() error {
	c.once.Do(func() {
		close(c.over)
		c.passage.end(c)
	})
	return nil
}

// LocalAddr implements net.PacketConn. It is the leader's whatever the address.
func (c *Conn) LocalAddr() net.Addr { return &net.UDPAddr{} }

// SetDeadline implements net.PacketConn; there are none.
func (c *Conn) SetDeadline(time.Time) error { return os.ErrNoDeadline }

// SetReadDeadline implements net.PacketConn; there are none.
func (c *Conn) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

// SetWriteDeadline implements net.PacketConn; there are none.
func (c *Conn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }
