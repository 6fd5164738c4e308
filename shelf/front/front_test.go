package front

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inside is a datagram of a session that says what.
func inside(what string) []byte {
	return append([]byte{rmcpVersion, 0, 0xFF, classIPMI, authPlus, 0xC0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0}, what...)
}

// bed is a front with entries of replicas, and a client.
type bed struct {
	t       *testing.T
	config  Config
	entries []*Entry
	front   *Front
	stop    func()
	client  *net.UDPConn
}

func newBed(t *testing.T, n int) *bed {
	t.Helper()
	dir, err := os.MkdirTemp("", "mpf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	b := &bed{t: t, config: Config{Listen: "127.0.0.1:0"}}
	for i := range n {
		path := filepath.Join(dir, fmt.Sprint(i))
		e, err := ListenEntry(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = e.Close() })
		b.entries = append(b.entries, e)
		b.config.Replicas = append(b.config.Replicas, "unix:"+path)
	}
	b.start()
	t.Cleanup(func() { b.stop() })
	if b.client, err = net.DialUDP("udp", nil, b.front.Addr().(*net.UDPAddr)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.client.Close() })
	return b
}

// start opens the front; after a stop, where it was.
func (b *bed) start() {
	b.t.Helper()
	var err error
	if b.front, err = Open(b.config, slog.New(slog.DiscardHandler)); err != nil {
		b.t.Fatal(err)
	}
	b.config.Listen = b.front.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.front.Run(ctx) }()
	b.stop = func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			b.t.Error(err)
		}
		b.stop = func() {}
	}
}

func (b *bed) send(what string) {
	b.t.Helper()
	if _, err := b.client.Write(inside(what)); err != nil {
		b.t.Fatal(err)
	}
}

// gets reads one datagram of a leader's.
func gets(t *testing.T, c *Conn) (string, net.Addr) {
	t.Helper()
	stop := time.AfterFunc(10*time.Second, func() { _ = c.Close() })
	defer stop.Stop()
	buf := make([]byte, maxDatagram)
	n, from, err := c.ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[len(inside("")):n]), from
}

func (b *bed) answer(c *Conn, to net.Addr, what string) {
	b.t.Helper()
	if _, err := c.WriteTo([]byte(what), to); err != nil {
		b.t.Fatal(err)
	}
	_ = b.client.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, maxDatagram)
	if n, err := b.client.Read(buf); err != nil || string(buf[:n]) != what {
		b.t.Fatalf("%q, %v", buf[:n], err)
	}
}

// What nobody answered goes to the next leader, whether the last one is gone or
// stands still; what was answered does not.
func TestNextLeader(t *testing.T) {
	b := newBed(t, 3)
	b.send("held")
	first := b.entries[0].Lead(4)
	what, from := gets(t, first)
	if what != "held" {
		t.Errorf("first leader got %q", what)
	}
	b.answer(first, from, "done")
	b.send("lost")
	if what, _ := gets(t, first); what != "lost" {
		t.Errorf("first leader got %q", what)
	}
	second := b.entries[1].Lead(7) // the first stands still, and says nothing
	if what, from = gets(t, second); what != "lost" {
		t.Errorf("second leader got %q", what)
	}
	if _, err := first.WriteTo([]byte("old"), from); err != nil {
		t.Error(err)
	}
	b.answer(second, from, "done too")
	_ = second.Close()
	b.send("between")
	third := b.entries[2].Lead(8)
	if what, from = gets(t, third); what != "between" {
		t.Errorf("third leader got %q", what)
	}
	b.answer(third, from, "all")
}

// A front that is started again takes its place; replicas and clients notice nothing.
func TestFrontRestarts(t *testing.T) {
	b := newBed(t, 1)
	leader := b.entries[0].Lead(1)
	b.send("before")
	_, from := gets(t, leader)
	b.answer(leader, from, "1")
	b.stop()
	b.start()
	b.send("after")
	what, from := gets(t, leader)
	if what != "after" {
		t.Errorf("got %q", what)
	}
	b.answer(leader, from, "2")
}

// A replica that is started again is found.
func TestReplicaRestarts(t *testing.T) {
	b := newBed(t, 1)
	_ = b.entries[0].Close()
	e, err := ListenEntry(b.config.Replicas[0][len("unix:"):])
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	leader := e.Lead(1)
	b.send("hello")
	what, from := gets(t, leader)
	if what != "hello" {
		t.Errorf("got %q", what)
	}
	b.answer(leader, from, "1")
}

// A replica without front drops what comes while it does not lead.
func TestSocket(t *testing.T) {
	s, err := ListenSocket("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, err := net.DialUDP("udp", nil, s.Addr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := &bed{t: t, client: c}
	b.send("to nobody")
	leader := s.Lead(1)
	for what := ""; what != "to the leader"; {
		b.send("to the leader") // the first may still be on its way to nobody
		var from net.Addr
		if what, from = gets(t, leader); what == "to nobody" {
			continue
		}
		b.answer(leader, from, "1")
	}
	_ = leader.Close()
	if _, err := leader.WriteTo([]byte("late"), c.LocalAddr()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}

// An address that this host does not have yet can be listened at.
func TestVirtualAddress(t *testing.T) {
	s, err := ListenSocket("192.0.2.77:0")
	if err != nil {
		t.Fatal(err)
	}
	if at := s.Addr().(*net.UDPAddr); at.IP.String() != "192.0.2.77" || at.Port == 0 {
		t.Errorf("listens at %s", at)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestHeld(t *testing.T) {
	now := time.Now()
	peer := func(n uint16) netip.AddrPort { return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), n) }
	h := held{limit: 3, time: holdTime}
	for n := range uint16(5) {
		h.add(datagram{peer: peer(n)}, 0, now.Add(time.Duration(n)*time.Second))
	}
	if len(h.list) != 3 || h.list[0].peer != peer(2) {
		t.Errorf("%d held, the oldest of %v", len(h.list), h.list[0].peer)
	}
	h.answered(peer(3))
	if len(h.list) != 2 || h.list[1].peer != peer(4) {
		t.Errorf("%d held", len(h.list))
	}
	h.age(now.Add(3*time.Second + holdTime))
	if len(h.list) != 1 || h.list[0].peer != peer(4) {
		t.Errorf("%d held", len(h.list))
	}
}

// What crossed an answer is held, for the leader did not have it yet: in RMCP+ the
// numbers tell. In IPMI 1.5 they do not.
func TestHeldCrosses(t *testing.T) {
	peer := netip.MustParseAddrPort("192.0.2.1:9")
	plus := func(number uint32) []byte {
		b := append([]byte{rmcpVersion, 0, 0xFF, classIPMI, authPlus, 0xC1}, 1, 2, 3, 4)
		return binary.LittleEndian.AppendUint32(b, number)
	}
	v15 := []byte{rmcpVersion, 0, 0xFF, classIPMI, 2, 9, 0, 0, 0, 1, 2, 3, 4}
	for _, c := range []struct {
		asked, answer []byte
		left          int
	}{
		{plus(5), plus(9), 0},
		{plus(5), plus(10), 0},
		{plus(5), plus(8), 1},
		{plus(1), plus(0xFFFFFFFF), 1},
		{plus(5), v15, 0},
		{v15, plus(8), 0},
		{plus(5)[:10], plus(8), 0},
	} {
		var h held
		h.list = []heldDatagram{{datagram: datagram{peer: peer, data: c.asked}}, {datagram: datagram{data: c.asked}}}
		h.answeredBy(datagram{peer: peer, data: c.answer})
		if len(h.list) != c.left+1 {
			t.Errorf("% x, then % x: %d held, with another's", c.asked, c.answer, len(h.list))
		}
	}
}

// One address does not crowd out what others said.
func TestHeldIsShared(t *testing.T) {
	now, h := time.Now(), held{limit: 16, time: holdTime}
	h.add(datagram{peer: elsewhere}, 0, now)
	for i := range uint16(100) {
		h.add(datagram{peer: netip.AddrPortFrom(flooding, i)}, 0, now)
	}
	if len(h.list) != h.limit || h.list[0].peer != elsewhere || h.list[h.limit-1].peer.Port() != 99 {
		t.Errorf("%d held, from %s to %s", len(h.list), h.list[0].peer, h.list[h.limit-1].peer)
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []Config{
		{}, {Listen: "localhost:623", Replicas: []string{"unix:x"}}, {Listen: "127.0.0.1:1"}, {Listen: "127.0.0.1:1", Replicas: []string{"x"}},
	} {
		if c.Check() == nil {
			t.Errorf("%+v is well", c)
		}
	}
	path := filepath.Join(t.TempDir(), "front.json")
	if err := os.WriteFile(path, []byte(`{"listen": "127.0.0.1:1"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadConfig(path); err == nil || err.Error() != path+": replicas: who shall answer?" {
		t.Error(err)
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(appendDatagram(nil, datagram{peer: netip.MustParseAddrPort("192.0.2.1:4000"), port: 623, data: inside("x")}))
	f.Add(appendDatagram(nil, datagram{peer: netip.MustParseAddrPort("[2001:db8::1]:4000")}))
	f.Add(appendDatagram(nil, datagram{peer: netip.MustParseAddrPort("192.0.2.1:4000"), data: openBytes, login: []byte("so far")}))
	f.Add(appendDatagram(nil, datagram{peer: netip.MustParseAddrPort("192.0.2.1:4000"), data: openBytes, login: []byte{}}))
	f.Add(appendLeading(nil, 7))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := readFrame(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			return
		}
		again := appendLeading(nil, got.term)
		if (got.kind == kindStep) != (got.datagram.login != nil) || len(got.datagram.data) > maxDatagram || len(got.datagram.login) > maxLogin {
			t.Errorf("%+v", got)
		}
		if got.kind != kindLeading {
			again = appendDatagram(nil, got.datagram)
			isRMCP(got.datagram.data)
		}
		if next, err := readFrame(bufio.NewReader(bytes.NewReader(again))); err != nil || next.kind != got.kind || next.term != got.term ||
			next.datagram.peer != got.datagram.peer || !bytes.Equal(next.datagram.data, got.datagram.data) || !bytes.Equal(next.datagram.login, got.datagram.login) {
			t.Errorf("%+v became %+v, %v", got, next, err)
		}
	})
}

// FuzzTake has a front take anything: it is held once, with those of sessions or
// with the others, or not at all. The first seeds are ipmitool's and FreeIPMI's.
func FuzzTake(f *testing.F) {
	for _, s := range []string{
		"0600ff07060000000000000000000a002018c88104540e008099",
		"0600ff0706100000000000000000200000000000a4a3a2000000080100000001000008010000000200000801000000",
		"0600ff07027a0485a0bea84ca43817d96408065f3f17a61f110b4c5670082018c881583b04e8",
		"0600ff06000011be802a0000",
	} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(inside("x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		front := newFront()
		front.take(datagram{data: b, peer: elsewhere}, time.Now())
		taken := isRMCP(b) && len(b) <= maxDatagram
		mine, other := front.others.list, front.sessions.list
		if taken && inSession(b) {
			mine, other = other, mine
		}
		if len(other) > 0 || taken != (len(mine) == 1) || taken && !bytes.Equal(mine[0].data, b) {
			t.Errorf("% x: %d held, %d of the other kind", b, len(mine), len(other))
		}
	})
}

// breathless is a listener that once has no file descriptor for who comes.
type breathless struct {
	net.Listener
	once sync.Once
}

func (l *breathless) Accept() (conn net.Conn, err error) {
	l.once.Do(func() { err = syscall.EMFILE })
	if err != nil {
		return nil, err
	}
	return l.Listener.Accept()
}

// An entry that could not take its front in takes it in later.
func TestEntryOutOfDescriptors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	e := newEntry(&breathless{Listener: ln})
	defer e.Close()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	e.Lead(5)
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	for r, term := bufio.NewReader(conn), uint64(0); term != 5; {
		f, err := readFrame(r)
		if err != nil {
			t.Fatal(err)
		}
		term = f.term
	}
}
