package mc_test

import (
	"context"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// bytesOf reads hex with spaces.
func bytesOf(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// exchange is one request, without the LUN, and the whole answer from the
// completion code on.
type exchange struct{ name, request, want string }

func run(t *testing.T, h ipmb.Handler, o ipmb.Origin, rows []exchange) {
	t.Helper()
	for _, x := range rows {
		rq := bytesOf(t, x.request)
		rs := h.ServeIPMI(context.Background(), &ipmb.Request{NetFn: ipmb.NetFn(rq[0]), Cmd: ipmb.Cmd(rq[1]), Data: rq[2:], Origin: o})
		got := hex.EncodeToString(append([]byte{byte(rs.Code)}, rs.Data...))
		if want := hex.EncodeToString(bytesOf(t, x.want)); got != want {
			t.Errorf("%s: % s\n got %s\nwant %s", x.name, x.request, got, want)
		}
	}
}

var admin = ipmb.Origin{Door: ipmb.DoorSystem, Channel: ipmb.ChannelSystem, Privilege: ipmb.PrivilegeAdmin}

func TestIdentity(t *testing.T) {
	id := mc.Identity{
		DeviceID: 0x20, Revision: 1, SDRs: true, FirmwareMaj: 1, FirmwareMin: 0x23, Manufacturer: 0x00315A, Product: 0x4321,
		Aux:        [4]byte{9, 8, 7, 6},
		DeviceGUID: mc.GUID{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF},
	}
	var mux *ipmb.Mux
	self := mc.SelfTest{Result: mc.SelfTestPassed}
	rows := id.Commands(func() *ipmb.Mux { return mux }, func(context.Context) mc.SelfTest { return self })
	mux = ipmb.NewMux(rows, mc.SELCommands(newSEL()))
	run(t, mux, admin, []exchange{
		{"device id, SEL device", "06 01", "00 20 81 01 23 02 04 5A3100 2143 09080706"},
		{"with data", "06 01 00", "C7"},
		{"self test", "06 04", "00 55 00"},
		{"device GUID, low bytes first", "06 08", "00 33221100 5544 7766 8899AABBCCDDEEFF"},
	})
	self = mc.SelfTest{Result: mc.SelfTestFailed, Detail: mc.SelfTestSEL}
	run(t, mux, admin, []exchange{{"self test fails", "06 04", "00 57 80"}})
	run(t, mux, ipmb.Origin{Privilege: ipmb.PrivilegeNone, Door: ipmb.DoorLAN}, []exchange{
		{"system GUID needs no session", "06 37", "00" + strings.Repeat("00", 16)},
		{"device id does", "06 01", "D4"},
	})
}

// Each support bit must follow the row that gives it its meaning.
func TestSupportBitsFollowTheRows(t *testing.T) {
	for bit, id := range map[byte]ipmb.CommandID{
		0x80: {NetFn: 0x00, Cmd: 0x02}, 0x20: {NetFn: 0x04, Cmd: 0x00}, 0x10: {NetFn: 0x04, Cmd: 0x02},
		0x08: {NetFn: 0x0A, Cmd: 0x10}, 0x04: {NetFn: 0x0A, Cmd: 0x43}, 0x02: {NetFn: 0x0A, Cmd: 0x23}, 0x01: {NetFn: 0x04, Cmd: 0x2D},
	} {
		m := ipmb.NewMux([]ipmb.Command{{NetFn: id.NetFn, Cmd: id.Cmd, Do: func(context.Context, *ipmb.Request) ([]byte, error) { return nil, nil }}})
		if got := mc.SupportBits(m); got != bit {
			t.Errorf("%02x/%02x: support bits %02x, want %02x", id.NetFn, id.Cmd, got, bit)
		}
	}
}

func TestChannels(t *testing.T) {
	m := ipmb.NewMux(mc.Channels{mc.IPMBChannel, mc.SystemChannel("pci-bt")}.Commands())
	run(t, m, admin, []exchange{
		{"IPMB", "06 42 00", "00 00 01 01 00 F21B00 0000"},
		{"this one", "06 42 0E", "00 0F 0C 08 00 F21B00 FFFF"},
		{"system", "06 42 0F", "00 0F 0C 08 00 F21B00 FFFF"},
		{"absent: CCh, or Linux stops looking", "06 42 07", "CC"},
		{"access: session-less", "06 41 00 80", "82"},
		{"access of an absent channel", "06 41 05 80", "CC"},
		{"too short", "06 41 00", "C7"},
	})
	for name, protocol := range map[string]uint8{"kcs": 5, "pci-kcs": 5, "bt": 8, "ssif": 4} {
		if c := mc.SystemChannel(name); c.Protocol != protocol {
			t.Errorf("%s: protocol %d, want %d", name, c.Protocol, protocol)
		}
	}
}

func TestEventReceiver(t *testing.T) {
	var saved []mc.Receiver
	var fail error
	e := mc.NewEventReceiver(mc.Receiver{Addr: mc.ReceiverNone}, func(r mc.Receiver) error {
		saved = append(saved, r)
		return fail
	})
	m := ipmb.NewMux(e.Commands())
	run(t, m, admin, []exchange{
		{"none at first", "04 01", "00 FF 00"},
		{"set", "04 00 20 02", "00"},
		{"read back", "04 01", "00 20 02"},
		{"same again", "04 00 20 02", "00"},
		{"odd address", "04 00 21 00", "CC"},
		{"kept", "04 01", "00 20 02"},
	})
	if len(saved) != 1 {
		t.Errorf("saved %d times, want once: %v", len(saved), saved)
	}
	fail = ipmb.ErrOutOfSpace
	run(t, m, admin, []exchange{{"not stored", "04 00 FF 00", "C4"}, {"not taken", "04 01", "00 20 02"}})
}

func TestSDRRepository(t *testing.T) {
	at := time.Unix(0x01020304, 0)
	src := &sdrs{changed: at, list: []mc.SDRRecord{bytesOf(t, "0100 51 12 03 AABBCC"), bytesOf(t, "0500 51 C0 02 1122")}}
	m := ipmb.NewMux(mc.SDRCommands(src))
	run(t, m, admin, []exchange{
		{"info", "0A 20", "00 51 0200 0000 04030201 04030201 23"},
		{"allocation", "0A 21", "00 0200 1000 0000 0000 0F"},
		{"first, whole", "0A 23 0000 0000 00 FF", "00 0500 0100 51 12 03 AABBCC"},
		{"last", "0A 23 0000 FFFF 00 FF", "00 FFFF 0500 51 C0 02 1122"},
		{"by id, header", "0A 23 0000 0500 00 05", "00 FFFF 0500 51 C0 02"},
		{"absent", "0A 23 0000 0300 00 FF", "CB"},
		{"too many bytes", "0A 23 0000 0100 00 20", "CA"},
		{"in the middle needs a reservation", "0A 23 0000 0100 05 03", "C5"},
	})
	rs := m.ServeIPMI(context.Background(), &ipmb.Request{NetFn: 0x0A, Cmd: 0x22, Origin: admin})
	id := hex.EncodeToString(rs.Data)
	run(t, m, admin, []exchange{
		{"reserved", "0A 23" + id + "0100 05 03", "00 0500 AABBCC"},
		{"past the end", "0A 23" + id + "0100 09 01", "C9"},
	})
	src.changed = at.Add(time.Second)
	run(t, m, admin, []exchange{{"reservation gone with the change", "0A 23" + id + "0100 05 03", "C5"}})
	src.list = nil
	run(t, m, admin, []exchange{{"empty", "0A 23 0000 0000 00 FF", "CB"}})
}

type sdrs struct {
	list    []mc.SDRRecord
	changed time.Time
}

func (s *sdrs) SDRs(context.Context) ([]mc.SDRRecord, time.Time, error) {
	return s.list, s.changed, nil
}
