package rmcp

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// loggedIn is a client with a session on an open door.
func loggedIn(t *testing.T, name, pass string, role byte) (*site, *client) {
	s := newSite(t)
	s.open()
	c := s.dial(s.cfg.Suites[1], name, pass, role)
	if got := c.login(nil); got != StatusOK {
		t.Fatalf("login: %02x", got)
	}
	return s, c
}

func (c *client) want(what string, got []byte, want ...byte) {
	c.t.Helper()
	if !bytes.Equal(got, want) {
		c.t.Errorf("%s: % x, want % x", what, got, want)
	}
}

func TestInSession(t *testing.T) {
	s, c := loggedIn(t, "admin", "secret", 0x14)
	c.want("as a user", c.do(6, 1), 0, 1)
	o := s.last.Load().Origin
	if o.Door != ipmb.DoorLAN || o.Channel != 1 || o.Privilege != ipmb.PrivilegeUser || o.Session != c.id || o.Speaker != ipmb.SpeakerSession {
		t.Errorf("%+v", o)
	}
}

func TestPrivilegeLevels(t *testing.T) {
	_, c := loggedIn(t, "admin", "secret", 0x13)
	c.want("power as a user", c.do(0, 2, 0), 0xD4)
	c.want("now", c.do(6, 0x3B, 0), 0, 2)
	c.want("callback", c.do(6, 0x3B, 1), 0xCC)
	c.want("above the role of the login", c.do(6, 0x3B, 4), 0x81)
	c.want("operator", c.do(6, 0x3B, 3), 0, 3)
	c.want("power", c.do(0, 2, 0), 0, 1)
	c.want("user", c.do(6, 0x3B, 2), 0, 2)
	c.want("power as a user again", c.do(0, 2, 0), 0xD4)
}

func TestCloseSession(t *testing.T) {
	s, c := loggedIn(t, "admin", "secret", 0x14)
	bob := s.dial(s.cfg.Suites[2], "bob", "builder", 0x12)
	if got := bob.login(nil); got != StatusOK {
		t.Fatal(got)
	}
	bob.want("another's", bob.do(6, 0x3C, word(c.id)...), 0xD4)
	bob.want("his own", bob.do(6, 0x3C, word(bob.id)...), 0)
	c.want("still there", c.do(6, 1), 0, 1)
	c.do(6, 0x3B, 4)
	c.want("of nobody", c.do(6, 0x3C, word(c.id+1)...), 0x87)
	c.want("handle of nobody", c.do(6, 0x3C, 0, 0, 0, 0, 9), 0x88)
	bob.send(bob.frame(6, 1))
	c.want("after bob's", c.do(6, 1), 0, 2)
	c.want("her own", c.do(6, 0x3C, 0, 0, 0, 0, 1), 0)
	if s.lookup(c.id) != nil || s.lookup(bob.id) != nil {
		t.Error("sessions are there")
	}
}

func TestSessionInfo(t *testing.T) {
	_, c := loggedIn(t, "admin", "secret", 0x14)
	got := c.do(6, 0x3D, 0)
	want := []byte{0, 1, MaxSessions, 1, 2, 2, 0x11, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	if len(got) != len(want)+2 || !bytes.Equal(got[:len(want)], want) {
		t.Errorf("own: % x", got)
	}
	for _, ask := range [][]byte{{1}, {0xFE, 1}, append([]byte{0xFF}, word(c.id)...)} {
		c.want("the same", c.do(6, 0x3D, ask...), got...)
	}
	c.want("second", c.do(6, 0x3D, 2), 0, 0, MaxSessions, 1)
	c.want("no handle", c.do(6, 0x3D, 0xFE), 0xC7)
}

func TestCapabilities(t *testing.T) {
	for status, kg := range map[byte]string{4: "", 0x24: "the controller's"} {
		s := newSite(t)
		s.key = password(kg)
		s.open()
		c := s.dial(s.cfg.Suites[1], "", "", 0)
		for _, plus := range []bool{true, false} {
			c.write(appendBare(nil, plus, PayloadIPMI, c.frame(6, 0x38, 0x8E, 4)))
			p := c.read()
			f, err := ipmb.ParseFrame(p.Payload)
			if err != nil || p.plus != plus {
				t.Fatal(p, err)
			}
			c.want("capabilities", f.Data, 0, 1, 0x80, status, 2, 0, 0, 0, 0)
		}
	}
}

// S3, S5: what is not signed and encrypted by the session's keys had as well
// not come, whatever else it says; nor is anything served without a session.
func TestForged(t *testing.T) {
	s, c := loggedIn(t, "admin", "secret", 0x14)
	pacer := s.dial(s.cfg.Suites[1], "", "", 0)
	frame := c.frame(6, 1)
	bare := func(kind byte, id, seq uint32) []byte {
		return append(appendHeader20(appendRMCP(nil, classIPMI), kind, id, seq, len(frame)), frame...)
	}
	for kind := range 256 {
		c.write(bare(byte(kind), c.id, 1))
		c.write(bare(byte(kind), 0, 0))
		pacer.ping()
	}
	c.write(appendBare(nil, false, PayloadIPMI, frame))
	other := newKeys(c.a, []byte("other"))
	c.write(other.appendSealed(nil, PayloadIPMI, c.id, 1, frame))
	for kind := range PayloadType(64) {
		if kind != PayloadIPMI {
			c.write(c.keys.appendSealed(nil, kind, c.id, 1, frame))
			pacer.ping()
		}
	}
	c.seq = 1
	message := c.frame(6, 1)
	c.send(message)
	for p := c.read(); ; p = c.read() {
		if p.ID == 0 && p.Type == PayloadIPMI {
			t.Fatalf("served without a session: % x", p.Payload)
		}
		if p.ID == 0 { // refusals of messages of a login that are none
			continue
		}
		b, err := c.keys.open(p)
		if err != nil || b[4] != message[4] {
			t.Errorf("first answer % x, %v", b, err)
		}
		break
	}
	if n := s.done.Load(); n != 1 {
		t.Errorf("%d were served", n)
	}
}

// S12: a recorded packet does nothing again.
func TestReplay(t *testing.T) {
	s, c := loggedIn(t, "admin", "secret", 0x13)
	c.want("operator", c.do(6, 0x3B, 3), 0, 3)
	raw := c.send(c.frame(0, 2, 3))
	c.want("reset", c.receive().Data, 0, 1)
	for range 5 {
		c.write(raw)
	}
	c.want("what comes after", c.do(6, 1), 0, 2)
	if n := s.done.Load(); n != 2 {
		t.Errorf("%d were done", n)
	}
}

// A client that got no answer repeats its request under a new session sequence.
func TestRetryIsNotDoneTwice(t *testing.T) {
	_, c := loggedIn(t, "admin", "secret", 0x13)
	c.do(6, 0x3B, 3)
	for name, ask := range map[string][]byte{
		"reset":        c.frame(0, 2, 3),
		"send message": c.frame(6, 0x34, append([]byte{0}, c.frame(0, 2, 3)...)...),
	} {
		c.send(ask)
		first := c.receive()
		c.send(ask)
		if again := c.receive(); !bytes.Equal(first.Data, again.Data) || len(first.Data) < 2 {
			t.Errorf("%s: % x, then % x", name, first.Data, again.Data)
		}
	}
	read := c.frame(6, 1)
	c.send(read)
	first := c.receive().Data
	c.send(read)
	if again := c.receive().Data; bytes.Equal(first, again) {
		t.Errorf("a read is stale: % x", again)
	}
}

// The answer of a controller behind the bridge is a message of its own.
func TestBridgedAnswer(t *testing.T) {
	_, c := loggedIn(t, "admin", "secret", 0x14)
	inner, err := ipmb.RequestFrame(0x84, 0x81, 0, 42, &ipmb.Request{NetFn: 6, Cmd: 1}).AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	c.want("acknowledged", c.do(6, 0x34, append([]byte{0x40}, inner...)...), 0)
	f := c.receive()
	if f.From != 0x84 || f.To != 0x81 || f.Seq != 42 || f.NetFn != 7 || f.Cmd != 1 || !bytes.Equal(f.Data, []byte{0, 1}) {
		t.Errorf("%s", f)
	}
}

func TestIdleSessionEnds(t *testing.T) {
	s, c := loggedIn(t, "admin", "secret", 0x14)
	s.Sessions.mu.Lock()
	s.find(c.id).last = time.Now().Add(-IdleTime - time.Second)
	s.Sessions.mu.Unlock()
	c.send(c.frame(6, 1))
	d := s.dial(s.cfg.Suites[1], "admin", "secret", 0x14)
	if got := d.login(nil); got != StatusOK {
		t.Fatal(got)
	}
	d.want("first that is served", d.do(6, 1), 0, 1)
}

// S4: random, mutated and long datagrams do no good session harm.
func TestNoise(t *testing.T) {
	s := newSite(t)
	s.many = true
	s.open()
	var good []*client
	for range 10 {
		c := s.dial(s.cfg.Suites[1], "admin", "secret", 0x14)
		if got := c.login(nil); got != StatusOK {
			t.Fatal(got)
		}
		good = append(good, c)
	}
	noise := s.dial(s.cfg.Suites[1], "", "", 0)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 10000 {
		b := good[i%10].keys.appendSealed(nil, PayloadIPMI, good[i%10].id, r.Uint32N(100), good[0].frame(6, 1))
		switch i % 4 {
		case 0:
			b = b[:r.IntN(len(b))]
		case 1:
			b = make([]byte, []int{20, 1472, 8000, 65000}[r.IntN(4)])
			copy(b, []byte{6, 0, 0xFF, 7, 6, byte(r.Uint32()), 0, 0, 0, 0})
			binary.LittleEndian.PutUint32(b[12:], r.Uint32())
		default:
			b[rmcpLen+r.IntN(len(b)-rmcpLen)] ^= byte(1 + r.IntN(255))
		}
		if _, err := noise.conn.Write(b); err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 {
			if got := good[i/10%10].patient(6, 1); got[0] != 0 {
				t.Fatalf("client %d: % x", i/10%10, got)
			}
		}
	}
}

// Commands that take their time keep nobody from being answered, not even if
// there are more of them than readers.
func TestSlowCommands(t *testing.T) {
	s := newSite(t)
	hold := make(chan struct{})
	s.mux = ipmb.NewMux(s.Commands(), []ipmb.Command{
		{NetFn: ipmb.NetFnApp, Cmd: 1, Privilege: ipmb.PrivilegeUser, Do: s.count},
		{NetFn: ipmb.NetFnApp, Cmd: 2, Privilege: ipmb.PrivilegeUser, Do: func(ctx context.Context, _ *ipmb.Request) ([]byte, error) {
			select {
			case <-hold:
			case <-ctx.Done():
			}
			return nil, nil
		}},
	})
	s.many = true
	s.open()
	var slow []*client
	for range 3 * maxHelpers {
		c := s.dial(s.cfg.Suites[1], "admin", "secret", 0x14)
		if got := c.login(nil); got != StatusOK {
			t.Fatal(got)
		}
		c.send(c.frame(6, 2))
		slow = append(slow, c)
	}
	c := s.dial(s.cfg.Suites[1], "admin", "secret", 0x14)
	if got := c.login(nil); got != StatusOK {
		t.Fatal(got)
	}
	c.want("meanwhile", c.do(6, 1), 0, 1)
	close(hold)
	for _, c := range slow {
		c.want("in the end", c.receive().Data, 0)
	}
	c.want("after all", c.do(6, 1), 0, 2)
}

// What is done again is forgotten before what must not be, and what is under
// way not at all, however long that takes.
func TestRepeatsThatMatter(t *testing.T) {
	var r repeats
	now := time.Now()
	slow, again := r.find([]byte("slow"), now)
	if again {
		t.Fatal("at first")
	}
	effect, _ := r.find([]byte("effect"), now)
	r.done(effect, [][]byte{{0}}, now)
	for i := range byte(3 * repeatCount) {
		one, again := r.find([]byte{i}, now)
		if r.done(one, nil, now); again {
			t.Errorf("read %d is a repeat", i)
		}
	}
	if one, again := r.find([]byte("effect"), now); !again || one != effect {
		t.Error("an effect is forgotten for what has none")
	}
	if one, again := r.find([]byte("slow"), now.Add(time.Hour)); !again || one != slow {
		t.Error("what is under way is forgotten")
	}
	if len(r) > repeatCount {
		t.Errorf("%d are remembered", len(r))
	}
	for i := range byte(repeatCount) { // of as many effects the oldest goes
		one, _ := r.find([]byte{0xFF, i}, now)
		r.done(one, [][]byte{{0}}, now)
	}
	if one, again := r.find([]byte("slow"), now); !again || one != slow {
		t.Error("what is under way is forgotten for effects")
	}
	if _, again := r.find([]byte("effect"), now); again {
		t.Error("the oldest effect is remembered")
	}
}
