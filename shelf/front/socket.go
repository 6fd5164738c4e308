package front

import (
	"errors"
	"net"
	"sync"

	"github.com/midplane-project/midplane/ipmb/udp"
)

// Socket is a replica's own UDP socket, where there is no front. It is open
// whether the replica leads or not, so that a client whose address has just come
// here is not told that nobody listens.
type Socket struct {
	passage
	conn  *udp.Conn
	group sync.WaitGroup
}

// ListenSocket opens the socket, also at an address that this host does not have yet.
func ListenSocket(address string) (*Socket, error) {
	conn, err := listen(address, true)
	if err != nil {
		return nil, err
	}
	s := &Socket{conn: conn}
	s.way = s
	s.group.Go(s.read)
	return s, nil
}

func (s *Socket) read() {
	buf := make([]byte, maxDatagram+1)
	for {
		n, peer, err := s.conn.Receive(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n > maxDatagram { // such as an ICMP message of an earlier answer's
			continue
		}
		s.take(datagram{peer: peer, data: append([]byte(nil), buf[:n]...)})
	}
}

func (s *Socket) write(d datagram) error { return s.conn.Send(d.data, d.peer) }

func (s *Socket) leads(uint64) {}

// Addr is where the socket listens.
func (s *Socket) Addr() net.Addr { return s.conn.LocalAddr() }

// Close ends the socket.
func (s *Socket) Close() error {
	err := s.conn.Close()
	s.group.Wait()
	return err
}
