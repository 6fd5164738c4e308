package pef

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// bench is a PEF among fakes: a log, a system, a network that keeps what it is
// given. It runs in a synctest bubble.
type bench struct {
	*PEF
	t       testing.TB
	mux     *ipmb.Mux
	log     *fakeLog
	records *mc.MemoryRecords
	system  *fakeSystem
	net     *fakeNet
	cancel  context.CancelFunc
	group   sync.WaitGroup
}

// inBench runs f with a PEF that filters.
func inBench(t *testing.T, f func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.run()
		f(t, b)
		b.stop()
	})
}

func newBench(t testing.TB) *bench {
	b := &bench{t: t, log: &fakeLog{next: 1}, records: &mc.MemoryRecords{}, system: &fakeSystem{}, net: newFakeNet()}
	b.make()
	return b
}

const (
	ownAddr   = ipmb.Addr(0x82)
	ownSensor = 0x12
)

var systemGUID = mc.GUID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// make makes a PEF of what is in the records.
func (b *bench) make() {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p, err := New(Config{
		Records: b.records, Log: b.log, Target: b.system, Sensor: ownSensor,
		Source: Source{Addr: ownAddr, Manufacturer: 0x315A, Product: 0x4321, GUID: systemGUID, Entity: entityOfSensor},
		Network: Network{
			Destination: b.net.destination, Dial: b.net.dial,
			Allowed: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:162"), netip.MustParseAddrPort("10.0.0.2:16200")},
		},
		Report: func(_ context.Context, body []byte) error { return b.event(uint16(ownAddr), body) },
		Spawn:  func(f func(context.Context)) { b.group.Go(func() { f(ctx) }) },
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.PEF, b.cancel, b.mux = p, cancel, ipmb.NewMux(p.Commands())
}

func (b *bench) run() { b.Spawn(b.Run) }

func (b *bench) stop() {
	b.cancel()
	b.group.Wait()
}

// restart ends the PEF as a kill does, and makes another of what it left.
func (b *bench) restart() {
	b.stop()
	b.make()
	b.run()
	synctest.Wait()
}

func entityOfSensor(generator uint16, sensor byte) (id, instance byte) {
	if generator == 0x20 && sensor == 0x30 {
		return 7, 1
	}
	return 0, 0
}

// event logs an event and tells of it, as a controller does.
func (b *bench) event(generator uint16, body []byte) error {
	r := mc.SELEntry{2: mc.SELTypeSystem, 7: byte(generator), 8: byte(generator >> 8)}
	copy(r[9:], body)
	r.Stamp(0, b.log.SELTime(context.Background()))
	if !b.log.off {
		r = b.log.add(r)
	}
	b.Logged(r)
	return nil
}

// happens is an event of controller 20h, without its revision, after which
// everything that follows from it at once has been done.
func (b *bench) happens(body string) {
	b.t.Helper()
	if err := b.event(0x20, append([]byte{eventRevision}, unhex(b.t, body)...)); err != nil {
		b.t.Fatal(err)
	}
	synctest.Wait()
}

// ask sends a request, network function and command first, and gives the
// answer, completion code first.
func (b *bench) ask(request string) string {
	b.t.Helper()
	raw := unhex(b.t, request)
	rs := b.mux.ServeIPMI(context.Background(), &ipmb.Request{
		NetFn: ipmb.NetFn(raw[0]), Cmd: ipmb.Cmd(raw[1]), Data: raw[2:], Origin: ipmb.Origin{Door: ipmb.DoorSystem, Privilege: ipmb.PrivilegeAdmin},
	})
	return fmt.Sprintf("% x", append([]byte{byte(rs.Code)}, rs.Data...))
}

// set asks for what must be granted.
func (b *bench) set(requests ...string) {
	b.t.Helper()
	for _, r := range requests {
		if got := b.ask(r); got[:2] != "00" {
			b.t.Fatalf("%s: %s", r, got)
		}
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return b
}

// fakeLog is a SEL.
type fakeLog struct {
	rows  []mc.SELEntry
	next  uint16
	off   bool // events are not logged
	added time.Time
}

func (l *fakeLog) add(r mc.SELEntry) mc.SELEntry {
	l.added = l.SELTime(context.Background())
	r.Stamp(l.next, l.added)
	l.rows = append(l.rows, r)
	l.next = l.next%idsInAll + 1
	return r
}

func (l *fakeLog) SELInfo(context.Context) (mc.SELInfo, error) {
	return mc.SELInfo{Entries: uint16(len(l.rows)), LastAdd: l.added}, nil
}

func (l *fakeLog) SELTime(context.Context) time.Time { return time.Unix(0x5F000000, 0) }

func (l *fakeLog) SELGet(_ context.Context, id uint16) (mc.SELEntry, uint16, error) {
	i := slices.IndexFunc(l.rows, func(r mc.SELEntry) bool { return r.ID() == id })
	switch id {
	case idFirst:
		i = min(0, len(l.rows)-1)
	case idLast:
		i = len(l.rows) - 1
	}
	if i < 0 {
		return mc.SELEntry{}, 0, ipmb.ErrNotPresent
	}
	if i+1 == len(l.rows) {
		return l.rows[i], idLast, nil
	}
	return l.rows[i], l.rows[i+1].ID(), nil
}

// fakeSystem notes what is done to it.
type fakeSystem struct {
	mu    sync.Mutex
	calls []string
	fail  error
}

func (s *fakeSystem) do(call string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, call)
	return s.fail
}

func (s *fakeSystem) PowerOff(context.Context) error   { return s.do("off") }
func (s *fakeSystem) PowerCycle(context.Context) error { return s.do("cycle") }
func (s *fakeSystem) Reset(context.Context) error      { return s.do("reset") }
func (s *fakeSystem) NMI(context.Context) error        { return s.do("nmi") }

func (s *fakeSystem) took() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := strings.Join(s.calls, " ")
	s.calls = nil
	return calls
}

// fakeNet has destinations on channel 1, and keeps what is sent.
type fakeNet struct {
	mu    sync.Mutex
	dests map[uint8]Destination
	sent  []packet
	down  map[netip.Addr]bool
}

type packet struct {
	to   string
	data []byte
}

func newFakeNet() *fakeNet {
	pet := func(addr string) Destination {
		return Destination{Addr: netip.MustParseAddr(addr), Interval: 3 * time.Second, Community: DefaultCommunity}
	}
	acked, oem := pet("10.0.0.2"), pet("10.0.0.1")
	acked.Acknowledged, acked.Retries = true, 2
	oem.Kind = 6
	return &fakeNet{
		dests: map[uint8]Destination{1: pet("10.0.0.1"), 2: acked, 3: pet("10.9.9.9"), 4: oem},
		down:  make(map[netip.Addr]bool),
	}
}

func (n *fakeNet) destination(_ context.Context, channel, number uint8) (Destination, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	d, ok := n.dests[number]
	return d, ok && channel == 1
}

func (n *fakeNet) dial(_ context.Context, to netip.AddrPort) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down[to.Addr()] {
		return nil, errors.New("unreachable")
	}
	return &fakeConn{net: n, to: to.String()}, nil
}

// took gives the packets since it was called last.
func (n *fakeNet) took() []packet {
	n.mu.Lock()
	defer n.mu.Unlock()
	sent := n.sent
	n.sent = nil
	return sent
}

// to gives their addresses.
func (n *fakeNet) to() string {
	var all []string
	for _, p := range n.took() {
		all = append(all, p.to)
	}
	return strings.Join(all, " ")
}

type fakeConn struct {
	net.Conn
	net *fakeNet
	to  string
}

func (c *fakeConn) Write(b []byte) (int, error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.net.sent = append(c.net.sent, packet{c.to, slices.Clone(b)})
	return len(b), nil
}

func (c *fakeConn) LocalAddr() net.Addr { return &net.UDPAddr{IP: net.IPv4(10, 0, 0, 9), Port: 40000} }
func (c *fakeConn) Close() error        { return nil }
