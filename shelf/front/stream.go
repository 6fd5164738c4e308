package front

import (
	"bufio"
	"net"
	"sync"
)

// queueLen bounds the frames that wait for the other end. Datagrams above it are
// lost, as datagrams may be.
const queueLen = 256

// stream is a connection between a front and a replica. Neither waits for the
// other: one that was stopped must not hold up who runs.
type stream struct {
	conn net.Conn
	out  chan []byte
	over chan struct{}
	once sync.Once
}

func newStream(conn net.Conn) *stream {
	return &stream{conn: conn, out: make(chan []byte, queueLen), over: make(chan struct{})}
}

// post queues a frame and reports whether there was room.
func (s *stream) post(b []byte) bool {
	select {
	case s.out <- b:
		return true
	default:
		return false
	}
}

// run gives what comes to take, and sends what was posted, until either fails.
func (s *stream) run(take func(frame)) error {
	var group sync.WaitGroup
	defer group.Wait()
	defer s.close()
	group.Go(s.write)
	r := bufio.NewReaderSize(s.conn, 16<<10)
	for {
		f, err := readFrame(r)
		if err != nil {
			return err
		}
		take(f)
	}
}

func (s *stream) write() {
	defer s.close()
	for {
		select {
		case b := <-s.out:
			if _, err := s.conn.Write(b); err != nil {
				return
			}
		case <-s.over:
			return
		}
	}
}

func (s *stream) close() {
	s.once.Do(func() {
		close(s.over)
		_ = s.conn.Close()
	})
}
