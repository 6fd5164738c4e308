// Package udp opens sockets that answer from the address at which they were asked:
// clients take no answer from another.
//
// Where a socket is bound to one address, the system sees to that. One that listens
// at all addresses (a wide one) asks it with each datagram at which it came, and
// remembers that for the answers, which may come late and from elsewhere.
package udp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
)

// maxCame bounds the clients whose way in is remembered, twice; each request renews it.
const maxCame = 4096

// Conn is a UDP socket.
type Conn struct {
	*net.UDPConn
	wide bool
	v6   bool // with IPv4 in it

	mu        sync.RWMutex
	came, old map[netip.AddrPort]netip.Addr // where clients found it, if it is wide
}

var _ net.PacketConn = (*Conn)(nil)

// Listen opens a socket; early, also at an address that this host does not have yet.
// 0.0.0.0 is all addresses of IPv4, and :: those of IPv6 and of IPv4.
func Listen(at netip.AddrPort, early bool) (*Conn, error) {
	return listen(at, func(c *Conn, fd int) error { return c.options(fd, early) })
}

// ListenBeside opens a socket in whose way others of this process are: those at all
// addresses, or at one where this one is at all. What comes to one address is that
// one's which is at it alone.
func ListenBeside(at netip.AddrPort, others ...*Conn) (*Conn, error) {
	if len(others) == 0 {
		return Listen(at, false)
	}
	for _, o := range others {
		o.share(true)
		defer o.share(false) // somebody else's does not come beside it
	}
	c, err := listen(at, func(c *Conn, fd int) error { return errors.Join(share(fd, true), c.options(fd, false)) })
	if err == nil {
		c.share(false)
	}
	return c, err
}

// share lets others listen where the socket does, if they let it, too. One that is
// closed is in nobody's way.
func (c *Conn) share(on bool) {
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = share(int(fd), on) })
	}
}

func share(fd int, on bool) error {
	v := 0
	if on {
		v = 1
	}
	return syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, v)
}

func listen(at netip.AddrPort, options func(c *Conn, fd int) error) (*Conn, error) {
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	network := "udp4" // "udp" would have 0.0.0.0 be ::
	if at.Addr().Is6() {
		network = "udp"
	}
	c := &Conn{wide: at.Addr().IsUnspecified(), came: make(map[netip.AddrPort]netip.Addr)}
	config := net.ListenConfig{Control: func(network, _ string, raw syscall.RawConn) error {
		c.v6 = network == "udp6"
		var inner error
		err := raw.Control(func(fd uintptr) { inner = options(c, int(fd)) })
		return errors.Join(err, inner)
	}}
	conn, err := config.ListenPacket(context.Background(), network, at.String())
	if err != nil {
		return nil, err
	}
	c.UDPConn = conn.(*net.UDPConn)
	return c, nil
}

func (c *Conn) options(fd int, early bool) (err error) {
	if early {
		err = syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, syscall.IP_FREEBIND, 1)
	}
	switch {
	case err != nil || !c.wide:
		return err
	case c.v6:
		return syscall.SetsockoptInt(fd, syscall.IPPROTO_IPV6, syscall.IPV6_RECVPKTINFO, 1)
	}
	return syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, syscall.IP_PKTINFO, 1)
}

// Wide reports whether the socket listens at all addresses: who reads it without
// Receive must Note where datagrams came, and who writes to it must use Send.
func (c *Conn) Wide() bool { return c.wide }

// Receive reads a datagram, and who sent it.
func (c *Conn) Receive(b []byte) (n int, peer netip.AddrPort, err error) {
	var from netip.AddrPort
	if !c.wide {
		n, from, err = c.ReadFromUDPAddrPort(b)
		return n, unmapped(from), err
	}
	var control [ControlLen]byte
	n, nc, _, from, err := c.ReadMsgUDPAddrPort(b, control[:])
	peer = unmapped(from)
	if err == nil {
		c.Note(peer, control[:nc])
	}
	return n, peer, err
}

// ReadFrom implements net.PacketConn.
func (c *Conn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, peer, err := c.Receive(b)
	if err != nil {
		return n, nil, err
	}
	return n, net.UDPAddrFromAddrPort(peer), nil
}

func unmapped(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// Note remembers where a client found a wide socket, from the control messages that
// came with its datagram. IPv4 addresses are not mapped.
func (c *Conn) Note(peer netip.AddrPort, control []byte) { c.note(peer, cameTo(control)) }

func (c *Conn) note(peer netip.AddrPort, at netip.Addr) {
	if at.IsLinkLocalUnicast() || at.IsMulticast() { // a link has its own; nobody answers from a group
		at = netip.Addr{}
	}
	c.mu.RLock()
	same := c.came[peer] == at && at.IsValid()
	c.mu.RUnlock()
	if same {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !at.IsValid() {
		delete(c.came, peer)
		delete(c.old, peer)
		return
	}
	if len(c.came) >= maxCame { // those who have asked since then stay
		c.came, c.old = make(map[netip.AddrPort]netip.Addr), c.came
	}
	c.came[peer] = at
}

// found is where a client found the socket last; not valid if that is not known.
func (c *Conn) found(peer netip.AddrPort) netip.Addr {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if at, ok := c.came[peer]; ok {
		return at
	}
	return c.old[peer]
}

// Send answers a client.
func (c *Conn) Send(b []byte, peer netip.AddrPort) error {
	if c.wide {
		if at := c.found(peer); at.IsValid() {
			_, _, err := c.WriteMsgUDPAddrPort(b, c.control(at), peer)
			return err
		}
	}
	_, err := c.WriteToUDPAddrPort(b, peer)
	return err
}

// WriteTo implements net.PacketConn.
func (c *Conn) WriteTo(b []byte, to net.Addr) (int, error) {
	a, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, net.InvalidAddrError("udp: not a UDP address")
	}
	if err := c.Send(b, unmapped(a.AddrPort())); err != nil {
		return 0, err
	}
	return len(b), nil
}
