package port

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync"
)

// protocol is the listener of one ALPN name.
type protocol struct {
	port  *Port
	name  string
	queue chan *tls.Conn
	done  chan struct{}

	mu     sync.Mutex
	closed bool
}

func newProtocol(p *Port, name string) *protocol {
	return &protocol{port: p, name: name, queue: make(chan *tls.Conn, p.limits.backlog), done: make(chan struct{})}
}

// Accept waits for the next finished handshake; it is a *tls.Conn.
func (l *protocol) Accept() (net.Conn, error) {
	select {
	case conn := <-l.queue:
		return conn, nil
	case <-l.done:
		return nil, fmt.Errorf("accept %s: %w", l.name, net.ErrClosed)
	}
}

// Close takes the protocol off its port and closes what was not accepted.
func (l *protocol) Close() error {
	l.port.remove(l)
	l.shut()
	return nil
}

func (l *protocol) Addr() net.Addr { return l.port.Addr() }

// offer queues conn. A full queue refuses it: whoever should accept is stuck,
// and the peer had better try another replica.
func (l *protocol) offer(conn *tls.Conn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fmt.Errorf("%s: %w", l.name, net.ErrClosed)
	}
	select {
	case l.queue <- conn:
		return nil
	default:
		return fmt.Errorf("%s: %d connections wait to be accepted", l.name, cap(l.queue))
	}
}

func (l *protocol) shut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	close(l.done)
	for range len(l.queue) {
		select {
		case conn := <-l.queue:
			_ = hangUp(conn)
		default: // Accept was faster
		}
	}
}
