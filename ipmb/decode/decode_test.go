package decode_test

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/decode"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var noon = time.Date(2025, 4, 17, 12, 0, 0, 345_678_000, time.UTC)

func frame(t testing.TB, f ipmb.Frame) string {
	t.Helper()
	b, err := f.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b)
}

func TestSystem(t *testing.T) {
	for _, c := range []struct {
		to        bool
		hex, want string
	}{
		{true, "18 01", "→ Get Device ID"},
		{false, "1c 01 00 20 81", "← Get Device ID: ok 20 81"},
		{true, "18 34 00 84 18 64 20 02 01 dd", "→ Send Message → [0x84 Get Device ID]"},
		{true, "18 34 07 84 18 64 20 02 01 dd", "→ Send Message → [channel 7 0x84 Get Device ID]"},
		{true, "18 34 00 84 18 64", "→ Send Message 00 84 18 64"},
		{false, "1c 34 83", "← Send Message: 0x83 nobody at that address (NAK)"},
		{false, "1c 33 80", "← Get Message: 0x80 queue empty"},
		{false, "1c 33 00 00 1e c2 84 00 01 00 20 81 da", "← Get Message: ok ← [0x84 Get Device ID: ok 20 81]"},
		{false, "1c 33 00 00 c2 1e 84 24 01 11 22 24", "← Get Message: ok ← [0x84 software 30/01 11 22]"},
		{true, "18 34 00 84 c4 b8 82 26 01 00 ca fe 8f", "→ Send Message → [0x84 software 30/01: ok ca fe]"},
		{true, "10 02 41 04 01 30 01 09 ff ff", "→ Platform Event (Temperature #0x30 Upper Critical going high asserted from software 0x41)"},
		{
			false, "1c 35 00 01 00 02 00 d0 00 68 84 00 04 f0 01 6f a4 03 00",
			"← Read Event Message Buffer: ok (Hot Swap #0x01 FRU 0 to M4 (active), was M3: normal state change, asserted from 0x84)",
		},
		{
			false, "2c 43 00 ff ff 01 00 02 00 d0 00 68 82 00 04 01 30 01 59 ff ff",
			"← Get SEL Entry: ok #1 (Temperature #0x30 Upper Critical going high (reading 0xff, threshold 0xff) asserted from 0x82)",
		},
		{true, "b0 11 00 00 00 00", "→ Set Power Level 00 00 00"},
		{false, "b4 11 d4 00", "← Set Power Level: 0xd4 insufficient privilege level"},
		{true, "b0 02 dc 01", "→ Group dc/02 01"},
		{true, "b8 05 0a 40 00 77", "→ OEM 400a/05 77"},
		{true, "b0 11", "→ Set Power Level"},
		{true, "c0 12 01", "→ command 30/12 01"},
		{true, "19 01", "→ Get Device ID LUN 1"},
		{true, "18 47 02 02 68 75 6e 74 65 72", "→ Set User Password 02 02 2a 2a 2a 2a 2a 2a"},
		{false, "1c 01", "← Get Device ID: no completion code"},
		{true, "18", "→ too short 18"},
		{true, "", "→ too short"},
	} {
		e := decode.Entry{Time: noon, Controller: 0x82, Kind: decode.KindSystem, ToController: c.to, Bytes: unhex(t, c.hex)}
		if got := decode.Line(e); got != "12:00:00.345 0x82 "+c.want {
			t.Errorf("%s\n got  %s\n want %s", c.hex, got, c.want)
		}
	}
}

func TestIPMB(t *testing.T) {
	clearSEL := ipmb.Frame{To: 0x20, NetFn: ipmb.NetFnStorage, From: 0x84, Cmd: 0x47, Data: []byte{1, 0, 'C', 'L', 'R', 0xAA}}
	inner := unhex(t, frame(t, clearSEL))
	bridge := ipmb.Frame{To: 0x84, NetFn: ipmb.NetFnApp, From: 0x82, Seq: 9, Cmd: 0x34, Data: append([]byte{0x40}, inner...)}
	answer := unhex(t, frame(t, clearSEL.Reply(ipmb.Response{Code: ipmb.ErrPrivilege})))
	for _, c := range []struct{ hex, want string }{
		{"84 18 64 20 02 01 dd", "0x20 → 0x84 #0 Get Device ID"},
		{"20 1e c2 84 00 01 00 20 81 da", "0x84 → 0x20 #0 Get Device ID: ok 20 81"},
		{frame(t, bridge), "0x82 → 0x84 #9 Send Message → [0x20 Clear SEL 01 00 43 4c 52 aa]"},
		{frame(t, bridge.Reply(ipmb.Response{Data: answer})), "0x84 → 0x82 #9 Send Message: ok ← [0x20 Clear SEL: 0xd4 insufficient privilege level]"},
		{"20 10 d0 82 04 02 04 f0 01 6f a4 03 00 6d", "0x82 → 0x20 #1 Platform Event (Hot Swap #0x01 FRU 0 to M4 (active), was M3: normal state change, asserted)"},
		{"84 18 64 20 02 01 de", "bad checksum 84 18 64 20 02 01 de"},
		{"84 18", "frame too short 84 18"},
	} {
		e := decode.Entry{Time: noon, Kind: decode.KindIPMB, Plane: ipmb.PlaneB, Bytes: unhex(t, c.hex)}
		if got := decode.Line(e); got != "12:00:00.345 IPMB-B "+c.want {
			t.Errorf("%s\n got  %s\n want %s", c.hex, got, c.want)
		}
	}
}

func TestNote(t *testing.T) {
	e := decode.Entry{Time: noon, Controller: 0x84, Kind: decode.KindNote, Bytes: []byte("VM\x1b[31m connected\n→")}
	if got := decode.Line(e); got != "12:00:00.345 0x84 VM[31m connected→" {
		t.Errorf("%q", got)
	}
	if got := decode.Line(decode.Entry{Time: noon, Kind: 9}); got != "12:00:00.345 0x00 unknown kind 9" {
		t.Errorf("%q", got)
	}
}

func TestName(t *testing.T) {
	for want, c := range map[string]ipmb.CommandID{
		"Get Chassis Status":    {NetFn: ipmb.NetFnChassis, Cmd: 0x01},
		"Get SEL Info":          {NetFn: ipmb.NetFnStorage.Response(), Cmd: 0x40},
		"Get LAN Configuration": {NetFn: ipmb.NetFnTransport, Cmd: 0x02},
		"Get PICMG Properties":  {NetFn: ipmb.NetFnGroup, Cmd: 0x00},
		"Group 03/00":           {NetFn: ipmb.NetFnGroup, Body: ipmb.BodyVITA},
	} {
		if got := decode.Name(c.NetFn, c.Body, c.Cmd); got != want {
			t.Errorf("%+v = %q, want %q", c, got, want)
		}
	}
}

// Whatever was seen is told in one line that no terminal minds.
func FuzzLine(f *testing.F) {
	f.Add(uint8(1), true, unhex(f, "18 34 00 84 18 64 20 02 01 dd"))
	f.Add(uint8(1), false, unhex(f, "1c 33 00 00 1e c2 84 00 01 00 20 81 da"))
	f.Add(uint8(2), false, unhex(f, "20 10 d0 82 04 02 04 f0 01 6f a4 03 00 6d"))
	f.Add(uint8(3), false, []byte("note\n"))
	f.Fuzz(func(t *testing.T, kind uint8, to bool, b []byte) {
		s := decode.Line(decode.Entry{Time: noon, Controller: 0x82, Kind: decode.Kind(kind), ToController: to, Bytes: b})
		if !utf8.ValidString(s) || strings.ContainsAny(s, "\n\r\x1b\x00") {
			t.Fatalf("%q", s)
		}
	})
}
