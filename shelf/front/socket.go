package front

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
)

// ipFreeBind is IP_FREEBIND (ip(7)): a virtual address may be bound before it is
// there.
const ipFreeBind = 15

// Socket is a replica's own UDP socket, where there is no front. It is open
// whether the replica leads or not, so that a client whose address has just come
// here is not told that nobody listens.
type Socket struct {
	passage
	conn  *net.UDPConn
	group sync.WaitGroup
}

// ListenSocket opens the socket, also at an address that this host does not have yet.
func ListenSocket(address string) (*Socket, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var inner error
		err := c.Control(func(fd uintptr) { inner = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, ipFreeBind, 1) })
		return errors.Join(err, inner)
	}}
	conn, err := config.ListenPacket(context.Background(), "udp", address)
	if err != nil {
		return nil, err
	}
	s := &Socket{conn: conn.(*net.UDPConn)}
	s.way = s
	s.group.Go(s.read)
	return s, nil
}

func (s *Socket) read() {
	buf := make([]byte, maxDatagram+1)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n > maxDatagram { // such as an ICMP message of an earlier answer's
			continue
		}
		peer := netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		s.take(datagram{peer: peer, data: append([]byte(nil), buf[:n]...)})
	}
}

func (s *Socket) write(d datagram) error {
	_, err := s.conn.WriteToUDPAddrPort(d.data, d.peer)
	return err
}

func (s *Socket) leads(uint64) {}

// Addr is where the socket listens.
func (s *Socket) Addr() net.Addr { return s.conn.LocalAddr() }

// Close ends the socket.
func (s *Socket) Close() error {
	err := s.conn.Close()
	s.group.Wait()
	return err
}
