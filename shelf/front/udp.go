package front

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxCame bounds the clients whose way in is remembered; each request renews it.
const maxCame = 4096

// udp is a UDP socket. One that listens at all addresses answers from that at which
// it was asked, for clients take no answer from another.
type udp struct {
	*net.UDPConn
	wide bool

	mu   sync.Mutex
	came map[netip.AddrPort]netip.Addr // where clients found it, if it is wide
}

// listenUDP opens a socket at IP:PORT; early, also where that is not there yet.
func listenUDP(address string, early bool) (*udp, error) {
	network := "udp"
	at, err := netip.ParseAddrPort(address)
	if err == nil && at.Addr().Is4() { // else 0.0.0.0 has IPv6, too
		network = "udp4"
	}
	u := &udp{wide: err == nil && at.Addr().IsUnspecified(), came: make(map[netip.AddrPort]netip.Addr)}
	config := net.ListenConfig{Control: func(network, _ string, c syscall.RawConn) error {
		var inner error
		err := c.Control(func(fd uintptr) { inner = u.options(int(fd), network == "udp6", early) })
		return errors.Join(err, inner)
	}}
	conn, err := config.ListenPacket(context.Background(), network, address)
	if err != nil {
		return nil, err
	}
	u.UDPConn = conn.(*net.UDPConn)
	return u, nil
}

func (u *udp) options(fd int, v6, early bool) (err error) {
	if early {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
	}
	switch {
	case err != nil || !u.wide:
		return err
	case v6:
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
}

// read reads a datagram, and who sent it.
func (u *udp) read(b []byte) (n int, peer netip.AddrPort, err error) {
	var from netip.AddrPort
	if !u.wide {
		n, from, err = u.ReadFromUDPAddrPort(b)
		return n, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), err
	}
	var control [64]byte
	n, nc, _, from, err := u.ReadMsgUDPAddrPort(b, control[:])
	peer = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	if err == nil {
		u.note(peer, cameTo(control[:nc]))
	}
	return n, peer, err
}

// note remembers where a client found the socket.
func (u *udp) note(peer netip.AddrPort, at netip.Addr) {
	if !at.IsValid() || at.IsLinkLocalUnicast() { // a link has its own
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.came) >= maxCame {
		clear(u.came)
	}
	u.came[peer] = at
}

// write answers a client.
func (u *udp) write(b []byte, peer netip.AddrPort) error {
	u.mu.Lock()
	at := u.came[peer]
	u.mu.Unlock()
	var control []byte
	switch {
	case !at.IsValid():
	case u.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Is4():
		control = unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: at.As4()})
	default:
		control = unix.PktInfo6(&unix.Inet6Pktinfo{Addr: at.As16()})
	}
	_, _, err := u.WriteMsgUDPAddrPort(b, control, peer)
	return err
}

// Where the addresses stand in ip(7)'s in_pktinfo and ipv6(7)'s in6_pktinfo.
const (
	localIn4 = 4
	localIn6 = 0
)

// cameTo is the address of this host's that a datagram came to.
func cameTo(control []byte) netip.Addr {
	all, _ := unix.ParseSocketControlMessage(control) // else there is none
	for _, m := range all {
		switch {
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo:
			return netip.AddrFrom4([4]byte(m.Data[localIn4:]))
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo:
			return netip.AddrFrom16([16]byte(m.Data[localIn6:])).Unmap()
		}
	}
	return netip.Addr{}
}
