package rmcp

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// sharing15 is storing15 where the processes have a key for challenges.
func sharing15(t *testing.T, f *fakeStore, key byte) *site {
	s := newSite(t)
	s.cfg.AuthTypes, s.cfg.Store = both15, f
	f.made++
	binary.BigEndian.PutUint16(s.secret[:makerLen], f.made) // by chance it would be another's now and then
	s.cfg.SharedKey = func() ([]byte, error) { return bytes.Repeat([]byte{key}, 32), nil }
	s.cfg.UserName = func(id uint8) string { return map[uint8]string{4: "eve", 5: "tom"}[id] }
	s.mux = ipmb.NewMux(s.Commands(), s.rows())
	s.Restore(f.list(), time.Now())
	s.open()
	return s
}

// A client of IPMI 1.5 whose process is gone between its two steps logs in by the
// next one, with the challenge that it has.
func TestLogin15GoesOnElsewhere(t *testing.T) {
	for _, auth := range []byte{authTypeMD5, authTypePassword} {
		f := newFakeStore()
		c := sharing15(t, f, 1).dial15(auth, "eve", "sixteen")
		if code := c.challenge(); code != 0 {
			t.Fatalf("%02x", code)
		}
		next := sharing15(t, f, 1)
		ask := c.activation(3)
		c.moves(next)
		c.write(ask)
		if code := c.activated(c.read()); code != 0 {
			t.Fatalf("type %d: %02x", auth, code)
		}
		c.want("as a user", c.do(6, 1), 0, 1)
		c.want("admin, which it did not ask for", c.do(6, 0x3B, 4), 0x81)
		c.want("Close Session", c.do(6, 0x3C, word(c.id)...), 0)
		c.write(ask)
		if p := c.heard(); p != nil || next.Open() != 0 || len(f.list()) != 0 {
			t.Errorf("the same once more: %+v", p)
		}
	}
}

// A login of which a session came is over with it, everywhere.
func TestLogin15OnceEverywhere(t *testing.T) {
	f := newFakeStore()
	first := sharing15(t, f, 1)
	c := first.dial15(authTypeMD5, "eve", "sixteen")
	if code := c.challenge(); code != 0 {
		t.Fatalf("%02x", code)
	}
	ask := c.activation(3)
	c.write(ask)
	if code := c.activated(c.read()); code != 0 {
		t.Fatalf("%02x", code)
	}
	c.want("Close Session", c.do(6, 0x3C, word(c.id)...), 0)
	next := sharing15(t, f, 1)
	c.moves(next)
	c.write(ask)
	if p := c.heard(); p != nil || next.Open() != 0 || len(f.list()) != 0 {
		t.Errorf("the same once more: %+v, %d sessions", p, next.Open())
	}
}

// What another process did not make, or made for somebody else, is no login; nor
// is what was made too long ago, or here.
func TestForgedChallenges(t *testing.T) {
	f := newFakeStore()
	first := sharing15(t, f, 1)
	begin := func(auth byte, name, pass string) *client15 {
		c := first.dial15(auth, name, pass)
		if code := c.challenge(); code != 0 {
			t.Fatalf("%02x", code)
		}
		return c
	}
	eve := begin(authTypeMD5, "eve", "sixteen")
	local := eve.conn.LocalAddr().(interface{ AddrPort() netip.AddrPort }).AddrPort()
	for what, one := range map[string]struct {
		by   *site
		ask  []byte
		from netip.AddrPort
		late time.Duration
		in   bool
	}{
		"right":              {sharing15(t, f, 1), eve.activation(4), local, 0, true},
		"right, clocks":      {sharing15(t, f, 1), eve.activation(4), local, -20 * time.Second, true},
		"another key":        {sharing15(t, f, 2), eve.activation(4), local, 0, false},
		"another source":     {sharing15(t, f, 1), eve.activation(4), source, 0, false},
		"too late":           {sharing15(t, f, 1), eve.activation(4), local, loginTime + 2*time.Second, false},
		"another session id": {sharing15(t, f, 1), eve.with(func(c *client15) { c.id++ }).activation(4), local, 0, false},
		"another text":       {sharing15(t, f, 1), eve.with(func(c *client15) { c.text[15] ^= 1 }).activation(4), local, 0, false},
		"another auth type":  {sharing15(t, f, 1), eve.with(func(c *client15) { c.k.auth = authTypePassword }).activation(4), local, 0, false},
		"wrong password":     {sharing15(t, f, 1), eve.with(func(c *client15) { c.k.password[0] ^= 1 }).activation(4), local, 0, false},
		"nobody":             {sharing15(t, f, 1), begin(authTypeMD5, "nobody", "sixteen").activation(4), local, 0, false},
		"long password":      {sharing15(t, f, 1), begin(authTypeMD5, "admin", "secret").activation(4), local, 0, false},
	} {
		p, err := parsePacket(one.ask[rmcpLen:])
		if err != nil {
			t.Fatal(err)
		}
		if _, _, ok := one.by.prove15(p, one.from, time.Now().Add(one.late)); ok != one.in {
			t.Errorf("%s: %v", what, ok)
		}
	}
	first.Sessions.mu.Lock()
	first.remove(first.all[eve.id])
	first.Sessions.mu.Unlock()
	eve.write(eve.activation(4))
	if p := eve.heard(); p != nil {
		t.Errorf("its own, which is over: %+v", p)
	}
}

// with is a client that differs.
func (c *client15) with(change func(*client15)) *client15 {
	other, inner := *c, *c.client
	other.client = &inner
	other.text, other.k.password = bytes.Clone(c.text), bytes.Clone(c.k.password)
	change(&other)
	return &other
}

// A challenge tells nobody who is a user, nor is one like another.
func TestChallengesDiffer(t *testing.T) {
	s := sharing15(t, newFakeStore(), 1)
	seen := make(map[string]bool)
	for range 50 {
		for _, name := range []string{"eve", "tom", "nobody"} {
			req := &ipmb.Request{Data: append(append([]byte{authTypeMD5}, name...), make([]byte, 16-len(name))...)}
			out, err := s.challenge(context.WithValue(t.Context(), consoleKey{}, source), req)
			if err != nil || len(out) != 4+code15Len || binary.LittleEndian.Uint32(out) == 0 || seen[string(out[4:])] {
				t.Fatalf("%s: % x, %v", name, out, err)
			}
			seen[string(out[4:])] = true
		}
	}
}
