package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/midplane-project/midplane/internal/logtest"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/vm/vmtest"
)

// lanNode is a lone node with a LAN door, its guest, and what it logs.
type lanNode struct {
	t     *testing.T
	cfg   Config
	log   *logtest.Book
	guest *vmtest.Guest
	end   func()
}

// startLAN starts a node until the test or end ends it.
func startLAN(t *testing.T, cfg Config) *lanNode {
	t.Helper()
	l := &lanNode{t: t, cfg: cfg, log: new(logtest.Book)}
	n, err := New(cfg, Options{Log: l.log.Logger(slog.LevelInfo)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		err := n.Run(ctx)
		done <- errors.Join(err, n.Close())
	}()
	l.end = sync.OnceFunc(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(l.end)
	l.guest = connect(t, cfg)
	return l
}

// lanAt is the configuration of a node with a door that is free now.
func lanAt(t *testing.T, allow ...string) Config {
	t.Helper()
	cfg := lone(t)
	cfg.LAN.Listen = freeUDP(t).String()
	cfg.LAN.Allow = allow
	return cfg
}

func freeUDP(t *testing.T) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// ask has the guest ask, in hex, as board.guest does.
func (l *lanNode) ask(request string) string {
	l.t.Helper()
	raw := unhex(l.t, request)
	code, data, err := l.guest.Do(l.t.Context(), ipmb.NetFn(raw[0]), 0, ipmb.Cmd(raw[1]), raw[2:])
	if err != nil {
		l.t.Fatal(err)
	}
	return fmt.Sprintf("% x", append([]byte{byte(code)}, data...))
}

func (l *lanNode) want(request, want string) {
	l.t.Helper()
	if got := l.ask(request); got != want {
		l.t.Errorf("%s: %s, want %s", request, got, want)
	}
}

// answers checks that the door is at an address, and that its parameters say so.
func (l *lanNode) answers(at netip.AddrPort) {
	l.t.Helper()
	conn, err := net.Dial("udp", at.String())
	if err != nil {
		l.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	ping := unhex(l.t, "06 00 ff 06 00 00 11 be 80 01 00 00")
	if _, err = conn.Write(ping); err == nil {
		_, err = conn.Read(make([]byte, 100))
	}
	if err != nil {
		l.t.Errorf("door at %v: %v", at, err)
	}
	if told := LANAddress(l.cfg.Dir); told != at {
		l.t.Errorf("the file says %v", told)
	}
	l.want("0c 02 01 03 00 00", "00 11 "+octets(at))
	l.want("0c 02 01 08 00 00", "00 11 "+portBytes(at.Port()))
	l.want("0c 22 01 08 00 00", "00 11 "+portBytes(at.Port())) // of the SOL payload
	l.want("0c 21 01 08 "+portBytes(at.Port()), "82")
}

func octets(a netip.AddrPort) string { return fmt.Sprintf("% x", a.Addr().AsSlice()) }

func portBytes(n uint16) string { return fmt.Sprintf("% x", []byte{byte(n), byte(n >> 8)}) }

// Where the door listens is what its parameters say: at first, after each way
// of setting them, and after a restart.
func TestLANMoves(t *testing.T) {
	cfg := lanAt(t)
	first := netip.MustParseAddrPort(cfg.LAN.Listen)
	other := freeUDP(t).Port()
	cfg.LAN.Allow = []string{fmt.Sprintf("127.77.0.0/24:%d", first.Port()), fmt.Sprintf("127.77.0.9:%d", other)}
	second := netip.AddrPortFrom(netip.MustParseAddr("127.77.0.8"), first.Port())
	third := netip.AddrPortFrom(netip.MustParseAddr("127.77.0.9"), other)
	l := startLAN(t, cfg)
	l.answers(first)
	l.want("0c 02 01 06 00 00", "00 11 ff 00 00 00") // lo's
	l.want("0c 02 01 32 00 00", "00 11 05")          // IPv6 or IPv4
	l.want("0c 01 01 03 "+octets(second), "00")
	l.answers(second)
	l.end()
	l = startLAN(t, cfg)
	l.answers(second)

	l.want("0c 01 01 00 01", "00") // both in one set
	l.want("0c 01 01 08 "+portBytes(other), "00")
	l.want("0c 01 01 03 "+octets(third), "00")
	l.want("0c 01 01 00 00", "00") // … that ends without commit
	l.answers(second)
	l.want("0c 01 01 00 01", "00")
	l.want("0c 01 01 08 "+portBytes(other), "00")
	l.want("0c 01 01 03 "+octets(third), "00")
	l.want("0c 01 01 00 02", "00")
	l.want("0c 01 01 00 00", "00")
	l.answers(third)
	if moved := l.log.Take("LAN door moved"); len(moved) != 1 {
		t.Errorf("%q", moved)
	}

	l.end()
	cfg.LAN.Allow = nil
	l = startLAN(t, cfg) // it is not allowed any more
	l.answers(first)
	l.end()
	l = startLAN(t, cfg)
	l.answers(first)
	if errs := l.log.Take("level=ERROR"); len(errs) > 0 {
		t.Errorf("%q", errs)
	}
}

// What is not allowed or cannot be is refused, and told; the door stays.
func TestLANRefusals(t *testing.T) {
	cfg := lanAt(t)
	first := netip.MustParseAddrPort(cfg.LAN.Listen)
	taken, err := net.ListenPacket("udp", fmt.Sprintf("127.77.0.7:%d", first.Port()))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg.LAN.Allow = []string{fmt.Sprintf("127.77.0.7:%d", first.Port()), "127.77.0.6:9"}
	l := startLAN(t, cfg)
	for _, c := range []struct{ ask, want, why string }{
		{"0c 01 01 03 c0 00 02 01", "c9", "192.0.2.1:"},
		{"0c 01 01 03 00 00 00 00", "c9", "0.0.0.0:"},
		{"0c 01 01 08 ff ff", "c9", ":65535 is not among"},
		{"0c 01 01 03 7f 4d 00 07", "d5", "already in use"},
		{"0c 01 01 03 7f 4d 00 06", "c9", "127.77.0.6:"}, // with another port only
		{"0c 01 01 04 02", "c9", "source is static"},
		{"0c 01 01 05 02 00 00 00 00 01", "82", "hardware address is fixed"},
		{"0c 01 01 14 11 80", "c9", "VLAN"},
		{"0c 01 01 33 02", "c9", "one address"},
		{"0c 01 01 33 01", "c9", "[::]:"},
		{"0c 01 01 38 00 80 fe 80 00 00 00 00 00 00 00 00 00 00 00 00 00 01 40 00", "c9", "not among"},
	} {
		l.want(c.ask, c.want)
		told := l.log.Take("LAN setting refused")
		if len(told) != 1 || !strings.Contains(told[0], c.why) || !strings.Contains(told[0], "by=guest door=system") {
			t.Errorf("%s: %q", c.ask, told)
		}
	}
	l.want("0c 01 01 00 01", "00")
	l.want("0c 01 01 03 7f 4d 00 06", "00") // the port may follow
	l.want("0c 01 01 00 02", "c9")          // it did not
	if told := l.log.Take("LAN setting refused"); len(told) != 1 || !strings.Contains(told[0], "127.77.0.6:") {
		t.Errorf("%q", told)
	}
	l.want("0c 01 01 00 00", "00")
	for _, same := range []string{"04 01", "14 00 00", "33 00", "03 7f 00 00 01", "05 " + l.ask("0c 02 01 05 00 00")[6:]} {
		l.want("0c 01 01 "+same, "00")
	}
	l.answers(first)
}

// A door whose address somebody else has by now is where the configuration has it.
func TestLANFallsBack(t *testing.T) {
	cfg := lanAt(t)
	first := netip.MustParseAddrPort(cfg.LAN.Listen)
	second := netip.AddrPortFrom(netip.MustParseAddr("127.77.0.5"), first.Port())
	cfg.LAN.Allow = []string{second.String()}
	l := startLAN(t, cfg)
	l.want("0c 01 01 03 "+octets(second), "00")
	l.end()
	taken, err := net.ListenPacket("udp", second.String())
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	l = startLAN(t, cfg)
	l.answers(first)
	if told := l.log.Take("level=ERROR"); len(told) != 1 || !strings.Contains(told[0], second.String()) {
		t.Errorf("%q", told)
	}
}

// An IPv6 door says so, and moves as the other does.
func TestLANIPv6(t *testing.T) {
	conn, err := net.ListenPacket("udp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	first := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	_ = conn.Close()
	cfg := lone(t)
	second := freeUDP(t)
	cfg.LAN.Listen, cfg.LAN.Allow = first.String(), []string{second.String()}
	l := startLAN(t, cfg)
	l.want("0c 02 01 33 00 00", "00 11 01")
	l.want("0c 02 01 38 00 00", "00 11 00 80 "+octets(first)+" 80 00")
	l.want("0c 01 01 00 01", "00")
	l.want("0c 01 01 33 00", "00")
	l.want("0c 01 01 03 "+octets(second), "00")
	l.want("0c 01 01 08 "+portBytes(second.Port()), "00")
	l.want("0c 01 01 00 02", "00")
	l.want("0c 01 01 00 00", "00")
	l.answers(second)
}

// Without a door there is nothing to move.
func TestLANNowhere(t *testing.T) {
	l := startLAN(t, lone(t))
	l.want("0c 02 01 03 00 00", "00 11 00 00 00 00")
	l.want("0c 01 01 03 7f 00 00 01", "c9")
	l.want("0c 01 01 06 ff ff ff 00", "00")
}
