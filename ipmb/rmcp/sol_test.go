package rmcp

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

func TestSOLSession(t *testing.T) {
	s, p := withSOL(t)
	c := s.admin()
	c.want("nobody", c.do(6, 0x4A, 1), 0, 1, 0, 0)
	c.want("no session", c.do(6, 0x4B, 1, 1), 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0)
	c.activate()
	p.says(t, "login: 0123")
	c.wantSOL("output", 1, 0, 0, 0, "login: 0123")
	c.sendSOL(solPacket{Seq: 1, Ack: 1, Count: 11, Data: []byte("root\r")})
	c.wantSOL("input", 0, 1, 5, 0, "")
	hears(t, p, "root\r")
	c.sendSOL(solPacket{Seq: 2, Op: solBreak})
	c.wantSOL("break", 0, 2, 0, 0, "")
	hears(t, p, "BREAK")
	p.says(t, "")
	p.says(t, "after a loss")
	c.wantSOL("overrun", 2, 0, 0, solOverrun, "after a loss")
	c.sendSOL(solPacket{Ack: 2, Count: 12})
	p.power(false)
	c.wantSOL("power off", 0, 0, 0, solUnavailable, "")
	p.power(true)
	c.wantSOL("power on", 0, 0, 0, 0, "")

	c.want("one", c.do(6, 0x4A, 1), 0, 1, 1, 0)
	id := word(c.id)
	c.want("whose", c.do(6, 0x4B, 1, 1), append(append([]byte{0}, id...), 1, 0, 0, 0, 0, 0, 0, 0)...)
	c.want("again", c.do(6, 0x48, activateSOL...), 0x80)
	c.want("suspend encryption", c.do(6, 0x55, 1, 1, 0), 0x81)
	c.want("resume", c.do(6, 0x55, 1, 1, 1), 0)
	c.want("a new vector", c.do(6, 0x55, 1, 1, 2), 0x80)
	c.want("deactivate", c.do(6, 0x49, 1, 1, 0, 0, 0, 0), 0)
	next(t, p.closed)
	c.want("suspend without payload", c.do(6, 0x55, 1, 1, 0), 0x83)
	c.want("deactivate again", c.do(6, 0x49, 1, 1, 0, 0, 0, 1), 0x80)
	c.activate()
}

func TestSOLRefusals(t *testing.T) {
	s, _ := withSOL(t)
	c := s.admin()
	for _, r := range []struct {
		why  string
		cmd  ipmb.Cmd
		data []byte
		want byte
	}{
		{"no such payload", 0x48, []byte{2, 1, 0xC0, 0, 0, 0}, 0xCC},
		{"instance 0", 0x48, []byte{1, 0, 0xC0, 0, 0, 0}, 0xCC},
		{"instance 2", 0x48, []byte{1, 2, 0xC0, 0, 0, 0}, 0x82},
		{"without encryption", 0x48, []byte{1, 1, 0x40, 0, 0, 0}, 0x84},
		{"nothing active", 0x49, []byte{1, 1, 0, 0, 0, 0}, 0x80},
		{"status of IPMI", 0x4A, []byte{0}, 0xCC},
		{"instance 2 of one", 0x4B, []byte{1, 2}, 0xCC},
		{"no channel", 0x4E, []byte{3}, 0xCC},
		{"no payload", 0x4F, []byte{0x0E, 3}, 0x80},
	} {
		if got := c.do(6, r.cmd, r.data...); len(got) != 1 || got[0] != r.want {
			t.Errorf("%s: % x, want %02x", r.why, got, r.want)
		}
	}
	c.want("support", c.do(6, 0x4E, 0x0E), 0, 3, 0, 0x3F, 0, 0, 0, 0, 0)
	c.want("version", c.do(6, 0x4F, 1, 1), 0, 0x10)
	c.want("version of a login", c.do(6, 0x4F, 1, 0x12), 0, 0x10)

	bob := s.dial(s.cfg.Suites[2], "bob", "builder", 0x12)
	if got := bob.login(nil); got != StatusOK {
		t.Fatal(got)
	}
	bob.want("below the privilege", bob.do(6, 0x48, activateSOL...), 0xD4)
	s.setParam(mc.SOLAuth, 0xC0|byte(ipmb.PrivilegeUser))
	bob.want("not let to it", bob.do(6, 0x48, activateSOL...), 0xD4)
	c.activate()
	bob.want("nor to end another's", bob.do(6, 0x49, 1, 1, 0, 0, 0, 0), 0xD4)
	c.want("which goes on", c.do(6, 0x4A, 1), 0, 1, 1, 0)
	c.want("deactivate", c.do(6, 0x49, 1, 1, 0, 0, 0, 0), 0)
	s.setParam(mc.SOLEnable, 0)
	c.want("disabled", c.do(6, 0x48, activateSOL...), 0x81)
}

// Another session's deactivation, who takes the port, and the end of the
// session end a payload.
func TestSOLEnds(t *testing.T) {
	s, p := withSOL(t)
	c, other := s.admin(), s.admin()
	c.activate()
	other.want("active elsewhere", other.do(6, 0x48, activateSOL...), 0x80)
	other.want("deactivate", other.do(6, 0x49, 1, 1, 0, 0, 0, 0), 0)
	c.wantSOL("is told", 0, 0, 0, solDeactivated, "")
	next(t, p.closed)
	c.sendSOL(solPacket{Seq: 1, Data: []byte("x")}) // to nobody
	c.wantSOL("is told again", 0, 0, 0, solDeactivated, "")
	c.sendSOL(solPacket{Ack: 1})
	c.ping()

	other.activate()
	p.take()
	other.wantSOL("is told", 0, 0, 0, solDeactivated, "")
	next(t, p.closed)

	until(t, "nobody has the payload", func() bool { return other.do(6, 0x4A, 1)[2] == 0 })
	c.activate()
	c.want("close", c.do(6, 0x3C, word(c.id)...), 0)
	next(t, p.closed)
	until(t, "nobody has the payload", func() bool { return other.do(6, 0x4A, 1)[2] == 0 })
}

// A packet that came before, with the number of its session, is not taken
// again; nor is one of another session's payload.
func TestSOLReplay(t *testing.T) {
	s, p := withSOL(t)
	c, other := s.admin(), s.admin()
	c.activate()
	c.seq++
	b := c.keys.appendSealed(nil, PayloadSOL, c.id, c.seq, solPacket{Seq: 1, Data: []byte("rm\r")}.append(nil))
	c.write(b)
	c.wantSOL("input", 0, 1, 3, 0, "")
	hears(t, p, "rm\r")
	c.sendSOL(solPacket{Seq: 2, Data: []byte("y")})
	c.wantSOL("input", 0, 2, 1, 0, "")
	hears(t, p, "y")
	c.write(b)
	other.sendSOL(solPacket{Seq: 3, Data: []byte("evil")})
	other.wantSOL("has none", 0, 0, 0, solDeactivated, "")
	c.ping()
	c.sendSOL(solPacket{Seq: 3, Data: []byte("z")})
	c.wantSOL("input", 0, 3, 1, 0, "")
	hears(t, p, "z")
}

// While the system takes nothing, a flush makes room.
func TestSOLFlushesInput(t *testing.T) {
	p := newPort()
	p.full = make(chan struct{})
	c := withConsole(t, p).admin()
	c.activate()
	c.sendSOL(solPacket{Seq: 1, Data: []byte("a")})
	c.wantSOL("first", 0, 1, 1, 0, "")
	long := bytes.Repeat([]byte("b"), solMaxData)
	n, seq := 1, uint8(1)
	for n < solRoom {
		seq = seq%solMaxSeq + 1
		c.sendSOL(solPacket{Seq: seq, Data: long})
		got := c.sol()
		n += int(got.Count)
		if got.Ack != seq || got.Count == 0 {
			t.Fatalf("%+v with %d taken", got, n)
		}
	}
	seq = seq%solMaxSeq + 1
	c.sendSOL(solPacket{Seq: seq, Data: []byte("c")})
	c.wantSOL("refused", 0, seq, 0, solNACK, "")
	c.sendSOL(solPacket{Op: solFlushIn})
	c.wantSOL("room again", 0, 0, 0, 0, "")
	c.sendSOL(solPacket{Seq: seq, Data: []byte("d")})
	c.wantSOL("taken", 0, seq, 1, 0, "")
	close(p.full)
	heard := next(t, p.heard)
	for heard[len(heard)-1] != 'd' {
		heard += next(t, p.heard)
	}
	if heard[0] != 'a' || len(heard) > solRoom {
		t.Errorf("the system hears %d characters", len(heard))
	}
}

var errPort = errors.New("no such port")

type noPort struct{}

func (noPort) Open(context.Context, Opening) (Line, error) { return nil, errPort }

func TestSOLWithoutPort(t *testing.T) {
	c := withConsole(t, noPort{}).admin()
	if got := c.do(6, 0x48, activateSOL...); len(got) != 1 || got[0] != byte(ipmb.ErrUnspecified) {
		t.Errorf("% x", got)
	}
}

// A session with a payload whose console is gone ends though nobody else comes.
func TestSOLIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newSite(t).Sessions
		s := &session{id: 5, handle: 1, last: time.Now(), keys: &keys{}}
		table.all[5], table.handles[1] = s, s
		stop, ended := make(chan struct{}), s.ended()
		go table.watchIdle(stop, s)
		time.Sleep(IdleTime - time.Second)
		table.mu.Lock()
		s.last = time.Now() // it says something
		table.mu.Unlock()
		select {
		case <-ended:
			t.Error("ended though it spoke")
		case <-time.After(IdleTime):
		}
		select {
		case <-ended:
		case <-time.After(2 * time.Second):
			t.Error("goes on")
		}
		close(stop)
		synctest.Wait()
	})
}

// A payload is as private as its session, and not less than the parameter asks.
func TestSOLPrivacy(t *testing.T) {
	for name, c := range map[string]struct {
		session *session
		force   byte
		encrypt bool
		want    error
	}{
		"as always":               {&session{keys: &keys{}}, 0xC0, true, nil},
		"less than the session":   {&session{keys: &keys{}}, 0, false, ErrPayloadReadable},
		"suite 12":                {&session{keys: &weakKeys{crypt: &keys{}}}, 0xC0, true, nil},
		"more than the session":   {&session{keys: &weakKeys{}}, 0, true, ErrPayloadPrivate},
		"forced":                  {&session{keys: &weakKeys{}}, 0xC0, false, ErrPayloadReadable},
		"readable, as it may be":  {&session{keys: &weakKeys{}}, 0x40, false, nil},
		"a session of IPMI 1.5":   {&session{keys: &weakKeys{}, v15: &challenge{}}, 0, false, ipmb.ErrState},
		"one that is over, again": {&session{}, 0xC0, true, ErrPayloadPrivate},
	} {
		s := newSite(t)
		s.params = map[uint8][]byte{mc.SOLAuth: {c.force | byte(ipmb.PrivilegeAdmin)}}
		if err := s.sol.privacy(c.session, c.encrypt); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
