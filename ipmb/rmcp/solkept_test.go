package rmcp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// solStoring is one of several processes at a door with serial over LAN.
func solStoring(t *testing.T, f *fakeStore, console Console, allowed bool) *site {
	s := newSite(t)
	s.cfg.Store = f
	s.params = map[uint8][]byte{
		mc.SOLEnable: {1}, mc.SOLAuth: {0xC0 | byte(ipmb.PrivilegeAdmin)}, mc.SOLAccumulate: {1, 10}, mc.SOLRetry: {7, 50},
	}
	s.sol = NewSOL(SOLConfig{
		Sessions: s.Sessions, Parameter: s.param, Allowed: func(uint8) bool { return allowed },
		Console: console, Instances: maxInstance, Port: portRMCP,
	})
	s.mux = ipmb.NewMux(s.Commands(), s.sol.Commands(), s.rows())
	s.Restore(f.list(), time.Now())
	s.open()
	return s
}

func (f *fakeStore) payload(t *testing.T, want uint8) {
	t.Helper()
	until(t, fmt.Sprintf("payload %d is stored", want), func() bool {
		got := f.list()
		return len(got) == 1 && got[0].Payload == want
	})
}

// await waits until a port was opened.
func (p *port) await(t *testing.T) (o Opening) {
	t.Helper()
	until(t, "the port is opened", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		o = p.opening
		return o.Instance != 0
	})
	return o
}

// hasAll waits until the console has so many characters, and gives the packet
// that it acknowledged last.
func (p *port) hasAll(t *testing.T, n int) (packet uint8) {
	t.Helper()
	until(t, "the console has all characters", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		packet = p.packet
		return p.has == n
	})
	return packet
}

// A payload goes on in the next process, with packet numbers that its console
// takes, until it is deactivated there.
func TestSOLGoesOnElsewhere(t *testing.T) {
	f, one, two, three := newFakeStore(), newPort(), newPort(), newPort()
	first := solStoring(t, f, ports{3: one}, true)
	c := first.admin()
	c.want("activate", c.do(6, 0x48, activateInstance(3)...), activated...)
	f.payload(t, 3)
	was := one.await(t)
	if was.Instance != 3 || was.Hold != 4*time.Second || was.Resume || was.Session == "" {
		t.Errorf("opened: %+v", was)
	}
	highest := uint32(0)
	hear := func() []byte { t.Helper(); return c.hear(t, &highest) }
	in := func(p *port, text string) {
		t.Helper()
		p.says(t, text)
		got, err := parseSOL(hear())
		if err != nil || string(got.Data) != text {
			t.Errorf("%+v, %v, want %q", got, err, text)
		}
		c.sendSOL(solPacket{Ack: got.Seq, Count: uint8(len(got.Data))})
	}
	answer := func() {
		t.Helper()
		c.send(c.frame(6, 1))
		hear()
	}
	for range 40 {
		in(one, "output of the first")
	}
	answer()
	if last := one.hasAll(t, 40*len("output of the first")); last != 10 { // 40 of them
		t.Errorf("packet %d was the last", last)
	}
	c.moves(solStoring(t, f, ports{3: two}, true))
	if o := two.await(t); !o.Resume || o.Session != was.Session || o.Instance != 3 {
		t.Errorf("opened: %+v", o)
	}
	bare := func(what string, seq, ack, count uint8) {
		t.Helper()
		if b := hear(); !bytes.Equal(b, []byte{seq, ack, count, 0}) {
			t.Errorf("%s: % x", what, b)
		}
	}
	c.sendSOL(solPacket{Seq: 1, Data: []byte("x")})
	bare("input", 0, 1, 1)
	hears(t, two, "x")
	bare("the first packet, which went to where the console was", 1, 0, 0)
	c.sendSOL(solPacket{Ack: 1})
	for range 20 {
		in(two, "output of the second")
	}
	answer()
	three.packet, three.resumes = two.hasAll(t, 20*len("output of the second")), true // the next one knows how far this one is
	c.moves(solStoring(t, f, ports{3: three}, true))
	three.await(t)
	c.sendSOL(solPacket{Seq: 2, Data: []byte("y")})
	bare("input", 0, 2, 1)
	three.says(t, "and so on, and so on")
	if got, err := parseSOL(hear()); err != nil || got.Seq != 7 || string(got.Data) != "and so on, and so on" {
		t.Errorf("%+v, %v: after 1 + 20 packets", got, err)
	}
	c.want("deactivate", c.do(6, 0x49, activateInstance(3)...), 0)
	next(t, three.closed)
	f.payload(t, 0)
}

// hear reads what the console did not have yet. Its numbers go on from the highest, as
// far ahead as FreeIPMI takes them.
func (c *client) hear(t *testing.T, highest *uint32) []byte {
	t.Helper()
	for {
		packet := c.read()
		if packet.Seq <= *highest || packet.Seq > *highest+8 {
			t.Errorf("packet %d after %d", packet.Seq, *highest)
		}
		*highest = packet.Seq
		b, err := c.keys.open(packet)
		if err != nil {
			t.Fatal(err)
		}
		if !c.again(packet, b) {
			return b
		}
	}
}

// A console that says nothing hears the next process: its numbers follow those of
// the last one, of which messages used some.
func TestSOLGoesOnInSilence(t *testing.T) {
	f, one, two := newFakeStore(), newPort(), newPort()
	c := solStoring(t, f, ports{3: one}, true).admin()
	c.want("activate", c.do(6, 0x48, activateInstance(3)...), activated...)
	f.payload(t, 3)
	highest := uint32(0)
	hear := func() []byte { t.Helper(); return c.hear(t, &highest) }
	for range 20 {
		one.says(t, "output")
		b := hear()
		c.sendSOL(solPacket{Ack: b[0], Count: uint8(len(b) - solHeadLen)})
	}
	for range 10 {
		c.send(c.frame(6, 1))
		hear()
	}
	until(t, "the port knows the number of the last answer", func() bool {
		one.mu.Lock()
		defer one.mu.Unlock()
		return one.number == highest
	})
	two.packet, two.number, two.resumes = one.packet, one.number, true
	listens, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listens.Close() })
	f.mu.Lock()
	for id, k := range f.kept {
		k.Peer = netip.MustParseAddrPort(listens.LocalAddr().String())
		f.kept[id] = k
	}
	f.mu.Unlock()
	solStoring(t, f, ports{3: two}, true)
	c.conn = listens
	two.says(t, "and so on")
	if seq := c.read().Seq; seq <= highest || seq > highest+8 {
		t.Errorf("packet %d after %d", seq, highest)
	}
}

// A payload that ends by itself is not taken up, nor one that its user may not
// have any more, or of a port that has gone.
func TestSOLIsNotTakenUp(t *testing.T) {
	f, one := newFakeStore(), newPort()
	c := solStoring(t, f, ports{3: one}, true).admin()
	c.want("activate", c.do(6, 0x48, activateInstance(3)...), activated...)
	c.want("says nothing", c.do(6, 1), 0, 1)
	f.payload(t, 3)

	two := newPort()
	second := solStoring(t, f, ports{3: two}, false)
	c.moves(second)
	c.want("for nobody", c.do(6, 0x4A, 1), 0, 15, 0, 0)
	c.sendSOL(solPacket{Seq: 1, Data: []byte("x")})
	c.wantSOL("is told", 0, 0, 0, solDeactivated, "")

	f.payload(t, 0)
	f.set(func() {
		for id, k := range f.kept {
			k.Payload = 3
			f.kept[id] = k
		}
	})
	c.moves(solStoring(t, f, ports{3: two}, true))
	two.await(t)
	c.sendSOL(solPacket{Seq: 2, Data: []byte("y")}) // from where it is now
	c.wantSOL("input", 0, 2, 1, 0, "")
	two.take()
	c.wantSOL("is told", 0, 0, 0, solDeactivated, "")
	f.payload(t, 0)
}

// A payload that is not stored is none.
func TestSOLIsStoredFirst(t *testing.T) {
	f, one := newFakeStore(), newPort()
	s := solStoring(t, f, ports{3: one}, true)
	c := s.admin()
	f.set(func() { f.fails = errors.New("no quorum") })
	c.send(c.frame(6, 0x48, activateInstance(3)...))
	next(t, one.closed)
	f.set(func() { f.fails = nil })
	c.want("activate", c.do(6, 0x48, activateInstance(3)...), activated...)
	f.payload(t, 3)
}

// goneConsole has lost its ports.
type goneConsole struct{ tries chan Opening }

func (g goneConsole) Open(_ context.Context, o Opening) (Line, error) {
	select {
	case g.tries <- o:
	default:
	}
	return nil, ipmb.ErrNotPresent
}

// While its port is not there a payload has its place, which may be given up.
func TestSOLWaitsForItsPort(t *testing.T) {
	f := newFakeStore()
	c := solStoring(t, f, ports{3: newPort()}, true).admin()
	c.want("activate", c.do(6, 0x48, activateInstance(3)...), activated...)
	gone := goneConsole{make(chan Opening, 1)}
	c.moves(solStoring(t, f, gone, true))
	for range 3 {
		if o := next(t, gone.tries); !o.Resume {
			t.Errorf("opened: %+v", o)
		}
	}
	c.want("has it", c.do(6, 0x4A, 1), 0, 15, 4, 0)
	c.want("deactivate", c.do(6, 0x49, activateInstance(3)...), 0)
	f.payload(t, 0)
	c.want("none", c.do(6, 0x4A, 1), 0, 15, 0, 0)
}
