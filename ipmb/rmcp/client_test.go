package rmcp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

var (
	testGUID = mc.GUID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	source   = netip.MustParseAddrPort("192.0.2.1:4000")
)

// site is a table of sessions with users admin and bob, and a door on it.
type site struct {
	*Sessions
	t    *testing.T
	mode mc.AccessMode
	key  []byte // K_G
	done atomic.Int32
	last atomic.Pointer[ipmb.Request]
	mux  *ipmb.Mux
	addr net.Addr
	many bool // more than one reads, so that a datagram may overtake another

	software func(ipmb.Privilege, uint8, ipmb.Frame) bool

	sol    *SOL
	mu     sync.Mutex
	params map[uint8][]byte // of serial over LAN
}

func password(s string) []byte { return append([]byte(s), make([]byte, mc.LongPasswordLen-len(s))...) }

func newSite(t *testing.T) *site {
	s := &site{t: t, mode: mc.AccessAlways, key: make([]byte, mc.ChannelKeyLen)}
	s.Sessions = NewSessions(Config{
		Channel: 1, GUID: testGUID, Suites: append([]mc.CipherSuite{{ID: 8, Auth: 2, Integrity: 2, Confidentiality: 1}}, mc.CipherSuites...),
		Active: func(uint8) (mc.ChannelSetting, bool) {
			return mc.ChannelSetting{Flags: byte(s.mode), Limit: ipmb.PrivilegeAdmin}, true
		},
		Account: s.account,
		Key:     func(uint8, mc.KeyID) ([]byte, error) { return s.key, nil },
	})
	s.sol = NewSOL(SOLConfig{Sessions: s.Sessions, Parameter: s.param, Allowed: func(user uint8) bool { return user == 2 }})
	s.mux = ipmb.NewMux(s.Commands(), s.sol.Commands(), s.rows())
	return s
}

func (s *site) rows() []ipmb.Command {
	return []ipmb.Command{
		{NetFn: ipmb.NetFnApp, Cmd: 1, Privilege: ipmb.PrivilegeUser, Do: s.count},
		{NetFn: ipmb.NetFnApp, Cmd: 0x34, Privilege: ipmb.PrivilegeUser, Data: ipmb.AtLeast(1), Do: s.bridge},
		{NetFn: ipmb.NetFnChassis, Cmd: 2, Privilege: ipmb.PrivilegeOperator, Data: ipmb.Exactly(1), Effect: true, Do: s.count},
	}
}

func (s *site) param(n uint8) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.params[n]
}

func (s *site) setParam(n uint8, v ...byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.params[n] = v
}

func (s *site) account(_ uint8, name string, atLeast ipmb.Privilege) (mc.Account, error) {
	for _, a := range []mc.Account{
		{ID: 2, Name: "admin", Password: password("secret"), Limit: ipmb.PrivilegeAdmin},
		{ID: 3, Name: "bob", Password: password("builder"), Limit: ipmb.PrivilegeUser, Sessions: 1},
		{ID: 4, Name: "eve", Password: password("sixteen")[:mc.PasswordLen], Limit: ipmb.PrivilegeAdmin},
		{ID: 5, Name: "tom", Password: password("sixteen")[:mc.PasswordLen], Limit: ipmb.PrivilegeUser},
		{ID: 1, Name: "", Password: password("null"), Limit: ipmb.PrivilegeAdmin},
	} {
		if a.Name == name && a.Limit >= atLeast {
			return a, nil
		}
	}
	return mc.Account{}, mc.ErrNoAccount
}

func (s *site) count(_ context.Context, req *ipmb.Request) ([]byte, error) {
	s.last.Store(req)
	return []byte{byte(s.done.Add(1))}, nil
}

// bridge answers as the node's does: with the whole frame of the target's answer.
func (s *site) bridge(_ context.Context, req *ipmb.Request) ([]byte, error) {
	m, err := ipmb.ParseSendMessage(req.Data)
	if err != nil {
		return nil, err
	}
	f, err := ipmb.ParseFrame(m.Message)
	if err != nil {
		return nil, ipmb.ErrInvalidField
	}
	return f.Reply(ipmb.Response{Data: []byte{byte(s.done.Add(1))}}).AppendBinary(nil)
}

// open serves the door on a socket.
func (s *site) open() {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.addr = conn.LocalAddr()
	d := NewDoor(DoorConfig{
		Sessions: s.Sessions, Handler: s.mux, Count: new(mc.LANCounters), SOL: s.sol, Log: slog.New(slog.DiscardHandler), Software: s.software,
		Origin: ipmb.Origin{Speaker: ipmb.SpeakerSession, Door: ipmb.DoorLAN, Channel: 1},
		Effect: func(r *ipmb.Request) bool {
			row := s.mux.Lookup(r.NetFn, r.Cmd, r.Data)
			return row != nil && row.Effect
		},
	})
	if !s.many {
		d.helpers, d.relief = nil, time.Hour
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Serve(ctx, conn) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			s.t.Error(err)
		}
	})
}

// client is the console's side.
type client struct {
	t        *testing.T
	suite    mc.CipherSuite
	a        algorithm
	name     string
	password []byte
	role     byte
	ask      func(kind PayloadType, b []byte) []byte
	conn     net.Conn

	id, seq uint32
	rqSeq   uint8
	packet  uint8 // the last of serial over LAN that it heard
	random  [randomLen]byte
	theirs  []byte
	keys    codec
}

const consoleID = 0x11223344

// patience is when nothing comes any more, on a slow machine too.
const patience = 30 * time.Second

// client logs in by calls; dial makes it one on the socket.
func (s *site) client(suite mc.CipherSuite, name, pass string, role byte) *client {
	a, _ := algorithmOf(suite)
	c := &client{t: s.t, suite: suite, a: a, name: name, password: password(pass), role: role, random: [16]byte{9, 8, 7}}
	c.ask = func(kind PayloadType, b []byte) []byte {
		r, _ := s.step(kind, b, nil, source, time.Now())
		return r.body
	}
	return c
}

func (s *site) dial(suite mc.CipherSuite, name, pass string, role byte) *client {
	c := s.client(suite, name, pass, role)
	var err error
	if c.conn, err = net.Dial("udp", s.addr.String()); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.conn.Close() })
	c.ask = func(kind PayloadType, b []byte) []byte {
		c.write(appendBare(nil, true, kind, b))
		return c.read().Payload
	}
	return c
}

func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) read() packet {
	c.t.Helper()
	buf := make([]byte, 2000)
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	n, err := c.conn.Read(buf)
	if err != nil {
		c.t.Fatal(err)
	}
	_, rest, err := splitRMCP(buf[:n])
	if err != nil {
		c.t.Fatal(err)
	}
	p, err := parsePacket(rest)
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

// ping waits for a pong: the door has dealt with what came before.
func (c *client) ping() {
	c.t.Helper()
	c.write([]byte{6, 0, 0xFF, classASF, 0, 0, 0x11, 0xBE, asfPing, 1, 0, 0})
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	if n, err := c.conn.Read(make([]byte, 100)); err != nil || n != rmcpLen+asfLen+asfPongData {
		c.t.Fatal(n, err)
	}
}

// there is how many bytes have come by now.
func (c *client) there() (n int) {
	c.t.Helper()
	raw, err := c.conn.(*net.UDPConn).SyscallConn()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := raw.Read(func(fd uintptr) bool {
		n, _, _ = syscall.Recvfrom(int(fd), make([]byte, 100), syscall.MSG_DONTWAIT)
		return true
	}); err != nil {
		c.t.Fatal(err)
	}
	return n
}

// until waits for what nobody tells of.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// running is how many goroutines are in a function.
func running(name string) int {
	buf := make([]byte, 1<<20)
	return bytes.Count(buf[:runtime.Stack(buf, true)], []byte(name))
}

// unsaid checks that a login of which the store has heard gets no answer.
func (c *client) unsaid() {
	c.t.Helper()
	until(c.t, "what answers is done", func() bool { return running("rmcp.(*Door).stored.func1") == 0 })
	c.ping() // would come after an answer
}

// next gives what comes by a channel.
func next[T any](t *testing.T, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatal("nothing comes")
	}
	return v
}

func openBytes(privilege byte, auth, integrity, confidentiality byte) []byte {
	b := binary.LittleEndian.AppendUint32([]byte{7, privilege, 0, 0}, consoleID)
	for i, a := range []byte{auth, integrity, confidentiality} {
		b = append(b, byte(i), 0, 0, 8, a, 0, 0, 0)
	}
	return b
}

func (c *client) open() Status {
	b := c.ask(PayloadOpenRequest, openBytes(0, c.suite.Auth, c.suite.Integrity, c.suite.Confidentiality))
	if b[1] == 0 {
		c.id = binary.LittleEndian.Uint32(b[8:])
	}
	return Status(b[1])
}

func (c *client) first() []byte {
	b := append(binary.LittleEndian.AppendUint32([]byte{8, 0, 0, 0}, c.id), c.random[:]...)
	return append(append(b, c.role, 0, 0, byte(len(c.name))), c.name...)
}

func (c *client) third() []byte {
	code := c.a.mac(c.password, c.theirs, word(consoleID), []byte{c.role, byte(len(c.name))}, []byte(c.name))
	return append(binary.LittleEndian.AppendUint32([]byte{9, 0, 0, 0}, c.id), code...)
}

// login goes through all of a login and checks what the controller proves.
func (c *client) login(kg []byte) Status {
	c.t.Helper()
	if s := c.open(); s != StatusOK {
		return s
	}
	b := c.ask(PayloadRAKP1, c.first())
	if b[1] != 0 {
		return Status(b[1])
	}
	c.theirs = bytes.Clone(b[8:24])
	b = c.ask(PayloadRAKP3, c.third())
	if b[1] != 0 {
		return Status(b[1])
	}
	if kg == nil {
		kg = c.password
	}
	sik := c.a.mac(kg, c.random[:], c.theirs, []byte{c.role, byte(len(c.name))}, []byte(c.name))
	if want := c.a.mac(sik, c.random[:], word(c.id), testGUID.Wire())[:c.a.codeLen]; !bytes.Equal(b[8:], want) {
		c.t.Errorf("RAKP 4 proves % x, want % x", b[8:], want)
	}
	c.keys = newCodec(c.suite, c.a, sik, c.password)
	return StatusOK
}

// frame is a request as it goes into a session.
func (c *client) frame(n ipmb.NetFn, cmd ipmb.Cmd, data ...byte) []byte {
	c.rqSeq = (c.rqSeq + 1) % ipmb.MaxSequence
	b, err := ipmb.RequestFrame(0x20, 0x81, 0, c.rqSeq, &ipmb.Request{NetFn: n, Cmd: cmd, Data: data}).AppendBinary(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}

func (c *client) send(message []byte) []byte {
	c.seq++
	b := c.keys.appendSealed(nil, PayloadIPMI, c.id, c.seq, message)
	c.write(b)
	return b
}

func (c *client) receive() ipmb.Frame {
	c.t.Helper()
	p := c.read()
	b, err := c.keys.open(p)
	if err != nil || p.ID != consoleID {
		c.t.Fatalf("answer of session %x: %v", p.ID, err)
	}
	f, err := ipmb.ParseFrame(b)
	if err != nil {
		c.t.Fatal(err)
	}
	return f
}

// patient asks as clients do, again if there is no answer: a socket that is
// flooded loses datagrams.
func (c *client) patient(n ipmb.NetFn, cmd ipmb.Cmd, data ...byte) []byte {
	c.t.Helper()
	message := c.frame(n, cmd, data...)
	for range 4 {
		c.send(message)
		_ = c.conn.SetReadDeadline(time.Now().Add(time.Second))
		for buf := make([]byte, 2000); ; {
			n, err := c.conn.Read(buf)
			if err != nil {
				break
			}
			p, err := parsePacket(buf[rmcpLen:n])
			if err != nil {
				c.t.Fatal(err)
			}
			b, err := c.keys.open(p)
			if err != nil {
				c.t.Fatal(err)
			}
			if f, err := ipmb.ParseFrame(b); err == nil && f.Seq == c.rqSeq {
				return f.Data
			}
		}
	}
	c.t.Fatal("no answer to four tries")
	return nil
}

// do asks in the session: completion code and data.
func (c *client) do(n ipmb.NetFn, cmd ipmb.Cmd, data ...byte) []byte {
	c.t.Helper()
	c.send(c.frame(n, cmd, data...))
	return c.receive().Data
}
