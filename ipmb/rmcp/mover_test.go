package rmcp

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// mover serves the site's door where it can be moved from.
func (s *site) mover() *Mover { return s.moverAt(netip.MustParseAddrPort("127.0.0.1:0")) }

func (s *site) moverAt(a netip.AddrPort) *Mover {
	s.t.Helper()
	m := NewMover(DoorConfig{
		Sessions: s.Sessions, Handler: s.mux, Count: new(mc.LANCounters), Log: slog.New(slog.DiscardHandler),
		Origin: ipmb.Origin{Speaker: ipmb.SpeakerSession, Door: ipmb.DoorLAN, Channel: 1},
		Effect: func(*ipmb.Request) bool { return true },
	})
	if err := m.Open(a); err != nil {
		s.t.Fatal(err)
	}
	if !s.many {
		m.here.door.helpers, m.here.door.relief = nil, time.Hour
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Serve(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			s.t.Error(err)
		}
		if n := s.Open(); n != 0 {
			s.t.Errorf("%d sessions after the end", n)
		}
	})
	s.addr = net.UDPAddrFromAddrPort(m.At())
	return m
}

// moveTo moves a door that is there already.
func (m *Mover) moveTo(t *testing.T, to netip.AddrPort) {
	t.Helper()
	done, err := m.Prepare(to)
	if err != nil || done == nil {
		t.Fatal(to, err)
	}
	done(true)
	if m.At() != to {
		t.Errorf("is at %v", m.At())
	}
}

// redial has the console speak from a new socket to another address.
func (c *client) redial(to netip.AddrPort) {
	c.t.Helper()
	conn, err := net.Dial("udp", to.String())
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close() })
	c.conn = conn
}

// Who is logged in finishes where he is, or follows; others find the door at
// its new address only.
func TestMove(t *testing.T) {
	s := newSite(t)
	m := s.mover()
	first := m.At()
	second := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), first.Port())
	c := s.dial(s.cfg.Suites[1], "admin", "secret", 0x14)
	if got := c.login(nil); got != StatusOK {
		t.Fatal(got)
	}
	m.moveTo(t, second)
	late := s.dial(s.cfg.Suites[1], "admin", "secret", 0x14)
	late.write(appendBare(nil, true, PayloadOpenRequest, openBytes(0, 1, 1, 1)))
	late.write([]byte{6, 0, 0xFF, classASF, 0, 0, 0x11, 0xBE, asfPing, 1, 0, 0})
	late.write(appendBare(nil, true, PayloadIPMI, late.frame(6, 0x38, 0x8E, 4)))
	c.want("where it was", c.do(6, 1), 0, 1) // what late said has been dealt with
	if n := late.there(); n > 0 {
		t.Errorf("%d bytes from the address that the door has left", n)
	}
	late.redial(second)
	if got := late.login(nil); got != StatusOK {
		t.Error(got)
	}
	c.redial(second)
	c.want("where it is", c.do(6, 1), 0, 2)

	m.moveTo(t, first) // the old socket is still there
	late.redial(first)
	late.ping()
	c.want("the other way round", c.do(6, 1), 0, 3)
}

// A door moves between all addresses and one of them, though each is in the
// other's way; others' sockets stay so.
func TestMoveBetweenAllAndOne(t *testing.T) {
	for _, all := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		s := newSite(t)
		m := s.moverAt(netip.AddrPortFrom(all, 0))
		wide := m.At()
		at := func(host string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(host), wide.Port()) }
		one, other := at("127.0.0.6"), at("127.0.0.7")
		foreign := func(a netip.AddrPort) error { // somebody else who would share it
			config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
				return raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1) })
			}}
			conn, err := config.ListenPacket(t.Context(), "udp4", a.String())
			if err == nil {
				_ = conn.Close()
			}
			return err
		}
		c := s.dial(s.cfg.Suites[1], "admin", "secret", 0x14)
		c.redial(other)
		if got := c.login(nil); got != StatusOK {
			t.Fatal(got)
		}
		c.redial(one)
		c.want("before", c.do(6, 1), 0, 1)
		if err := m.Try(one); err != nil {
			t.Error(err)
		}
		m.moveTo(t, one)
		c.want("by the socket that it has", c.do(6, 1), 0, 2)
		c.redial(other)
		c.want("where it was", c.do(6, 1), 0, 3)
		late := s.dial(s.cfg.Suites[1], "admin", "secret", 0x14)
		late.redial(one)
		if got := late.login(nil); got != StatusOK {
			t.Error(got)
		}
		m.moveTo(t, other) // beside the one that is left
		late.redial(other)
		late.ping()
		if foreign(other) == nil {
			t.Error("the address is not the door's alone")
		}
		alone := func() { // ends those that were left
			t.Helper()
			m.mu.Lock()
			for _, one := range m.left {
				one.end.Reset(0)
			}
			m.mu.Unlock()
			until(t, "their sockets are closed", func() bool {
				m.mu.Lock()
				defer m.mu.Unlock()
				return len(m.left) == 0
			})
		}
		alone()
		c.want("when all others are left", c.do(6, 1), 0, 4)

		was := m.here
		m.moveTo(t, wide)
		if was.lingers != coveredTime {
			t.Errorf("the door is not found there for %v", was.lingers)
		}
		c.want("the other way round", c.do(6, 1), 0, 5)
		late.redial(at("127.0.0.8"))
		if got := late.login(nil); got != StatusOK {
			t.Error(got)
		}
		alone()
		late.redial(other)
		late.ping()

		taken, err := net.ListenPacket("udp", netip.AddrPortFrom(one.Addr(), 0).String())
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		port := taken.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		if err := m.Try(netip.AddrPortFrom(all, port)); !errors.Is(err, syscall.EADDRINUSE) {
			t.Error("where somebody else is:", err)
		}
	}
}

// A door that cannot be moved stays as it is.
func TestMoveFails(t *testing.T) {
	s := newSite(t)
	m := s.mover()
	other, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	first := m.At()
	for _, to := range []netip.AddrPort{netip.MustParseAddrPort(other.LocalAddr().String()), netip.MustParseAddrPort("192.0.2.1:623")} {
		if done, err := m.Prepare(to); err == nil || m.Try(to) == nil || done != nil {
			t.Errorf("%v: no error", to)
		}
	}
	free := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.3"), first.Port())
	if err := m.Try(free); err != nil {
		t.Error(err)
	}
	done, err := m.Prepare(free)
	if err != nil {
		t.Fatal(err)
	}
	done(false)
	if done, err := m.Prepare(first); done != nil || err != nil {
		t.Error("to where it is:", err)
	}
	s.dial(s.cfg.Suites[1], "", "", 0).ping()
	if m.At() != first {
		t.Error(m.At())
	}
	if err := m.Try(free); err != nil {
		t.Error("it was not let go of:", err)
	}
}

// At the end of its time a door that was left is closed, and no session with it.
func TestMoverEnds(t *testing.T) {
	s := newSite(t)
	m := s.mover()
	first := m.At()
	c := s.dial(s.cfg.Suites[1], "admin", "secret", 0x14)
	if got := c.login(nil); got != StatusOK {
		t.Fatal(got)
	}
	second := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.4"), first.Port())
	m.moveTo(t, second)
	m.mu.Lock()
	m.left[first].end.Reset(0)
	m.mu.Unlock()
	until(t, "its socket is closed", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return len(m.left) == 0
	})
	c.redial(second)
	c.want("after it", c.do(6, 1), 0, 1)
	m.moveTo(t, first)
	if _, err := NewMover(DoorConfig{}).Prepare(first); !errors.Is(err, ErrNoDoor) {
		t.Error(err)
	}
}

// A door that ends late, when the same address has been left once more, ends no
// other one.
func TestMoverEndsLate(t *testing.T) {
	s := newSite(t)
	m := s.mover()
	first := m.At()
	second := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.5"), first.Port())
	c := s.dial(s.cfg.Suites[1], "", "", 0)
	c.ping() // it serves by now
	m.moveTo(t, second)
	m.mu.Lock()
	late := m.left[first]
	m.left[first] = &stand{at: first, left: true, end: time.NewTimer(time.Hour)}
	m.mu.Unlock()
	late.end.Reset(0)
	until(t, "its socket is closed", func() bool {
		conn, err := net.ListenPacket("udp", first.String())
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	until(t, "it is done", func() bool { return running("rmcp.(*Mover).serve(") == 1 })
	c.redial(second)
	c.ping()
}

// Who asks at one of several addresses is answered from that one, also late and
// by another reader: a client takes no answer from another.
func TestAnswersFromWhereItWasAsked(t *testing.T) {
	for at, hosts := range map[string][]string{
		"0.0.0.0:0": {"127.0.0.5", "127.0.0.1", "127.0.0.2"},
		"[::]:0":    {"127.0.0.5", "::1", "127.0.0.2"},
	} {
		s, hold := newSite(t), make(chan struct{})
		s.many = true
		s.mux = ipmb.NewMux(s.Commands(), s.rows(), []ipmb.Command{{
			NetFn: ipmb.NetFnChassis, Cmd: 5, Privilege: ipmb.PrivilegeUser,
			Do: func(ctx context.Context, _ *ipmb.Request) ([]byte, error) {
				select {
				case <-hold:
				case <-ctx.Done():
				}
				return nil, nil
			},
		}})
		m := s.moverAt(netip.MustParseAddrPort(at))
		var all []*client
		for _, host := range hosts {
			s.addr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(host), m.At().Port()))
			c := s.dial(s.cfg.Suites[1], "admin", "secret", 0x14)
			c.ping()
			if got := c.login(nil); got != StatusOK {
				t.Fatal(at, host, got)
			}
			c.want(host+" at "+at, c.do(6, 1), 0, byte(len(all)+1))
			c.send(c.frame(0, 5)) // its reader waits with it
			all = append(all, c)
		}
		close(hold)
		for i, c := range all {
			c.want("late, "+hosts[i]+" at "+at, c.receive().Data, 0)
		}
	}
}
