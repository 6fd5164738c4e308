package mc_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// Each parameter: what it is at first, a value that is taken, and one that is not.
func TestLANParameters(t *testing.T) {
	s := newSite(t)
	for _, p := range []struct {
		number      string
		first, good string // good empty: read only
		bad         string // empty: all are good
	}{
		{"01", "00", "", ""},
		{"02", "0000000000", "0000000000", "0000040000"},
		{"03", "00000000", "0A000002", "E0000001"},
		{"04", "01", "02", "00"},
		{"05", "020102030405", "0210203040FF", "030102030405"},
		{"06", "00000000", "FFFFFE00", "FFFF00FF"},
		{"07", "404010", "804008", ""},
		{"08", "6F02", "7002", "0000"},
		{"09", "9802", "9902", "0000"},
		{"0A", "00", "03", "04"},
		{"0B", "04", "08", ""},
		{"0C", "00000000", "0A0000FE", "FFFFFFFF"},
		{"0D", "000000000000", "02AABBCCDDEE", "01AABBCCDDEE"},
		{"0E", "00000000", "0A0000FD", "E0000000"},
		{"0F", "000000000000", "02AABBCCDDEF", "01AABBCCDDEE"},
		{"10", text("public", 18), text("lab", 18), ""},
		{"11", "04", "", ""},
		{"14", "0000", "6480", "0080"},
		{"15", "00", "07", "08"},
		{"16", "02", "", ""},
		{"17", "001103", "", ""},
		{"18", "000040000000000000", "004444000000000000", "006000000000000000"},
		{"32", "07", "", ""},
		{"33", "00", "02", "03"},
		{"34", "00", "20", ""},
		{"35", "40", "FF", ""},
		{"36", "000000", "0FFFFF", "100000"},
		{"37", "010000", "", ""},
		{"40", "00", "01", "02"},
		{"41", zeros(16), "FE80" + zeros(13) + "01", ""},
		{"42", zeros(6), "02AABBCCDDEE", "01AABBCCDDEE"},
		{"43", "00", "40", "81"},
		{"44", zeros(16), "FE80" + zeros(14), ""},
		{"45", zeros(16), "FE80" + zeros(13) + "02", ""},
		{"46", zeros(6), "02AABBCCDDEE", "01AABBCCDDEE"},
		{"47", "00", "80", "FF"},
		{"48", zeros(16), "FE81" + zeros(14), ""},
		{"49", "00", "", ""},
	} {
		get, set := "0C 02 01"+p.number+"0000", "0C 01 01"+p.number
		rows := []exchange{{"first", get, "00 11" + p.first}, {"revision", "0C 02 81" + p.number + "0000", "00 11"}}
		if p.good == "" {
			rows = append(rows, exchange{"read only", set + p.first, "82"})
		} else {
			rows = append(rows, exchange{"too long", set + p.good + "00", "C7"})
		}
		if p.bad != "" {
			rows = append(rows, exchange{"refused", set + p.bad, "CC"}, exchange{"unchanged", get, "00 11" + p.first})
		}
		if p.good != "" {
			rows = append(rows, exchange{"taken", set + p.good, "00"}, exchange{"read back", get, "00 11" + p.good})
		}
		t.Run(p.number, func(t *testing.T) { run(t, s, admin, rows) })
	}
	before := s.lan.Get(mc.LANAddress, 0)
	s.start(t)
	if after := s.lan.Get(mc.LANAddress, 0); !slices.Equal(before, []byte{10, 0, 0, 2}) || !slices.Equal(after, before) {
		t.Errorf("address %v, after a restart %v", before, after)
	}
	run(t, s, admin, []exchange{
		{"not there", "0C 02 01 C0 00 00", "80"},
		{"nor its revision", "0C 02 81 39 00 00", "80"},
		{"nor set", "0C 01 01 1B 00", "80"},
		{"another channel", "0C 02 00 03 00 00", "CC"},
		{"this channel is none", "0C 02 0E 03 00 00", "CC"},
		{"absent channel", "0C 01 02 03 0A000001", "CC"},
		{"no value", "0C 01 01 03", "C7"},
	})
}

func TestLANSets(t *testing.T) {
	s := newSite(t)
	v4, v6 := "0300000A0000FE020000000001", "0410FE80"+zeros(13)+"09"
	run(t, s, admin, []exchange{
		{"type", "0C 02 01 12 03 00", "00 11 03000000"},
		{"acknowledged", "0C 01 01 12 03800503", "00"},
		{"read back", "0C 02 01 12 03 00", "00 11 03800503"},
		{"reserved type", "0C 01 01 12 03010503", "CC"},
		{"no such destination", "0C 01 01 12 05800503", "C9"},
		{"nor read", "0C 02 01 12 05 00", "C9"},
		{"nor with a high selector", "0C 01 01 12 F3800503", "C9"},
		{"address", "0C 02 01 13 03 00", "00 11 03" + zeros(12)},
		{"IPv4", "0C 01 01 13" + v4, "00"},
		{"read back", "0C 02 01 13 03 00", "00 11" + v4},
		{"IPv6", "0C 01 01 13" + v6, "00"},
		{"read back", "0C 02 01 13 04 00", "00 11" + v6},
		{"IPv4 in IPv6's length", "0C 01 01 13 0300" + zeros(16), "CC"},
		{"IPv6 in IPv4's length", "0C 01 01 13 0310" + zeros(11), "CC"},
		{"group", "0C 01 01 13 030000E0000001" + zeros(6), "CC"},
		{"neither", "0C 01 01 13 0320" + zeros(11), "CC"},
		{"VLAN", "0C 01 01 19 02106400", "00"},
		{"read back", "0C 02 01 19 02 00", "00 11 02106400"},
		{"static address, its status is ours", "0C 01 01 38 0080" + "FE80" + zeros(13) + "01" + "40" + "05", "00"},
		{"read back", "0C 02 01 38 00 00", "00 11 0080" + "FE80" + zeros(13) + "01" + "40" + "00"},
		{"disabled", "0C 01 01 38 0000" + zeros(18), "00"},
		{"read back", "0C 02 01 38 00 00", "00 11 0000" + zeros(17) + "01"},
		{"another source", "0C 01 01 38 0081" + zeros(18), "CC"},
		{"a second one", "0C 02 01 38 01 00", "C9"},
	})
}

func TestSetInProgress(t *testing.T) {
	s := newSite(t)
	run(t, s, admin, []exchange{
		{"complete", "0C 02 01 00 00 00", "00 11 00"},
		{"begin", "0C 01 01 00 01", "00"},
		{"begun", "0C 02 01 00 00 00", "00 11 01"},
		{"begin twice", "0C 01 01 00 01", "81"},
		{"value", "0C 01 01 03 0A000002", "00"},
		{"ipmitool compares before it commits", "0C 02 01 03 00 00", "00 11 0A000002"},
	})
	if got := s.lan.Get(mc.LANAddress, 0); !slices.Equal(got, make([]byte, 4)) {
		t.Errorf("holds before the commit: %v", got)
	}
	s.start(t)
	run(t, s, admin, []exchange{
		{"still under way", "0C 02 01 00 00 00", "00 11 01"},
		{"commit", "0C 01 01 00 02", "00"},
		{"still in progress", "0C 02 01 00 00 00", "00 11 01"},
		{"end", "0C 01 01 00 00", "00"},
		{"kept", "0C 02 01 03 00 00", "00 11 0A000002"},
		{"begin", "0C 01 01 00 01", "00"},
		{"value", "0C 01 01 03 0A000003", "00"},
		{"end without commit", "0C 01 01 00 00", "00"},
		{"rolled back", "0C 02 01 03 00 00", "00 11 0A000002"},
		{"commit of nothing", "0C 01 01 00 02", "00"},
		{"reserved", "0C 01 01 00 03", "CC"},
		{"too long", "0C 01 01 00 01 01", "C7"},
		{"begin", "0C 01 01 00 01", "00"},
		{"value", "0C 01 01 03 0A000004", "00"},
		{"no ARPs", "0C 01 01 0A 03", "00"},
	})
	if err := s.lan.Reset(); err != nil {
		t.Fatal(err)
	}
	run(t, s, admin, []exchange{
		{"a reset of the system ends it", "0C 02 01 00 00 00", "00 11 00"},
		{"without commit", "0C 02 01 03 00 00", "00 11 0A000002"},
	})
}

// watcher refuses one value and notes what changed.
type watcher struct {
	refuse byte
	told   []string
	read   func(number uint8) []byte
}

func (w *watcher) Check(_ uint8, v []byte) error {
	if v[0] == w.refuse {
		return ipmb.ErrState
	}
	return nil
}

func (w *watcher) Changed(number uint8) {
	w.told = append(w.told, fmt.Sprintf("%d=%x", number, w.read(number)))
}

func TestParameterHook(t *testing.T) {
	s := newSite(t)
	w := &watcher{refuse: 127, read: func(n uint8) []byte { return s.lan.Get(n, 0) }}
	s.lan.Watch(w)
	run(t, s, admin, []exchange{
		{"refused by the door", "0C 01 01 03 7F000001", "D5"},
		{"not taken", "0C 02 01 03 00 00", "00 11 00000000"},
		{"taken", "0C 01 01 03 0A000001", "00"},
		{"the same", "0C 01 01 03 0A000001", "00"},
		{"begin", "0C 01 01 00 01", "00"},
		{"address", "0C 01 01 03 0A000002", "00"},
		{"mask", "0C 01 01 06 FFFFFF00", "00"},
		{"refused in a set", "0C 01 01 03 7F000001", "D5"},
	})
	if got := strings.Join(w.told, " "); got != "3=0a000001" {
		t.Errorf("told before the commit: %s", got)
	}
	run(t, s, admin, []exchange{{"commit", "0C 01 01 00 02", "00"}, {"end", "0C 01 01 00 00", "00"}})
	if got := strings.Join(w.told, " "); got != "3=0a000001 3=0a000002 6=ffffff00" {
		t.Errorf("told: %s", got)
	}
}

func TestLANCommands(t *testing.T) {
	s := newSite(t)
	s.lan.Count.Received.Add(0x10203)
	s.lan.Count.ProxyDropped.Add(2)
	user := ipmb.Origin{Door: ipmb.DoorLAN, Channel: 1, Privilege: ipmb.PrivilegeUser}
	run(t, s, user, []exchange{
		{"counters", "0C 04 0E 00", "00 FFFF" + zeros(14) + "0200"},
		{"not cleared by everybody", "0C 04 01 01", "D4"},
		{"parameters are not for everybody", "0C 02 01 03 00 00", "D4"},
	})
	run(t, s, admin, []exchange{
		{"clear", "0C 04 01 01", "00" + zeros(18)},
		{"of another channel", "0C 04 00 00", "CC"},
		{"no ARPs are sent", "0C 03 01 00", "00 00"},
		{"unless wished", "0C 01 01 0A 03", "00"},
		{"all", "0C 03 01 00", "00 03"},
		{"suspend gratuitous ones", "0C 03 01 01", "00 02"},
		{"of another channel", "0C 03 0F 03", "CC"},
	})
	s.start(t)
	run(t, s, admin, []exchange{{"suspend responses instead", "0C 03 01 02", "00 01"}})
	if err := s.lan.Reset(); err != nil {
		t.Fatal(err)
	}
	run(t, s, admin, []exchange{{"a reset lets them go on", "0C 03 01 00", "00 03"}})
}

func TestSOLParameters(t *testing.T) {
	s := newSite(t)
	var rows []exchange
	for number, p := range map[string]struct{ first, good, bad string }{
		"01": {"00", "01", "02"},
		"02": {"C4", "82", "C1"},
		"03": {"0C60", "0A40", "0040"},
		"04": {"0732", "0314", "0814"},
		"05": {"0A", "06", "05"},
		"06": {"0A", "00", "0B"},
	} {
		rows = append(rows,
			exchange{"first", "0C 22 01" + number + "0000", "00 11" + p.first},
			exchange{"refused", "0C 21 01" + number + p.bad, "CC"},
			exchange{"taken", "0C 21 01" + number + p.good, "00"},
			exchange{"read back", "0C 22 01" + number + "0000", "00 11" + p.good})
	}
	run(t, s, admin, rows)
	s.start(t)
	run(t, s, admin, []exchange{
		{"kept", "0C 22 01 04 00 00", "00 11 0314"},
		{"channel", "0C 22 01 07 00 00", "00 11 01"},
		{"is fixed", "0C 21 01 07 01", "82"},
		{"port", "0C 22 01 08 00 00", "00 11 6F02"},
		{"is the door's", "0C 21 01 08 7002", "82"},
		{"in progress", "0C 21 01 00 01", "00"},
		{"not LAN's", "0C 02 01 00 00 00", "00 11 00"},
		{"not there", "0C 22 01 09 00 00", "80"},
		{"another channel", "0C 22 0F 01 00 00", "CC"},
	})
	s.sol.Follow(netip.MustParseAddrPort("[::1]:6230"))
	run(t, s, admin, []exchange{{"another port", "0C 22 01 08 00 00", "00 11 5618"}})
}

func TestSystemInfo(t *testing.T) {
	s := newSite(t)
	run(t, s, admin, []exchange{
		{"the name is the node's", "06 59 00 02 00 00", "00 11 00 00 06" + text("blade1", 14)},
		{"no second block", "06 59 00 02 01 00", "00 11 01" + zeros(16)},
		{"ipmitool: setsysinfo", "06 58 02 00 00 05" + text("hello", 14), "00"},
		{"read back", "06 59 00 02 00 00", "00 11 00 00 05" + text("hello", 14)},
		{"two blocks", "06 58 04 00 01 14" + text("Debian GNU/Lin", 14), "00"},
		{"the second, short", "06 58 04 01" + text("ux 12", 5), "00"},
		{"read back", "06 59 00 04 00 00", "00 11 00 01 14" + text("Debian GNU/Lin", 14)},
		{"filled up", "06 59 00 04 01 00", "00 11 01" + text("ux 12", 16)},
		{"version", "06 58 05 00 00 01 36", "00"},
		{"primary OS", "06 58 03 00 00 01 4C", "00"},
		{"URL", "06 58 06 00 00 01 75", "00"},
		{"firmware", "06 59 00 01 00 00", "00 11" + zeros(17)},
		{"revision", "06 59 80 02 00 00", "00 11"},
		{"no block 16", "06 59 00 02 10 00", "C9"},
		{"nor set", "06 58 02 10 41", "C9"},
		{"encoding", "06 58 02 00 03 01 41", "CC"},
		{"too long a string", "06 58 02 00 00 FF 41", "CC"},
		{"too long a block", "06 58 02 01" + zeros(17), "C7"},
		{"no length", "06 58 02 00 00", "C7"},
		{"not there", "06 59 00 08 00 00", "80"},
		{"in progress", "06 58 00 01", "00"},
		{"twice", "06 58 00 01", "81"},
	})
	s.start(t)
	if err := s.info.Reset(); err != nil {
		t.Fatal(err)
	}
	run(t, s, admin, []exchange{
		{"the system was reset: not in progress", "06 59 00 00 00 00", "00 11 00"},
		{"its OS does not run", "06 59 00 04 00 00", "00 11" + zeros(17)},
		{"no block of it", "06 59 00 04 01 00", "00 11 01" + zeros(16)},
		{"nor its version", "06 59 00 05 00 00", "00 11" + zeros(17)},
		{"the name is kept", "06 59 00 02 00 00", "00 11 00 00 05" + text("hello", 14)},
		{"the primary OS too", "06 59 00 03 00 00", "00 11 00 00 01 4C" + zeros(13)},
	})
}

// Whatever is written, the answer has a valid code, what was taken is read
// back, and a restart finds the same.
func FuzzParameters(f *testing.F) {
	for _, seed := range []string{
		"\x0c\x01\x01\x03\x0a\x00\x00\x01", "\x0c\x01\x01\x00\x01", "\x0c\x01\x01\x13\x03\x10", "\x0c\x21\x01\x02\xc4",
		"\x06\x58\x02\x00\x00\x05hello", "\x06\x47\x83\x02", "\x06\x43\xb1\x03\x04\x00", "\x06\x60\x0f\x0c\x00",
		"\x06\x62\x0f\x00\x00\x02\x00\x00\x00\x00", "\x06\x0a\x0f\x2c\x00\x00", "\x06\x56\x01\x01\x01", "\x06\x64\x00\x2c\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) < 2 {
			return
		}
		s := newSite(t)
		ask := func(n ipmb.NetFn, c ipmb.Cmd, data []byte) ipmb.Response {
			r := s.ServeIPMI(context.Background(), &ipmb.Request{NetFn: n, Cmd: c, Data: data, Origin: admin})
			if r.Code == ipmb.ErrUnspecified || len(r.Data) > 0 && r.Code != ipmb.OK {
				t.Fatalf("%02x/%02x % x: %v % x", n, c, data, r.Code, r.Data)
			}
			return r
		}
		n, c, data := ipmb.NetFn(raw[0]&0x3E), ipmb.Cmd(raw[1]), raw[2:]
		if n == ipmb.NetFnGroup || n == ipmb.NetFnOEM {
			return
		}
		set := ask(n, c, data)
		if n != ipmb.NetFnTransport || c != 0x01 && c != 0x21 || set.Code != ipmb.OK {
			return
		}
		get := []byte{data[0], data[1], data[2], 0}
		before := ask(n, c+1, get)
		s.start(t)
		if after := ask(n, c+1, get); before.Code != after.Code || !slices.Equal(before.Data, after.Data) {
			t.Fatalf("% x: %x, after a restart %x", raw, before, after)
		}
	})
}

// Records that were not made here are refused or read, never more.
func FuzzAccessRecords(f *testing.F) {
	s := newSite(f)
	for _, rq := range [][]byte{
		{0x06, 0x47, 2, 1},
		{0x06, 0x43, 0xB1, 2, 4},
		{0x06, 0x40, 1, 0x42, 0x44},
		{0x0C, 0x01, 1, 3, 10, 0, 0, 1},
		append([]byte{0x06, 0x60, 0x0F, 0x0C, 0}, make([]byte, 16)...),
	} {
		if r := s.ServeIPMI(f.Context(), &ipmb.Request{NetFn: ipmb.NetFn(rq[0]), Cmd: ipmb.Cmd(rq[1]), Data: rq[2:], Origin: admin}); r.Code != ipmb.OK {
			f.Fatalf("% x: %v", rq, r.Code)
		}
	}
	if err := s.records.Each("", func(_ string, v []byte) bool { f.Add(v); return true }); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, v []byte) {
		table := mc.Channels{mc.LANChannel}
		for _, name := range []string{"user/02", "channel/1", "lan/1", "sysinfo", "firewall"} {
			var r mc.MemoryRecords
			if err := r.Put(name, v); err != nil {
				t.Fatal(err)
			}
			channels, err := mc.OpenChannelAccess(table, &r)
			if err != nil {
				continue
			}
			users, err := mc.OpenUsers(channels, &r, mc.NewSealer(func() ([]byte, error) { return sealKey, nil }))
			if err == nil {
				_, _ = users.Account(1, "x", ipmb.PrivilegeNone)
			}
			if lan, err := mc.OpenLAN(table, 1, [6]byte{}, &r); err == nil && lan.Get(mc.LANAddress, 0) == nil {
				t.Errorf("no address from % x", v)
			}
			_, _ = mc.OpenSystemInfo(&r, "x")
			_, _ = mc.OpenFirewall(nil, table, &r)
		}
	})
}
