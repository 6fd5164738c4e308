package front

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/midplane-project/midplane/internal/jsonfile"
	"github.com/midplane-project/midplane/ipmb/udp"
)

const dialAgain = 100 * time.Millisecond

// Config is a front, as the file of midplane front --config has it (JSON,
// unknown fields are errors).
type Config struct {
	Listen   string   `json:"listen"`   // IP:PORT
	Replicas []string `json:"replicas"` // unix:PATH of each
}

// ReadConfig reads a front's file.
func ReadConfig(path string) (*Config, error) {
	c := new(Config)
	if err := jsonfile.ReadStrict(path, c); err != nil {
		return nil, err
	}
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Check finds what is missing or cannot be.
func (c *Config) Check() error {
	var all []error
	if _, err := netip.ParseAddrPort(c.Listen); err != nil {
		all = append(all, fmt.Errorf("listen: %w", err))
	}
	if len(c.Replicas) == 0 {
		all = append(all, errors.New("replicas: who shall answer?"))
	}
	for _, r := range c.Replicas {
		if !strings.HasPrefix(r, "unix:") {
			all = append(all, fmt.Errorf("replicas: %q is not unix:PATH", r))
		}
	}
	return errors.Join(all...)
}

// Front has the UDP socket of a shelf's LAN door, and passes what comes to the
// replica that leads in the highest term. What was not answered yet it passes to
// the next leader once more: it knows nothing of sessions, which are in raft, and of
// logins what the last leader says of them. It may itself be killed and started again.
type Front struct {
	conn *udp.Conn
	port uint16
	log  *slog.Logger

	mu       sync.Mutex
	replicas []*replica
	leader   *replica // nil: none
	sessions held
	others   held
	logins   held
	limits   *limits
}

// replica is one of those who may lead.
type replica struct {
	path   string
	stream *stream // nil: none
	term   uint64  // in which it leads, 0 when it does not
}

// Open opens the socket.
func Open(c Config, log *slog.Logger) (*Front, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	conn, err := listen(c.Listen, false)
	if err != nil {
		return nil, err
	}
	f := newFront()
	f.conn, f.log = conn, log
	f.port = conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	for _, r := range c.Replicas {
		f.replicas = append(f.replicas, &replica{path: strings.TrimPrefix(r, "unix:")})
	}
	return f, nil
}

func newFront() *Front {
	return &Front{
		limits: newLimits(), sessions: held{limit: holdSessions, time: holdTime}, others: held{limit: holdOthers, time: holdTime},
		logins: held{limit: holdLogins, time: loginTime},
	}
}

func listen(address string, early bool) (*udp.Conn, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	return udp.Listen(at, early)
}

// Addr is where the front listens.
func (f *Front) Addr() net.Addr { return f.conn.LocalAddr() }

// Run passes datagrams until ctx ends, and closes the socket.
func (f *Front) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = f.conn.Close() })
	defer stop()
	for _, r := range f.replicas {
		group.Go(func() { f.attend(ctx, r) })
	}
	buf := make([]byte, maxDatagram+1)
	for {
		n, peer, err := f.conn.Receive(buf)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil { // such as an ICMP message of an earlier answer's
			continue
		}
		f.take(datagram{peer: peer, port: f.port, data: buf[:n]}, time.Now())
	}
}

// take passes a client's datagram on, and holds it until it is answered. It must not keep its bytes.
func (f *Front) take(d datagram, now time.Time) {
	if len(d.data) > maxDatagram || !isRMCP(d.data) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	session := inSession(d.data)
	if !f.limits.take(d.peer, session, now) {
		return
	}
	d.data = bytes.Clone(d.data)
	to := &f.others
	if session {
		to = &f.sessions
	} else {
		to.answered(d.peer) // the client sent it again, or goes on; it takes an answer to this one only
	}
	to.add(d, 0, now)
	f.pass(d, now)
}

// pass sends a datagram to the leader, if there is one: with how far its client is
// in a login, where another leader knows that. The caller has mu.
func (f *Front) pass(d datagram, now time.Time) {
	if f.leader == nil || f.leader.stream == nil {
		return
	}
	if !inSession(d.data) {
		d.login = f.logins.of(d.peer, f.leader.term, now)
	}
	f.leader.stream.post(appendDatagram(nil, d))
}

// attend keeps a stream to a replica.
func (f *Front) attend(ctx context.Context, r *replica) {
	again := time.NewTicker(dialAgain)
	defer again.Stop()
	for {
		if conn, err := new(net.Dialer).DialContext(ctx, "unix", r.path); err == nil {
			s := newStream(conn)
			stop := context.AfterFunc(ctx, s.close)
			f.set(r, s, 0)
			err = s.run(func(got frame) { f.hear(r, s, got) })
			stop()
			f.set(r, nil, 0)
			f.log.Debug("stream ended", "replica", r.path, "why", err)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

// hear takes what a replica sends. Only the leader speaks to clients.
func (f *Front) hear(r *replica, s *stream, got frame) {
	if got.kind == kindLeading {
		f.set(r, s, got.term)
		return
	}
	d := got.datagram
	f.mu.Lock()
	ours := f.leader == r
	if ours {
		f.sessions.answeredBy(d)
		f.others.answered(d.peer)
		if d.login != nil {
			f.logins.answered(d.peer)
		}
		if len(d.login) > 0 {
			f.logins.add(datagram{peer: d.peer, login: d.login}, r.term, time.Now())
		}
		if isRMCP(d.data) && inSession(d.data) {
			f.limits.spoken(d.peer.Addr(), time.Now())
		}
	}
	f.mu.Unlock()
	if ours {
		_ = f.conn.Send(d.data, d.peer) // or it is lost, as on a network
	}
}

// set notes a replica's stream and whether it leads. A new leader gets what
// nobody has answered.
func (f *Front) set(r *replica, s *stream, term uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r.stream, r.term = s, term
	var leader *replica
	for _, one := range f.replicas {
		if one.term > 0 && (leader == nil || one.term > leader.term) {
			leader = one
		}
	}
	if leader == f.leader {
		return
	}
	f.leader = leader
	if leader == nil {
		return
	}
	f.log.Info("leads", "replica", leader.path, "term", leader.term)
	now := time.Now()
	for _, h := range []*held{&f.sessions, &f.others} {
		h.age(now)
		for _, d := range h.list {
			f.pass(d.datagram, now)
		}
	}
}

// RMCP's header and the session id of both framings (IPMI 2.0 §13.6).
const (
	rmcpLen     = 4
	rmcpVersion = 0x06
	classMask   = 0x1F
	classIPMI   = 0x07
	authPlus    = 0x06
	idIn15      = rmcpLen + 5
	idIn20      = rmcpLen + 2
	idLen       = 4
	seqIn20     = idIn20 + idLen
)

func isRMCP(b []byte) bool { return len(b) > rmcpLen && b[0] == rmcpVersion }

// inSession reports whether a datagram names a session. Whether it is there, and
// the datagram of it, the leader knows.
func inSession(b []byte) bool {
	if b[3]&classMask != classIPMI {
		return false
	}
	at := idIn15
	if b[rmcpLen] == authPlus {
		at = idIn20
	}
	return len(b) >= at+idLen && binary.LittleEndian.Uint32(b[at:]) != 0
}

// plusNumber is the number of a datagram in its RMCP+ session; false: it is not of one.
func plusNumber(b []byte) (uint32, bool) {
	if !isRMCP(b) || !inSession(b) || b[rmcpLen] != authPlus || len(b) < seqIn20+4 {
		return 0, false
	}
	return binary.LittleEndian.Uint32(b[seqIn20:]), true
}
