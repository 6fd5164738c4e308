package port

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/midplane-project/midplane/internal/trust"
)

// Port is one TLS listener for several protocols.
type Port struct {
	ln     net.Listener
	creds  *trust.Credentials
	limits limits
	log    *slog.Logger
	lobby  *lobby
	ctx    context.Context // of handshakes; ended by Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // the accept loop and the handshakes

	mu     sync.Mutex
	protos []*protocol // in order of first use
	closed bool
}

// limits keep strangers from using up the daemon.
type limits struct {
	handshake time.Duration // to finish one handshake
	patience  time.Duration // that a handshake may take while others wait for room
	pending   int           // handshakes at a time
	backlog   int           // finished connections that wait to be accepted, per protocol
}

var defaultLimits = limits{handshake: 5 * time.Second, patience: time.Second, pending: 256, backlog: 128}

// Option changes a Port.
type Option func(*Port)

// WithLogger sends the port's log to l instead of slog.Default.
func WithLogger(l *slog.Logger) Option { return func(p *Port) { p.log = l } }

// WithHandshakes bounds handshakes: how long one may take (5 s) and how many
// may be under way at a time (256).
func WithHandshakes(limit time.Duration, atOnce int) Option {
	return func(p *Port) {
		p.limits.handshake, p.limits.pending = limit, max(1, atOnce)
		p.limits.patience = min(p.limits.patience, limit)
	}
}

// Listen opens addr ("host:port") and accepts connections at once; those whose
// protocol nobody has asked for are closed.
func Listen(addr string, creds *trust.Credentials, opts ...Option) (*Port, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", creds.Identity(), err)
	}
	return New(ln, creds, opts...), nil
}

// New is Listen on an open listener, which the Port then owns.
func New(ln net.Listener, creds *trust.Credentials, opts ...Option) *Port {
	p := &Port{ln: ln, creds: creds, limits: defaultLimits, log: slog.Default()}
	for _, o := range opts {
		o(p)
	}
	p.lobby = newLobby(p.limits.pending, p.limits.patience)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.wg.Go(p.accept)
	return p
}

// Addr is where the port listens.
func (p *Port) Addr() net.Addr { return p.ln.Addr() }

// Protocol gives the listener of a protocol by its ALPN name. Accept returns
// finished handshakes as *tls.Conn. Closing it takes the protocol off the port;
// before that, Protocol returns the same listener again.
func (p *Port) Protocol(name string) net.Listener {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.find(name); l != nil {
		return l
	}
	l := newProtocol(p, name)
	if p.closed {
		l.shut()
		return l
	}
	p.protos = append(p.protos, l)
	return l
}

// Close stops listening, ends handshakes and waits for them. Connections that
// were accepted belong to who accepted them.
func (p *Port) Close() error {
	p.mu.Lock()
	p.closed = true
	protos := p.protos
	p.protos = nil
	p.mu.Unlock()

	p.cancel()
	err := p.ln.Close()
	for _, l := range protos {
		l.shut()
	}
	p.wg.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// accept runs until Close. An error such as "too many open files" passes; the
// loop waits a little longer after each.
func (p *Port) accept() {
	const first, most = 5 * time.Millisecond, time.Second
	pause := first
	for {
		raw, err := p.ln.Accept()
		if err == nil {
			pause = first
			p.receive(raw)
			continue
		}
		if errors.Is(err, net.ErrClosed) || p.ctx.Err() != nil {
			return
		}
		p.log.Warn("accept failed", "addr", p.Addr(), "err", err)
		select {
		case <-time.After(pause):
			pause = min(2*pause, most)
		case <-p.ctx.Done():
			return
		}
	}
}

// receive starts a handshake as soon as there is room for one more.
func (p *Port) receive(raw net.Conn) {
	leave, err := p.lobby.enter(p.ctx, raw)
	if err != nil {
		_ = raw.Close()
		return
	}
	p.wg.Go(func() {
		conn, err := p.handshake(raw)
		leave()
		if err == nil {
			err = p.deliver(conn)
		}
		if err != nil {
			_ = raw.Close()
			p.logRefusal(raw.RemoteAddr(), err)
		}
	})
}

func (p *Port) handshake(raw net.Conn) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(p.ctx, p.limits.handshake)
	defer cancel()
	g := &guard{Conn: raw}
	conn := tls.Server(g, trust.ServerTLS(p.creds, p.names()...))
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	g.watch(p.creds, conn.ConnectionState(), p.log)
	return conn, nil
}

// deliver hands a connection to its protocol's listener.
func (p *Port) deliver(conn *tls.Conn) error {
	name := conn.ConnectionState().NegotiatedProtocol
	p.mu.Lock()
	l := p.find(name)
	p.mu.Unlock()
	err := fmt.Errorf("unknown protocol %q", name)
	if l != nil {
		err = l.offer(conn)
	}
	if err != nil {
		return errors.Join(err, hangUp(conn))
	}
	return nil
}

// hangUp closes without TLS's farewell, which may wait for a peer that does
// not read.
func hangUp(conn *tls.Conn) error { return conn.NetConn().Close() }

// logRefusal keeps probes and clients that left quiet; what was refused for a
// reason that somebody should act on is a warning.
func (p *Port) logRefusal(from net.Addr, err error) {
	level := slog.LevelWarn
	for _, quiet := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, context.Canceled} {
		if errors.Is(err, quiet) {
			level = slog.LevelDebug
		}
	}
	p.log.Log(context.Background(), level, "connection refused", "addr", p.Addr(), "from", from, "err", err)
}

func (p *Port) names() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	names := make([]string, len(p.protos))
	for i, l := range p.protos {
		names[i] = l.name
	}
	return names
}

func (p *Port) find(name string) *protocol {
	for _, l := range p.protos {
		if l.name == name {
			return l
		}
	}
	return nil
}

func (p *Port) remove(l *protocol) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.protos = slices.DeleteFunc(slices.Clone(p.protos), func(other *protocol) bool { return other == l })
}
