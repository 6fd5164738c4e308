package rmcp

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPing(t *testing.T) {
	class, rest, err := splitRMCP(unhex(t, "06 00 ff 06 00 00 11 be 80 2a 00 00"))
	if err != nil || class != classASF {
		t.Fatal(class, err)
	}
	tag, err := parsePing(rest)
	if err != nil || tag != 0x2a {
		t.Fatal(tag, err)
	}
	want := unhex(t, "06 00 ff 06 00 00 11 be 40 2a 00 10 00 00 11 be 00 00 00 00 81 00 00 00 00 00 00 00")
	if got := appendPong(nil, tag); !bytes.Equal(got, want) {
		t.Errorf("pong % x", got)
	}
	for _, bad := range []string{"", "00 00 11 be 80 2a 00", "00 00 11 be 40 2a 00 00", "00 00 00 00 80 2a 00 00"} {
		if _, err := parsePing(unhex(t, bad)); err == nil {
			t.Errorf("%s is a ping", bad)
		}
	}
}

// What ipmitool 1.8.19 sends first, and the same question of FreeIPMI's in the
// other framing.
func TestBarePackets(t *testing.T) {
	for name, c := range map[string]struct {
		wire string
		plus bool
	}{
		"ipmitool cipher suites": {"06 00 ff 07 06 00 00 00 00 00 00 00 00 00 0a 00 20 18 c8 81 04 54 0e 00 80 99", true},
		"FreeIPMI capabilities":  {"06 00 ff 07 00 00 00 00 00 00 00 00 00 09 20 18 c8 81 04 38 8e 04 b1", false},
	} {
		raw := unhex(t, c.wire)
		_, rest, err := splitRMCP(raw)
		if err != nil {
			t.Fatal(err)
		}
		p, err := parsePacket(rest)
		if err != nil || p.plus != c.plus {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if got := appendBare(nil, p.plus, p.Type, p.Payload); !bytes.Equal(got, raw) {
			t.Errorf("%s: % x", name, got)
		}
	}
}

func TestBadPackets(t *testing.T) {
	for name, wire := range map[string]string{
		"empty": "", "MD5": "02 00 00 00 00 00 00 00 00 00", "short": "06 00 00 00 00 00 00 00 00 00 00",
		"length lies":   "06 00 00 00 00 00 00 00 00 00 02 00 20",
		"more than it":  "06 00 00 00 00 00 00 00 00 00 00 00 20",
		"OEM payload":   "06 02 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
		"1.5 session":   "00 01 00 00 00 01 00 00 00 00",
		"1.5 too short": "00 00 00 00 00 00 00 00 00 02 20",
	} {
		if _, err := parsePacket(unhex(t, wire)); err == nil {
			t.Errorf("%s is a packet", name)
		}
	}
}

func TestWindow(t *testing.T) {
	var w window
	for _, c := range []struct {
		seq uint32
		ok  bool
	}{
		{0, false},
		{0xFFFFFFFF, false},
		{1, true},
		{1, false},
		{0xFFFFFFFF, false}, // near, but nothing comes before the first
		{17, true},
		{2, true},
		{2, false},
		{16, true},
		{18, true},
		{1, false},
		{35, false},
		{34, true},
		{17, false},
		{19, true},
		{19, false},
		{0xFFFFFFFF, false},
	} {
		next, ok := w.accept(c.seq)
		if ok != c.ok {
			t.Fatalf("%d after %d: %v", c.seq, w.highest, ok)
		}
		w = next
	}
	w = window{highest: 0xFFFFFFFE, seen: 1}
	for _, seq := range []uint32{0xFFFFFFFF, 1, 2} { // round, without 0
		next, ok := w.accept(seq)
		if !ok {
			t.Fatalf("%x after %x", seq, w.highest)
		}
		w = next
	}
}

func TestSealed(t *testing.T) {
	for _, suite := range newSite(t).cfg.Suites {
		a, ok := algorithmOf(suite)
		if !ok {
			t.Fatalf("suite %d", suite.ID)
		}
		k := newKeys(a, []byte("key"))
		for n := range 40 {
			want := bytes.Repeat([]byte{0xA5}, n)
			raw := k.appendSealed(nil, PayloadIPMI, 5, 6, want)
			p, err := parsePacket(raw[rmcpLen:])
			if err != nil {
				t.Fatal(err)
			}
			if got, err := k.open(p); err != nil || !bytes.Equal(got, want) || p.ID != 5 || p.Seq != 6 {
				t.Errorf("suite %d, %d bytes: % x, %v", suite.ID, n, got, err)
			}
			for i := rmcpLen; i < len(raw); i++ { // no bit may change
				raw[i] ^= 0x10
				if p, err := parsePacket(raw[rmcpLen:]); err == nil {
					if _, err := k.open(p); err == nil {
						t.Fatalf("suite %d: byte %d changed", suite.ID, i)
					}
				}
				raw[i] ^= 0x10
			}
		}
	}
}

// captured is the first packet of ipmitool 1.8.19's in a session of suite 3, and
// the session's keys, which its login makes of both random numbers.
func captured(t testing.TB) ([]byte, *keys) {
	a, _ := algorithmOf(mc.CipherSuite{ID: 3, Auth: 1, Integrity: 1, Confidentiality: 1})
	sik := a.mac(password("secret"), unhex(t, "dd2ea4071f77d5e6258824918d525cfb"), unhex(t, "27eabaaab74bd88a7b5de32271229441"), []byte{0x14, 5}, []byte("admin"))
	k := newKeys(a, sik)
	return unhex(t, "0600ff0706c03891fd43030000002000ed0b270a8161a224247754a569132cff9af18c0dbe111c2dc8686f78802cf86d"+
		"ffff020704c325f389906f3bcf2d8888"), &k
}

func TestCaptured(t *testing.T) {
	raw, k := captured(t)
	p, err := parsePacket(raw[rmcpLen:])
	if err != nil {
		t.Fatal(err)
	}
	message, err := k.open(p)
	if err != nil || p.Type != PayloadIPMI || p.Seq != 3 {
		t.Fatalf("%+v, %v", p, err)
	}
	if f, err := ipmb.ParseFrame(message); err != nil || f.NetFn != ipmb.NetFnApp || f.Cmd != 0x3B || !bytes.Equal(f.Data, []byte{4}) {
		t.Errorf("%s, %v; want Set Session Privilege Level", f, err)
	}
}

func FuzzPacket(f *testing.F) {
	f.Add(unhex(f, "06 00 ff 07 06 00 00 00 00 00 00 00 00 00 0a 00 20 18 c8 81 04 54 0e 00 80 99"))
	f.Add(unhex(f, "06 00 ff 06 00 00 11 be 80 2a 00 00"))
	raw, k := captured(f)
	f.Add(raw)
	f.Add(k.appendSealed(nil, PayloadIPMI, 5, 6, []byte("abc")))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, rest, err := splitRMCP(b)
		if err != nil {
			return
		}
		_, _ = parsePing(rest)
		p, err := parsePacket(rest)
		if err != nil {
			return
		}
		if message, err := k.open(p); err == nil && p.ID == 0x43FD9138 && !bytes.Equal(rest, raw[rmcpLen:]) {
			t.Errorf("% x opens as % x", b, message)
		}
		_, _ = k.decrypted(p.Payload)
		if p.ID != 0 || p.Seq != 0 || p.Encrypted || p.Authenticated {
			return
		}
		again, err := parsePacket(appendBare(nil, p.plus, p.Type, p.Payload)[rmcpLen:])
		if err != nil || again.Type != p.Type || !bytes.Equal(again.Payload, p.Payload) {
			t.Errorf("% x: %+v, %v", b, again, err)
		}
	})
}

// FuzzLogin sends messages of a login, first to a login that waits for them.
func FuzzLogin(f *testing.F) {
	s := newSite(nil)
	c := s.client(s.cfg.Suites[1], "admin", "secret", 0x14)
	f.Add(byte(PayloadOpenRequest), openBytes(4, 3, 4, 1))
	f.Add(byte(PayloadRAKP1), c.first())
	f.Add(byte(PayloadRAKP3), c.third())
	// ipmitool 1.8.19's
	f.Add(byte(PayloadOpenRequest), unhex(f, "00000000a4a3a2a0000000080300000001000008040000000200000801000000"))
	f.Add(byte(PayloadRAKP1), unhex(f, "00000000690e3664122e1083c87d250f6d57142d268815971400000561646d696e"))
	f.Add(byte(PayloadRAKP3), unhex(f, "00000000690e3664c8270468387b75e84f5fa14c4f18cf4e230036c678374e07ffbf5a0f8b892662"))
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		c.open()
		if len(b) >= 8 {
			copy(b[4:8], word(c.id))
		}
		c.ask(PayloadType(kind), b)
		if n, all := s.Open(), len(s.all); n != 0 || all > 2 {
			t.Errorf("%d sessions, %d logins", n, all)
		}
		s.Close() // a full table would be most of the work
	})
}
