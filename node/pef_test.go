package node

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/mc/pef"
	midplanev1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// onVoltage has filter 9 do something about what fromGuest reports.
func onVoltage(actions string) string {
	return "04 12 06 09 80 " + actions + " 01 10 ff ff 02 30 01 80 00 00 ff 00 00 ff 00 00 ff 00"
}

const (
	filtersOn  = "04 12 01 01"
	filtersOff = "04 12 01 00"
	tellToo    = "04 12 01 03"
)

// What happens at a node is filtered, wherever it came from, and the VM is what
// is acted on.
func TestFilteredEvents(t *testing.T) {
	overBus := func(b *board) {
		m := ipmb.Message{ID: 1, Frame: request(self, 0, ipmb.NetFnSensor, 2, 4, 2, 0x30, 1, 0x57, 0xFF, 0xFF)}
		m.Frame.From, m.Origin.Privilege = other, ipmb.PrivilegeOperator
		b.Deliver(t.Context(), m)
	}
	for _, c := range []struct {
		name, actions string
		happens       func(*board)
		did           string
	}{
		{"the guest reports it", "02", func(b *board) { b.guest(fromGuest) }, "off"},
		{"cycle", "08", func(b *board) { b.guest(fromGuest) }, "cycle"},
		{"reset", "04", func(b *board) { b.guest(fromGuest) }, "reset"},
		{"interrupt", "20", func(b *board) { b.guest(fromGuest) }, "nmi"},
		{"another controller does", "02", overBus, "off"},
		{"the controller itself", "02", func(b *board) { _ = b.reportOwn(t.Context(), unhex(t, "04 02 30 01 57 ff ff")) }, "off"},
		{"while nothing is logged", "02", func(b *board) { b.guest("06 2e 00"); b.guest(fromGuest) }, "off"},
		{"it is only written to the log", "02", func(b *board) {
			b.guest("0a 44 00 00 02 00 00 00 00 41 00 04 02 30 01 57 ff ff")
			b.stop()
			b.start()
		}, ""},
		{"another event", "02", func(b *board) { b.guest("04 02 41 04 02 31 01 57 ff ff") }, ""},
		{"no filtering", "02", func(b *board) { b.guest(filtersOff); b.guest(fromGuest) }, ""},
	} {
		inTime(t, func(t *testing.T, b *board) {
			for _, ask := range []string{onVoltage(c.actions), filtersOn} {
				if got := b.guest(ask); got != "00" {
					t.Fatalf("%s: %s", ask, got)
				}
			}
			c.happens(b)
			synctest.Wait()
			if did := strings.Join(b.vm.took(), " "); did != c.did {
				t.Errorf("%s: did %q, want %q", c.name, did, c.did)
			}
		})
	}
}

// What PEF does stands in the log, and goes to the shelf, as the controller's.
func TestFilterTells(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		b.shelf("04 00 20 00")
		b.guest(onVoltage("04"))
		b.guest(tellToo)
		b.guest(fromGuest)
		synctest.Wait()
		if got := b.guest("0a 43 00 00 ff ff 00 ff"); !matches(got, "00 ff ff 02 00 02 xx xx xx xx 82 00 04 12 15 6f c4 04 ff") {
			t.Errorf("logged %s", got)
		}
		if n := len(b.outbox.events); n != 2 || b.outbox.events[1].Speaker != midplanev1.Speaker_SPEAKER_CONTROLLER {
			t.Errorf("for the shelf: %v", b.outbox.events)
		}
		if did := b.vm.took(); len(did) != 1 {
			t.Errorf("did %q", did)
		}
	})
}

// Over any end of the process, what was configured stays, and what was answered
// is filtered.
func TestFiltersAreKept(t *testing.T) {
	eachEnd(t, func(t *testing.T, b *board, restart func()) {
		b.guest(onVoltage("02"))
		b.guest(filtersOn)
		b.guest("04 11 fe")
		b.guest(fromGuest)
		synctest.Wait()
		restart()
		synctest.Wait()
		if did := b.vm.took(); len(did) > 0 {
			t.Errorf("postponed, and did %q", did)
		}
		b.guest("04 11 00")
		synctest.Wait()
		if did := strings.Join(b.vm.took(), " "); did != "off" {
			t.Errorf("did %q", did)
		}
		restart()
		synctest.Wait()
		if did := b.vm.took(); len(did) > 0 {
			t.Errorf("did it again: %q", did)
		}
		if got := b.guest("04 15"); got[len(got)-5:] != "01 00" {
			t.Errorf("processed %s", got)
		}
	})
}

// alertTo has the guest make an address destination 1 of LAN channel 1.
func (b *board) alertTo(addr string) {
	b.t.Helper()
	community := fmt.Sprintf("% x", append([]byte("lab"), make([]byte, 15)...))
	a := fmt.Sprintf("% x", netip.MustParseAddr(addr).AsSlice())
	for _, ask := range []string{"0c 01 01 10 " + community, "0c 01 01 12 01 00 04 00", "0c 01 01 13 01 00 00 " + a + " 00 00 00 00 00 00"} {
		if got := b.guest(ask); got != "00" {
			b.t.Fatalf("%s: %s", ask, got)
		}
	}
}

// An alert leaves the node by UDP, for where the configuration allows.
func TestAlertLeaves(t *testing.T) {
	receiver, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer receiver.Close()
	b := newBoard(t, ProfileATCA)
	b.stop()
	b.net = network{alerts: []netip.AddrPort{receiver.LocalAddr().(*net.UDPAddr).AddrPort()}, dial: dialUDP}
	b.start()
	b.alertTo("127.0.0.1")
	for _, ask := range []string{onVoltage("01"), "04 12 09 01 18 11 00", filtersOn, fromGuest} {
		if got := b.guest(ask); got != "00" {
			t.Fatalf("%s: %s", ask, got)
		}
	}
	if err := receiver.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	packet := make([]byte, 1500)
	n, err := receiver.Read(packet)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%x", packet[:n])
	for _, want := range []string{
		"02010004036c6162a4", "2b0601040198 6f0101 4004 7f000001 020106 0203 020107",
		"000102030405060708090a0b0c0d0e0f0001", "ffff 2010 10 41 30 0000 57ffff 0000000000 ff 00000000 0000 c1",
	} {
		if want = strings.ReplaceAll(want, " ", ""); want == "000102030405060708090a0b0c0d0e0f0001" {
			want = strings.ReplaceAll(fmt.Sprintf("% x", guid[:]), " ", "") + "0001"
		}
		if !strings.Contains(got, want) {
			t.Errorf("sent %s, without %s", got, want)
		}
	}
}

// A guest may wish alerts to go anywhere; they do not.
func TestAlertIsRefused(t *testing.T) {
	b := newBoard(t, ProfileATCA)
	b.stop()
	b.net = network{
		alerts: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:162")},
		dial: func(_ context.Context, to netip.AddrPort) (net.Conn, error) {
			t.Errorf("dialled %s", to)
			return nil, net.ErrClosed
		},
	}
	b.start()
	b.alertTo("192.0.2.1")
	if got := b.guest("04 16 01 01 00"); got != "d3" {
		t.Errorf("answered %s", got)
	}
	if d, ok := b.alertDestination(t.Context(), 1, 1); !ok || d.Addr.String() != "192.0.2.1" || d.Community != "lab" || d.Interval != 5*time.Second {
		t.Errorf("destination %+v, %v", d, ok)
	}
}

func TestAlertAddresses(t *testing.T) {
	for _, c := range []struct {
		list []string
		want string
	}{
		{nil, "[]"},
		{[]string{"127.0.0.1:16200", "[::1]:162"}, "[127.0.0.1:16200 [::1]:162]"},
		{[]string{"[::ffff:127.0.0.1]:1"}, "[127.0.0.1:1]"},
		{[]string{"localhost:162"}, `alerts: "localhost:162" is no IP:PORT`},
		{[]string{"127.0.0.1"}, `alerts: "127.0.0.1" is no IP:PORT`},
		{[]string{"127.0.0.1:0"}, `alerts: "127.0.0.1:0" is no IP:PORT`},
		{[]string{"127.0.0.1:1", "127.0.0.1:2"}, "alerts: 127.0.0.1 stands twice"},
	} {
		got, err := alertAddresses(c.list)
		s := fmt.Sprint(got)
		if err != nil {
			s = err.Error()
		}
		if s != c.want {
			t.Errorf("%q: %s, want %s", c.list, s, c.want)
		}
	}
}

func TestParseLANAlert(t *testing.T) {
	for raw, want := range map[string]string{
		"11 01 00 00 0a 00 00 01 02 00 00 00 00 01":                "10.0.0.1",
		"11 01 00 00 00 00 00 00 02 00 00 00 00 01":                "", // nobody set it
		"11 01 20 00 0a 00 00 01 02 00 00 00 00 01":                "",
		"11 01 00 00 0a 00 00 01":                                  "",
		"11 01 10 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01": "fd00::1",
		"11 01 10 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00": "",
		"": "",
	} {
		a, ok := parseAlertAddress(unhex(t, raw))
		if ok != (want != "") || ok && a.String() != want {
			t.Errorf("%s: %s, %v, want %s", raw, a, ok, want)
		}
	}
	for raw, want := range map[string]string{
		"11 6c 61 62" + strings.Repeat(" 00", 15): "lab",
		"11" + strings.Repeat(" 41", 18):          strings.Repeat("A", 18),
		"11" + strings.Repeat(" 00", 18):          pef.DefaultCommunity,
		"11":                                      pef.DefaultCommunity,
		"":                                        pef.DefaultCommunity,
	} {
		if got := parseCommunity(unhex(t, raw)); got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
}

type sdrList []mc.SDRRecord

func (l sdrList) SDRs(context.Context) ([]mc.SDRRecord, time.Time, error) {
	return l, time.Time{}, nil
}

func TestEntityOf(t *testing.T) {
	list := sdrList{
		{1, 0, 0x51, 0x12, 9, 0x82, 0, 0x30, 1, 1}, // no sensor
		{2, 0, 0x51, 0x01, 2, 0x82},
		{3, 0, 0x51, 0x02, 9, 0x84, 0, 0x30, 2, 2},
		{4, 0, 0x51, 0x01, 9, 0x82, 0, 0x31, 3, 3},
		{5, 0, 0x51, 0x03, 9, 0x82, 0, 0x30, 4, 5},
	}
	if id, instance := entityOf(list, 0x0082, 0x30); id != 4 || instance != 5 {
		t.Errorf("%d.%d", id, instance)
	}
	if id, instance := entityOf(list, 0x0086, 0x30); id != 0 || instance != 0 {
		t.Errorf("of nobody's sensor: %d.%d", id, instance)
	}
}
