package udp

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// patience is when nothing comes any more, on a slow machine too.
const patience = 30 * time.Second

func open(t *testing.T, at string, early bool) *Conn {
	t.Helper()
	c, err := Listen(netip.MustParseAddrPort(at), early)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(patience))
	return c
}

// dial gives a client's socket, to which nothing comes from other addresses.
func dial(t *testing.T, host string, c *Conn) net.Conn {
	t.Helper()
	port := c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	d, err := net.Dial("udp", netip.AddrPortFrom(netip.MustParseAddr(host), port).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	_ = d.SetReadDeadline(time.Now().Add(patience))
	return d
}

// An answer comes from where the client asked last, whatever others asked meanwhile.
func TestAnswersFromWhereItWasAsked(t *testing.T) {
	for at, hosts := range map[string][]string{
		"0.0.0.0:0":          {"127.0.0.5", "127.0.0.1"},
		"[::ffff:0.0.0.0]:0": {"127.0.0.5", "127.0.0.1"},
		"[::]:0":             {"127.0.0.5", "::1", "127.0.0.1"},
		"127.0.0.5:0":        {"127.0.0.5"},
		"[::1]:0":            {"::1"},
	} {
		c := open(t, at, false)
		if c.Wide() != (len(hosts) > 1) {
			t.Errorf("%s: wide %v", at, c.Wide())
		}
		asked := make([]netip.AddrPort, len(hosts))
		clients := make([]net.Conn, len(hosts))
		buf := make([]byte, 100)
		for i, host := range hosts {
			clients[i] = dial(t, host, c)
			if _, err := clients[i].Write([]byte(host)); err != nil {
				t.Fatal(err)
			}
			n, peer, err := c.Receive(buf)
			if err != nil || string(buf[:n]) != host || peer != clients[i].LocalAddr().(*net.UDPAddr).AddrPort() {
				t.Fatalf("%s at %s: %q from %s, %v", host, at, buf[:n], peer, err)
			}
			asked[i] = peer
		}
		for i, host := range hosts {
			if n, err := c.WriteTo([]byte(host), net.UDPAddrFromAddrPort(asked[i])); err != nil || n != len(host) {
				t.Fatal(n, err)
			}
			if n, err := clients[i].Read(buf); err != nil || string(buf[:n]) != host {
				t.Errorf("%s at %s: %q, %v", host, at, buf[:n], err)
			}
		}
	}
}

// All addresses of IPv4 are not also those of IPv6.
func TestFamilies(t *testing.T) {
	c := open(t, "0.0.0.0:0", false)
	d := dial(t, "::1", c)
	if _, err := d.Write([]byte("6")); err != nil {
		t.Fatal(err)
	}
	if n, err := d.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error(n, err)
	}
}

// An address that this host does not have yet is for those who ask for it.
func TestEarly(t *testing.T) {
	open(t, "192.0.2.1:0", true)
	if c, err := Listen(netip.MustParseAddrPort("192.0.2.1:0"), false); err == nil {
		t.Errorf("%v", c.LocalAddr())
	}
}

// A socket that everybody may send to remembers so many and no more, and among
// them who asked not long ago.
func TestRememberedClients(t *testing.T) {
	c := &Conn{wide: true, came: make(map[netip.AddrPort]netip.Addr)}
	at := netip.MustParseAddr("127.0.0.5")
	busy := netip.AddrPortFrom(at, 0)
	for i := range 3*maxCame + 7 {
		peer := netip.AddrPortFrom(at, uint16(i+1))
		c.note(busy, at)
		c.note(peer, at)
		if len(c.came) > maxCame || len(c.old) > maxCame || c.found(peer) != at {
			t.Fatalf("%d and %d after %d", len(c.came), len(c.old), i)
		}
		if i%100 == 0 && c.found(busy) != at {
			t.Fatalf("forgotten after %d", i)
		}
	}
	for _, nowhere := range []string{"fe80::1", "ff02::1", "224.0.0.1"} {
		c.note(busy, at)
		c.note(busy, netip.MustParseAddr(nowhere))
		if got := c.found(busy); got.IsValid() {
			t.Errorf("%s: %s", nowhere, got)
		}
	}
	c.note(busy, at)
	c.Note(busy, nil)
	if got := c.found(busy); got.IsValid() {
		t.Error(got)
	}
}

// What the system does not send does no harm.
func TestControlMessages(t *testing.T) {
	four, six := netip.MustParseAddr("127.0.0.5"), netip.MustParseAddr("::1")
	good4, good6 := (&Conn{}).control(four), (&Conn{v6: true}).control(six)
	mapped := (&Conn{v6: true}).control(four)
	other := message(syscall.SOL_SOCKET, syscall.SO_TIMESTAMP, 16, 0, nil)
	for _, one := range []struct {
		b    []byte
		want netip.Addr
	}{
		{good4, four},
		{good6, six},
		{mapped, four},
		{append(other, good4...), four},
		{other, netip.Addr{}},
	} {
		if got := cameTo(one.b); got != one.want {
			t.Errorf("% x: %s, want %s", one.b, got, one.want)
		}
		for n := range one.b {
			if got := cameTo(one.b[:n]); got.IsValid() && got != one.want {
				t.Errorf("% x: %s", one.b[:n], got)
			}
		}
	}
	for _, size := range []int{0, syscall.SizeofCmsghdr - 1, 1 << 30} {
		b := message(syscall.IPPROTO_IP, syscall.IP_PKTINFO, syscall.SizeofInet4Pktinfo, localIn4, nil)
		(*syscall.Cmsghdr)(unsafe.Pointer(&b[0])).SetLen(size)
		if got := cameTo(b); got.IsValid() {
			t.Errorf("%d: %s", size, got)
		}
	}
}
