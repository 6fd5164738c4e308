package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Every raft connection begins with a hello from the one who dials, so that a
// replica of another cluster is refused before it can say anything:
//
//	'M' 'P' 'R' version[1]  len[1] clusterID[len]  len[1] nodeID[len]
const (
	helloMagic    = "MPR\x01"
	maxHelloField = 64
	poolSize      = 3 // idle connections kept per peer
)

type hello struct{ clusterID, nodeID string }

func (h hello) append(b []byte) []byte {
	b = append(b, helloMagic...)
	b = append(append(b, byte(len(h.clusterID))), h.clusterID...)
	return append(append(b, byte(len(h.nodeID))), h.nodeID...)
}

func readHello(r io.Reader) (hello, error) {
	magic := make([]byte, len(helloMagic))
	if _, err := io.ReadFull(r, magic); err != nil {
		return hello{}, fmt.Errorf("cluster: hello: %w", err)
	}
	if string(magic) != helloMagic {
		return hello{}, errors.New("cluster: hello: not a replica, or of an unknown version")
	}
	clusterID, err := readHelloField(r)
	if err != nil {
		return hello{}, err
	}
	nodeID, err := readHelloField(r)
	if err != nil {
		return hello{}, err
	}
	return hello{clusterID: clusterID, nodeID: nodeID}, nil
}

func readHelloField(r io.Reader) (string, error) {
	var length [1]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return "", fmt.Errorf("cluster: hello: %w", err)
	}
	if length[0] > maxHelloField {
		return "", fmt.Errorf("cluster: hello: a name of %d bytes", length[0])
	}
	b := make([]byte, length[0])
	if _, err := io.ReadFull(r, b); err != nil {
		return "", fmt.Errorf("cluster: hello: %w", err)
	}
	return string(b), nil
}

// streamLayer is raft's way to connections: the caller's listener and dialer,
// with the hello, and with a list of what is open so that a stop can cut it.
type streamLayer struct {
	cfg  Config
	self hello

	mu    sync.Mutex
	open  map[net.Conn]struct{}
	ended bool
}

func newStreamLayer(cfg Config, clusterID string) *streamLayer {
	return &streamLayer{
		cfg:  cfg,
		self: hello{clusterID: clusterID, nodeID: cfg.NodeID},
		open: make(map[net.Conn]struct{}),
	}
}

func newTransport(cfg Config, s *streamLayer) raft.Transport {
	return transport{raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream:  s,
		MaxPool: poolSize,
		Timeout: cfg.Profile.ioTimeout(),
		Logger:  newRaftLogger(cfg.Logger),
	})}
}

// Accept returns the next connection at once; its hello is read with its first
// bytes, so that a slow peer keeps nobody waiting.
func (s *streamLayer) Accept() (net.Conn, error) {
	conn, err := s.cfg.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return s.track(&greetedConn{Conn: conn, layer: s})
}

// Dial connects to a peer and says hello.
func (s *streamLayer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := s.cfg.Dial(ctx, string(addr))
	if err != nil {
		return nil, err
	}
	if err := conn.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if _, err := conn.Write(s.self.append(nil)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return s.track(&trackedConn{Conn: conn, layer: s})
}

// Close ends the listener.
func (s *streamLayer) Close() error { return s.cfg.Listener.Close() }

// Addr is the address that the others use.
func (s *streamLayer) Addr() net.Addr { return advertised(s.cfg.Address) }

type advertised string

func (advertised) Network() string  { return "raft" }
func (a advertised) String() string { return string(a) }

func (s *streamLayer) track(conn net.Conn) (net.Conn, error) {
	s.mu.Lock()
	ended := s.ended
	if !ended {
		s.open[conn] = struct{}{}
	}
	s.mu.Unlock()
	if ended {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	return conn, nil
}

func (s *streamLayer) forget(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, conn)
}

// cut closes every connection, so that nothing waits for a frozen peer.
func (s *streamLayer) cut() {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.ended = true
	conns := make([]net.Conn, 0, len(s.open))
	for conn := range s.open {
		conns = append(conns, conn)
	}
	s.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close() // it may be closed already
	}
}

// trackedConn leaves the list when it is closed.
type trackedConn struct {
	net.Conn
	layer *streamLayer
}

func (t *trackedConn) Close() error {
	t.layer.forget(t)
	return t.Conn.Close()
}

// greetedConn reads and checks the peer's hello before anything else.
type greetedConn struct {
	net.Conn
	layer *streamLayer
	once  sync.Once
	err   error
}

func (g *greetedConn) Read(b []byte) (int, error) {
	g.once.Do(func() { g.err = g.greet() })
	if g.err != nil {
		return 0, g.err
	}
	return g.Conn.Read(b)
}

func (g *greetedConn) Close() error {
	g.layer.forget(g)
	return g.Conn.Close()
}

func (g *greetedConn) greet() error {
	log := g.layer.cfg.Logger
	if err := g.Conn.SetReadDeadline(time.Now().Add(g.layer.cfg.Profile.ioTimeout())); err != nil {
		return err
	}
	h, err := readHello(g.Conn)
	if err != nil {
		log.Debug("a connection without a hello", "from", g.RemoteAddr(), "error", err)
		return err
	}
	if h.clusterID != g.layer.self.clusterID {
		err := &ErrWrongCluster{Ours: g.layer.self.clusterID, Theirs: h.clusterID, Peer: h.nodeID}
		log.Warn("refused a replica of another cluster", "from", g.RemoteAddr(), "error", err)
		return err
	}
	return g.Conn.SetReadDeadline(time.Time{})
}
