package rmcp

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// storing15 is storing with sessions of IPMI 1.5.
func storing15(t *testing.T, f *fakeStore, types byte) *site {
	s := site15(t, types)
	s.cfg.Store = f
	s.mux = ipmb.NewMux(s.Commands(), s.rows())
	s.Restore(f.list(), time.Now())
	s.open()
	return s
}

// moves lets a client speak to another process.
func (c *client15) moves(to *site) { c.client.moves(to) }

func TestSession15GoesOnElsewhere(t *testing.T) {
	for _, auth := range []byte{authTypeMD5, authTypePassword} {
		f := newFakeStore()
		s := storing15(t, f, both15)
		c := s.dial15(auth, "eve", "sixteen")
		if code := c.login(4); code != 0 {
			t.Fatalf("type %d: %02x", auth, code)
		}
		outbound := c.outbound
		c.want("admin", c.do(6, 0x3B, 4), 0, 4)
		c.want("by the first", c.do(6, 1), 0, 1)
		if c.outbound != outbound+3 { // 1, and 3: each packet has two numbers
			t.Errorf("the second answer is number %d after the login's", c.outbound-outbound)
		}
		second := storing15(t, f, both15)
		c.moves(second)
		c.seq += 3 // came to nobody
		outbound = c.outbound
		c.want("its level is kept", c.do(6, 0x3B, 0), 0, 4)
		if c.outbound != outbound+8 { // three packets and its own
			t.Errorf("the answer is %d after the last", c.outbound-outbound)
		}
		c.want("by the second", c.do(0, 2, 0), 0, 1)
		if info := c.do(6, 0x3D, 0); info[6] != 0x01 {
			t.Errorf("type %d: info % x", auth, info)
		}
		c.want("Close Session", c.do(6, 0x3C, word(c.id)...), 0)
		if left := f.list(); len(left) > 0 {
			t.Errorf("%d sessions are left", len(left))
		}
	}
}

// A repeat of Activate Session whose answer was lost with the process gets it from
// the next one, and a second session it does not get.
func TestActivateElsewhere(t *testing.T) {
	f := newFakeStore()
	c := storing15(t, f, both15).dial15(authTypeMD5, "eve", "sixteen")
	c.challenge()
	ask := c.activation(4)
	c.write(ask)
	first := c.read()
	next := storing15(t, f, both15)
	c.moves(next)
	c.write(ask)
	again := c.read()
	if !bytes.Equal(first.raw, again.raw) || next.Open() != 1 {
		t.Errorf("% x, then % x", first.raw, again.raw)
	}
	if code := c.activated(again); code != 0 {
		t.Fatal(code)
	}
	c.want("in it", c.do(6, 1), 0, 1)
}

// Nobody is told that he is logged in before that is stored, nor where it cannot be.
func TestStoredBeforeTold15(t *testing.T) {
	f := newFakeStore()
	s := storing15(t, f, both15)
	begun, wait := make(chan struct{}), make(chan struct{})
	f.set(func() { f.begun, f.wait = begun, wait })
	c := s.dial15(authTypeMD5, "eve", "sixteen")
	c.challenge()
	d := s.dial15(authTypeMD5, "eve", "sixteen")
	d.challenge()
	c.write(c.activation(4))
	next(t, begun)
	if n := c.there(); n > 0 { // an answer would be there already
		t.Errorf("%d bytes before it is stored", n)
	}
	close(wait)
	if code := c.activated(c.read()); code != 0 {
		t.Fatal(code)
	}
	f.set(func() { f.begun, f.fails = nil, errors.New("no quorum") })
	d.write(d.activation(4))
	if p := d.heard(); p != nil {
		t.Errorf("%+v", p)
	}
	if n := s.Open(); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// Who switches an auth type off ends its sessions.
func TestSwitchedOff15(t *testing.T) {
	f := newFakeStore()
	s := storing15(t, f, both15)
	c := s.dial15(authTypePassword, "eve", "sixteen")
	if code := c.login(4); code != 0 {
		t.Fatal(code)
	}
	for _, types := range []byte{0, 1 << authTypeMD5} {
		next := storing15(t, f, types)
		if n := next.Open(); n != 0 {
			t.Errorf("types %02x: %d sessions", types, n)
		}
		if err := next.Sweep(t.Context(), time.Now()); err != nil || len(f.list()) != 0 {
			t.Errorf("%d records, %v", len(f.list()), err)
		}
	}
}

// A record is read as it was written, and nothing else is.
func TestKeptRecord(t *testing.T) {
	k := Kept{
		V15: true, ID: 5, Console: consoleID, Name: [nameLen]byte(bytes.Repeat([]byte{7}, nameLen)), Handle: 1, User: 2, Limit: 4, Privilege: 3,
		Auth: authTypeMD5, Peer: source, In: 9, Base: plusBase, Stamp: 1 << 60, Payload: 9,
		Secret: bytes.Repeat([]byte{1}, 20), Third: []byte{'a'},
	}
	written, err := k.AppendBinary(nil)
	if err != nil || written[0] != keptVersion {
		t.Fatalf("% x, %v", written, err)
	}
	if again, err := ParseKept(written); err != nil || !reflect.DeepEqual(again, k) {
		t.Errorf("%+v, %v", again, err)
	}
	for what, change := range map[string]func(b []byte) []byte{
		"a version to come": func(b []byte) []byte { b[0] = keptVersion + 1; return b },
		"another kind":      func(b []byte) []byte { b[54] = kind15 + 1; return b },
		"no end":            func(b []byte) []byte { return b[:keptHead-1] },
		"one byte more":     func(b []byte) []byte { return append(b, 0) },
	} {
		if k, err := ParseKept(change(bytes.Clone(written))); err == nil {
			t.Errorf("%s: %+v", what, k)
		}
	}
}

// The numbers of answers are those that the login began, also where they go round;
// 0 is none of them.
func TestAnswerNumbers15(t *testing.T) {
	tab := NewSessions(Config{Store: newFakeStore()})
	for _, c := range []struct{ inbound, outbound, seq, first, second uint32 }{
		{100, 1, 100, 2, 3},
		{100, 1, 101, 4, 5},
		{100, 0xFFFFFFFD, 100, 0xFFFFFFFE, 0xFFFFFFFF},
		{100, 0xFFFFFFFD, 101, 0, 1},
		{0xFFFFFFFF, 7, 0xFFFFFFFF, 8, 9},
		{0xFFFFFFFF, 7, 1, 12, 13},
	} {
		s := &session{id: 1, console: 1, v15: &challenge{}, state: stateKept, base: base15(c.inbound, c.outbound), keys: &v15Keys{authTypeMD5, make([]byte, code15Len)}}
		for i, want := range []uint32{c.first, c.second} {
			b := tab.sealAnswer(s, c.seq, i, make([]byte, 8))
			if want == 0 {
				if b != nil {
					t.Errorf("%+v: number 0", c)
				}
				continue
			}
			if p, err := parsePacket(b[rmcpLen:]); err != nil || p.Seq != want {
				t.Errorf("%+v: %d, want %d (%v)", c, p.Seq, want, err)
			}
		}
	}
}
