package rmcp

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

const both15 = 1<<authTypeMD5 | 1<<authTypePassword

// site15 is a site with sessions of IPMI 1.5.
func site15(t *testing.T, types byte) *site {
	s := newSite(t)
	s.cfg.AuthTypes = types
	s.mux = ipmb.NewMux(s.Commands(), s.rows())
	return s
}

// client15 is a console that speaks IPMI 1.5.
type client15 struct {
	*client
	k        v15Keys
	text     []byte
	outbound uint32
}

func (s *site) dial15(auth byte, name, pass string) *client15 {
	return &client15{
		client: s.dial(s.cfg.Suites[1], name, "", 0),
		k:      v15Keys{auth, password(pass)[:code15Len]}, outbound: 0x01020304,
	}
}

// challenge asks for one, and gives the completion code.
func (c *client15) challenge() byte {
	c.t.Helper()
	name := append([]byte(c.name), make([]byte, mc.UserNameLen-len(c.name))...)
	c.write(appendBare(nil, false, PayloadIPMI, c.frame(6, cmdChallenge, append([]byte{c.k.auth}, name...)...)))
	f, err := ipmb.ParseFrame(c.read().Payload)
	if err != nil {
		c.t.Fatal(err)
	}
	if f.Data[0] == 0 {
		c.id, c.text = binary.LittleEndian.Uint32(f.Data[1:]), bytes.Clone(f.Data[5:])
	}
	return f.Data[0]
}

// activation is the packet of an Activate Session.
func (c *client15) activation(level byte) []byte {
	data := append(append([]byte{c.k.auth, level}, c.text...), word(c.outbound)...)
	return c.k.appendSealed(nil, PayloadIPMI, c.id, 0, c.frame(6, cmdActivate, data...))
}

// heard reads an answer; nil if a ping is answered before it.
func (c *client15) heard() *packet {
	c.t.Helper()
	c.write([]byte{6, 0, 0xFF, classASF, 0, 0, 0x11, 0xBE, asfPing, 1, 0, 0})
	var got *packet
	for buf := make([]byte, 2000); ; {
		_ = c.conn.SetReadDeadline(time.Now().Add(patience))
		n, err := c.conn.Read(buf)
		if err != nil {
			c.t.Fatal(err)
		}
		class, rest, err := splitRMCP(buf[:n])
		if err != nil {
			c.t.Fatal(err)
		}
		if class == classASF {
			return got
		}
		p, err := parsePacket(bytes.Clone(rest))
		if err != nil {
			c.t.Fatal(err)
		}
		got = &p
	}
}

// login gives the completion code of Activate Session, FF without an answer.
func (c *client15) login(level byte) byte {
	c.t.Helper()
	if code := c.challenge(); code != 0 {
		return code
	}
	c.write(c.activation(level))
	p := c.heard()
	if p == nil {
		return 0xFF
	}
	return c.activated(*p)
}

func (c *client15) activated(p packet) byte {
	c.t.Helper()
	message, err := c.k.open(p)
	if err != nil || p.Seq != c.outbound || p.ID != c.id {
		c.t.Fatalf("answer to Activate Session: %v, %+v", err, p)
	}
	f, err := ipmb.ParseFrame(message)
	if err != nil {
		c.t.Fatal(err)
	}
	if f.Data[0] == 0 {
		c.id, c.seq = binary.LittleEndian.Uint32(f.Data[2:]), binary.LittleEndian.Uint32(f.Data[6:])
	}
	return f.Data[0]
}

// do asks in the session.
func (c *client15) do(n ipmb.NetFn, cmd ipmb.Cmd, data ...byte) []byte {
	c.t.Helper()
	c.write(c.k.appendSealed(nil, PayloadIPMI, c.id, c.seq, c.frame(n, cmd, data...)))
	c.seq++
	p := c.read()
	message, err := c.k.open(p)
	if err != nil || p.auth != c.k.auth || p.ID != c.id {
		c.t.Fatalf("%v, %+v", err, p)
	}
	if p.Seq <= c.outbound {
		c.t.Errorf("sequence %x after %x", p.Seq, c.outbound)
	}
	c.outbound = p.Seq
	f, err := ipmb.ParseFrame(message)
	if err != nil {
		c.t.Fatal(err)
	}
	return f.Data
}

func TestLogin15(t *testing.T) {
	s := site15(t, both15)
	s.open()
	for _, auth := range []byte{authTypeMD5, authTypePassword} {
		c := s.dial15(auth, "eve", "sixteen")
		if code := c.login(3); code != 0 {
			t.Fatalf("type %d: %02x", auth, code)
		}
		c.want("as a user", c.do(6, 1), 0, byte(s.done.Load()))
		c.want("power as a user", c.do(0, 2, 0), 0xD4)
		c.want("above what it asked for", c.do(6, 0x3B, 4), 0x81)
		c.want("operator", c.do(6, 0x3B, 3), 0, 3)
		c.want("power", c.do(0, 2, 0), 0, byte(s.done.Load()))
		if info := c.do(6, 0x3D, 0); info[6] != 0x01 {
			t.Errorf("info % x", info)
		}
		c.want("close", c.do(6, 0x3C, word(c.id)...), 0)
	}
	if n := s.Open(); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

// A client that got no answer to Activate Session asks again.
func TestActivateAgain(t *testing.T) {
	s := site15(t, both15)
	s.open()
	c := s.dial15(authTypeMD5, "eve", "sixteen")
	c.challenge()
	ask := c.activation(4)
	c.write(ask)
	first := c.read()
	if code := c.activated(first); code != 0 {
		t.Fatal(code)
	}
	c.write(ask)
	if again := c.read(); !bytes.Equal(first.raw, again.raw) || s.Open() != 1 {
		t.Errorf("% x, then % x", first.raw, again.raw)
	}
}

func TestRefusedLogins15(t *testing.T) {
	s := site15(t, 1<<authTypeMD5)
	s.open()
	for name, c := range map[string]struct {
		auth       byte
		user, pass string
		level      byte
		want       byte
	}{
		"none":                   {0, "eve", "sixteen", 4, 0xCC},
		"MD2":                    {1, "eve", "sixteen", 4, 0xCC},
		"OEM":                    {5, "eve", "sixteen", 4, 0xCC},
		"no type":                {0xFF, "eve", "sixteen", 4, 0xCC},
		"a type that is not on":  {authTypePassword, "eve", "sixteen", 4, 0xCC},
		"wrong password":         {authTypeMD5, "eve", "wrong", 4, 0xFF},
		"empty password":         {authTypeMD5, "eve", "", 4, 0xFF},
		"nobody":                 {authTypeMD5, "nobody", "sixteen", 4, 0xFF},
		"null user":              {authTypeMD5, "", "null", 4, 0xFF},
		"20-byte password":       {authTypeMD5, "admin", "secret", 4, 0xFF},
		"above the user's limit": {authTypeMD5, "tom", "sixteen", 3, 0x86},
		"no level":               {authTypeMD5, "eve", "sixteen", 0, 0xCC},
		"level 9":                {authTypeMD5, "eve", "sixteen", 9, 0xCC},
	} {
		if got := s.dial15(c.auth, c.user, c.pass).login(c.level); got != c.want {
			t.Errorf("%s: %02x, want %02x", name, got, c.want)
		}
	}
	if n := s.Open(); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

// An auth type may be for some levels only.
func TestAuthEnabled(t *testing.T) {
	s := site15(t, both15)
	s.cfg.AuthEnabled = func(p ipmb.Privilege) byte {
		if p == ipmb.PrivilegeAdmin {
			return 1 << authTypeMD5
		}
		return both15
	}
	s.open()
	for _, c := range []struct{ auth, level, want byte }{
		{authTypePassword, 4, 0x86},
		{authTypePassword, 3, 0},
		{authTypeMD5, 4, 0},
	} {
		if got := s.dial15(c.auth, "eve", "sixteen").login(c.level); got != c.want {
			t.Errorf("type %d at level %d: %02x, want %02x", c.auth, c.level, got, c.want)
		}
	}
	c := s.dial(s.cfg.Suites[1], "", "", 0)
	for level, types := range map[byte]byte{3: both15, 4: 1 << authTypeMD5} {
		for _, extended := range []byte{0, 0x80} {
			c.write(appendBare(nil, false, PayloadIPMI, c.frame(6, 0x38, extended|0x0E, level)))
			f, err := ipmb.ParseFrame(c.read().Payload)
			if err != nil {
				t.Fatal(err)
			}
			c.want("capabilities", f.Data, 0, 1, extended|types, 4, extended>>7*3, 0, 0, 0, 0)
		}
	}
}

// Without the setting nothing of it is there.
func TestNo15(t *testing.T) {
	s := newSite(t)
	s.open()
	c := s.dial15(authTypeMD5, "eve", "sixteen")
	c.id, c.text = 1, make([]byte, code15Len)
	c.write(appendBare(nil, false, PayloadIPMI, c.frame(6, cmdChallenge, append([]byte{2}, make([]byte, 16)...)...)))
	c.write(c.activation(4))
	if p := c.heard(); p != nil {
		t.Errorf("%+v", p)
	}
}

// S3, S5, S12: no packet that the session's own type and number do not fit is
// served, whatever its type names; nor does one kind of login go on as the other.
func TestForged15(t *testing.T) {
	s := site15(t, both15)
	s.open()
	c := s.dial15(authTypeMD5, "eve", "sixteen")
	if code := c.login(4); code != 0 {
		t.Fatal(code)
	}
	ask := c.frame(6, 1)
	good := c.k.appendSealed(nil, PayloadIPMI, c.id, c.seq, ask)
	for auth := range 256 {
		if auth == authTypeMD5 {
			continue
		}
		b := bytes.Clone(good)
		b[rmcpLen] = byte(auth)
		c.write(b)
		b = bytes.Clone(b)
		copy(b[rmcpLen+9:], c.k.password) // what type password would have
		c.write(b)
		if p := c.heard(); p != nil && p.ID != 0 {
			t.Errorf("auth type %02x: %+v", auth, p)
		}
	}
	for i := rmcpLen; i < len(good); i++ {
		b := bytes.Clone(good)
		b[i] ^= 1
		c.write(b)
	}
	for _, seq := range []uint32{0, 1, c.seq - 1, c.seq - narrowWindow, c.seq + narrowWindow, c.seq + 1000} {
		c.write(c.k.appendSealed(nil, PayloadIPMI, c.id, seq, ask))
	}
	plain := append(appendRMCP(nil, classIPMI), authNone)
	plain = append(append(append(plain, word(c.seq)...), word(c.id)...), byte(len(ask)))
	c.write(append(plain, ask...))
	c.write(append(appendHeader20(appendRMCP(nil, classIPMI), 0, c.id, c.seq, len(ask)), ask...))
	if p := c.heard(); p != nil {
		t.Errorf("%+v", p)
	}
	c.write(good)
	c.write(good)
	if p := c.read(); p.Payload[7] != 1 { // the first that was served
		t.Errorf("the right one was number % x", p.Payload)
	}
	c.seq++
	c.want("and the next", c.do(6, 1), 0, 2)
}

// A login by one protocol is none by the other: a challenge of IPMI 1.5 has no
// suite, and must not be as good as suite 0.
func TestCrossedLogins(t *testing.T) {
	s := site15(t, both15)
	s.open()
	c := s.dial15(authTypeMD5, "eve", "sixteen")
	c.challenge()
	if b := c.ask(PayloadRAKP1, c.first()); Status(b[1]) != StatusBadSession {
		t.Errorf("RAKP 1 after a challenge: % x", b)
	}
	if b := c.ask(PayloadRAKP3, append([]byte{9, 0, 0, 0}, word(c.id)...)); Status(b[1]) != StatusBadSession {
		t.Errorf("RAKP 3 after a challenge: % x", b)
	}
	c.client.open()
	c.write(c.activation(4))
	if p := c.heard(); p != nil {
		t.Errorf("Activate Session after Open Session: %+v", p)
	}
	c.challenge()
	c.write(appendBare(nil, false, PayloadIPMI, c.frame(6, cmdActivate, append(append([]byte{2, 4}, c.text...), 1, 2, 3, 4)...)))
	if p := c.heard(); p != nil {
		t.Errorf("unsigned: %+v", p)
	}
	if code := c.login(4); code != 0 {
		t.Fatal(code)
	}
	c.want("by a session of 1.5", c.do(6, cmdActivate, append(append([]byte{2, 4}, c.text...), 1, 2, 3, 4)...), 0x85)
	c.want("challenge", c.do(6, cmdChallenge, append([]byte{2}, make([]byte, 16)...)...), 0xD5)
}

// An answer that the frame's length has no room for is refused, not cut.
func TestTooLongFor15(t *testing.T) {
	k := v15Keys{authTypeMD5, make([]byte, code15Len)}
	f := ipmb.Frame{To: 0x81, NetFn: 7, From: 0x20, Seq: 5, Cmd: 1, Data: make([]byte, 280)}
	message, err := f.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := parsePacket(k.appendSealed(nil, PayloadIPMI, 1, 2, message)[rmcpLen:])
	if err != nil {
		t.Fatal(err)
	}
	short, err := ipmb.ParseFrame(p.Payload)
	if err != nil || short.Seq != 5 || !bytes.Equal(short.Data, []byte{byte(ipmb.ErrCannotReturn)}) {
		t.Errorf("%v, %v", short, err)
	}
}

func FuzzPacket15(f *testing.F) {
	// ipmitool 1.8.19 and its Activate Session; FreeIPMI 1.6.10 in a session.
	f.Add(unhex(f, "0600ff07020000000005000000eaedb409df77ab8c75283fc22f7f328f1d2018c8810c3a02045febfccd7037c81c8ed3325cdcbd19676ddd59e703"))
	f.Add(unhex(f, "0600ff07027a0485a0bea84ca43817d96408065f3f17a61f110b4c5670082018c881583b04e8"))
	f.Add(unhex(f, "0600ff07000000000000000000182018c88108390269706d6975737200000000000000000033"))
	k := v15Keys{authTypePassword, password("x")[:code15Len]}
	f.Add(k.appendSealed(nil, PayloadIPMI, 5, 6, []byte("abc")))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, rest, err := splitRMCP(b)
		if err != nil {
			return
		}
		p, err := parsePacket(rest)
		if err != nil || p.auth == 0 {
			return
		}
		_, _ = k.open(p)
		k := v15Keys{p.auth, k.password}
		again, err := parsePacket(k.appendSealed(nil, PayloadIPMI, p.ID, p.Seq, p.Payload)[rmcpLen:])
		if err != nil || again.ID != p.ID || again.Seq != p.Seq || !bytes.Equal(again.Payload, p.Payload) {
			t.Errorf("% x: %+v, %v", b, again, err)
		}
		if _, err := k.open(again); err != nil {
			t.Error(err)
		}
	})
}
