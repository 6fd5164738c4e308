package attack

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/vm"
)

// powerOff is what attackers would have done: Chassis Control, power down.
var powerOff = message(33, ipmb.NetFnChassis, 0x02, 0)

// S3: a packet of a session that is not signed and encrypted by its keys, with
// its algorithms, is as if it had never come.
func TestAttackS3UnprotectedPackets(t *testing.T) {
	b := lone(t)
	c := b.door.login(t).raise()
	third := b.door.console(t)
	third.suite = suite3
	if got := third.logIn(); got != 0 {
		t.Fatalf("%02x", got)
	}
	foreign := suite17.keys([]byte("another integrity key"))
	k, id := c.keys, c.id
	good := func() []byte { return k.seal(payloadIPMI, id, 2, powerOff) }
	flip := func(at int) []byte {
		p := good()
		if at < 0 {
			at += len(p)
		}
		p[at] ^= 1
		return p
	}
	for name, p := range map[string][]byte{
		"bare":                             plus(payloadIPMI, id, 2, powerOff),
		"bare, which says it is signed":    plus(payloadIPMI|authenticated, id, 2, powerOff),
		"bare, which says it is encrypted": plus(payloadIPMI|encrypted, id, 2, k.crypt(powerOff)),
		"signed and readable":              k.sign(payloadIPMI, id, 2, powerOff),
		"signed, says it is encrypted":     k.sign(payloadIPMI|encrypted, id, 2, powerOff),
		"by other keys":                    foreign.seal(payloadIPMI, id, 2, powerOff),
		"by the keys of another session":   third.keys.seal(payloadIPMI, id, 2, powerOff),
		"for another session":              k.seal(payloadIPMI, third.id, 2, powerOff),
		"by another suite's algorithms":    keys{suite3, k.k1, k.k2}.seal(payloadIPMI, id, 2, powerOff),
		"without its code":                 good()[:len(good())-16],
		"with half of it":                  good()[:len(good())-8],
		"with a byte more":                 append(good(), 0),
		"another sequence number":          flip(10),
		"another session's id":             flip(6),
		"another type":                     flip(5),
		"another ciphertext":               flip(40),
		"another code":                     flip(-1),
		"another trailer":                  flip(-17),
		"in the framing of IPMI 1.5":       old(0, 2, id, powerOff),
		"… with MD5":                       old(2, 2, id, append(make([]byte, 16), powerOff...)),
		"outside a session":                plus(payloadIPMI, 0, 0, powerOff),
		"outside, in the other framing":    old(0, 0, 0, powerOff),
	} {
		c.send(p)
		if got := c.settle(); len(got) > 0 {
			t.Errorf("%s: % x", name, got)
		}
	}
	b.untouched(t)
	if got := c.tell(powerOff); got[0] != 0 {
		t.Fatalf("the same, as it ought to be: % x", got)
	}
	if err := b.guest.WaitCommand(t.Context(), vm.CommandPowerOff); err != nil {
		t.Error(err) // or the test shows nothing
	}
}

// S5: types of authentication and payload are numbers that a packet names: each
// of them, in a session and outside, finds nothing to break.
func TestAttackS5TypeNumbers(t *testing.T) {
	b := lone(t)
	c := b.door.login(t).raise()
	for kind := range 256 {
		for _, id := range []uint32{0, c.id, 0xFFFFFFFF} {
			c.send(plus(byte(kind), id, 0, powerOff))
			if kind != payloadIPMI {
				c.send(c.keys.seal(byte(kind)&0x3F, id, 1, powerOff))
			}
			c.send(old(byte(kind), 0, id, powerOff))
			c.send(old(byte(kind), 1, id, append(make([]byte, 16), powerOff...)))
		}
		class := ping(1)
		class[3] = byte(kind)
		if kind != 6 {
			c.send(class)
		}
		for _, got := range c.settle() {
			if got[5] == payloadIPMI { // what is answered are refusals of steps of a login
				t.Errorf("type %02x: % x", kind, got)
			}
		}
	}
	b.untouched(t)
	if got := c.do(ipmb.NetFnApp, 1); got[0] != 0 {
		t.Errorf("the session: % x", got)
	}
	b.door.login(t)
}

// S12: what was recorded does nothing again, and numbers far from the window
// are none.
func TestAttackS12Replay(t *testing.T) {
	b := lone(t)
	c := b.door.login(t).raise()
	reset := c.keys.seal(payloadIPMI, c.id, c.seq+1, message(30, ipmb.NetFnChassis, 0x02, 3))
	c.seq++
	c.send(reset)
	if c.read(patience) == nil {
		t.Fatal("no answer to a reset")
	}
	for range 20 {
		c.send(reset)
	}
	for _, far := range []uint32{0, c.seq - 40, c.seq + 17, c.seq + 1<<20, c.seq + 1<<31, 0xFFFFFFFF} {
		c.send(c.keys.seal(payloadIPMI, c.id, far, powerOff))
	}
	if got := c.settle(); len(got) > 0 {
		t.Errorf("replayed: % x", got)
	}
	if got := c.do(ipmb.NetFnApp, 1); got[0] != 0 {
		t.Errorf("what comes after: % x", got)
	}
	resets := 0
	for _, cmd := range b.guest.Commands() {
		if cmd == vm.CommandReset {
			resets++
		} else if forPower[cmd] {
			t.Errorf("the VM was told %v", cmd)
		}
	}
	if resets != 1 {
		t.Errorf("%d resets", resets)
	}
}

// S12: those who begin logins and do not end them keep nobody out; there is an
// end to how many sessions there are, and room again when they close.
func TestAttackS12Crowds(t *testing.T) {
	everyDoor(t, func(t *testing.T, d door) {
		c := d.login(t)
		halfOpen(t, d)
		fill(t, d)
		if got := c.do(ipmb.NetFnApp, 1); got[0] != 0 {
			t.Errorf("the first session: % x", got)
		}
	})
}

// halfOpen floods a door with logins that go no further while one is under way.
func halfOpen(t *testing.T, d door) {
	t.Helper()
	flood := d.stranger(t)
	one := d.stranger(t)
	send := func(n int) {
		for i := range n {
			flood.send(plus(payloadOpen, 0, 0, flood.openRequest()))
			if i%50 == 49 {
				flood.settle()
			}
		}
	}
	send(500)
	if status := one.begin(); status != 0 {
		t.Fatalf("a login in the middle of a flood: %02x", status)
	}
	send(500)
	if b := one.ask(payloadRAKP3, one.rakp3()); b[1] != 0 {
		t.Errorf("a login that a flood went over: % x", b)
	}
}

// fill takes all sessions that there are, and gives them back.
func fill(t *testing.T, d door) {
	t.Helper()
	var all []*console
	for len(all) < 300 {
		c := d.console(t)
		if got := c.logIn(); got != 0 {
			if got != 0x01 {
				t.Errorf("session %d: status %02x", len(all), got)
			}
			break
		}
		all = append(all, c)
	}
	if len(all) == 300 {
		t.Error("there is no end to sessions")
	}
	for _, c := range all {
		if got := c.do(ipmb.NetFnApp, 0x3C, word(c.id)...); got[0] != 0 {
			t.Errorf("close: % x", got)
		}
	}
	d.login(t)
}

// Ten good sessions work on while 10,000 datagrams that are random, or once
// were good and were changed, come in between.
func TestAttackNoise(t *testing.T) { everyDoor(t, noisy) }

func noisy(t *testing.T, d door) {
	var good []*console
	for range 10 {
		good = append(good, d.login(t))
	}
	noise := d.stranger(t)
	r := rand.New(rand.NewPCG(4, 2))
	for i := range 10000 {
		c := good[i%10]
		if noise.send(mutant(r, c)); i%100 == 99 {
			noise.settle() // or the socket is full, and what comes is lost unread
		}
		if i%10 == 0 {
			c = good[i/10%10]
			if got := c.do(ipmb.NetFnApp, 1); got[0] != 0 || len(got) != 16 {
				t.Fatalf("session %d after %d: % x", i/10%10, i, got)
			}
		}
	}
	for i, c := range good {
		if got := c.do(ipmb.NetFnApp, 0x3D, 0); len(got) != 19 || got[3] != 10 {
			t.Errorf("session %d: % x", i, got)
		}
	}
}

// mutant is a datagram that is random, or a good one of a session's changed.
func mutant(r *rand.Rand, c *console) []byte {
	b := c.keys.seal(payloadIPMI, c.id, c.seq+r.Uint32N(20), powerOff)
	switch r.IntN(6) {
	case 0:
		b = b[:r.IntN(len(b))]
	case 1:
		b = make([]byte, []int{20, 64, 1472, 8000, 65000}[r.IntN(5)])
		for i := 4; i < min(len(b), 200); i++ {
			b[i] = byte(r.Uint32())
		}
		copy(b, []byte{6, 0, 0xFF, 7, 6, byte(r.Uint32())})
	case 2:
		b = plus(byte(r.Uint32()), c.id, r.Uint32N(50), b[16:r.IntN(len(b)-16)+16])
	case 3:
		b = append(b, make([]byte, 1+r.IntN(40))...)
	case 4:
		login := [][]byte{c.openRequest(), c.rakp1(), append(make([]byte, 8), b...)}[r.IntN(3)]
		login[r.IntN(len(login))] ^= byte(1 + r.IntN(255))
		b = plus([]byte{payloadOpen, payloadRAKP1, payloadRAKP3}[r.IntN(3)], 0, 0, login)
	default:
		b[4+r.IntN(len(b)-4)] ^= byte(1 + r.IntN(255))
	}
	return b
}

// Strangers get one datagram for one, as long as the specification has it:
// whoever forges his address for another's sends him little more than he could
// himself.
func TestAttackAmplification(t *testing.T) { everyDoor(t, amplification) }

func amplification(t *testing.T, d door) {
	c := d.console(t)
	for _, one := range []struct {
		name     string
		question []byte
		answer   int
		silence  bool // will do as well
	}{
		{"ping", ping(200), 28, false},
		{"capabilities, 1.5", old(0, 0, 0, message(1, 6, 0x38, 0x8E, 4)), 30, false},
		{"capabilities, 2.0", plus(payloadIPMI, 0, 0, message(1, 6, 0x38, 0x8E, 4)), 32, false},
		{"GUID", plus(payloadIPMI, 0, 0, message(1, 6, 0x37)), 40, false},
		{"cipher suites", plus(payloadIPMI, 0, 0, message(1, 6, 0x54, 0x0E, 0, 0x80)), 35, false},
		{"Open Session", plus(payloadOpen, 0, 0, c.openRequest()), 52, false},
		{"RAKP 1 of no session", plus(payloadRAKP1, 0, 0, c.rakp1()), 24, true},
		{"RAKP 3 of no session", plus(payloadRAKP3, 0, 0, c.rakp3()), 24, true},
		{"a command", plus(payloadIPMI, 0, 0, message(1, 6, 1)), 0, true},
		{"a long question", plus(payloadIPMI, 0, 0, message(1, 6, 0x37, make([]byte, 200)...)), 24, true},
		{"an answer", plus(payloadIPMI, 0, 0, answerFrame()), 0, true},
	} {
		c.send(one.question)
		wait := patience
		if one.silence {
			wait = time.Second / 2
		}
		got := c.read(wait)
		if len(got) != one.answer && (len(got) > 0 || !one.silence) || len(got)*2 > len(one.question)*5 {
			t.Errorf("%s: %d bytes are answered by %d, want %d: % x", one.name, len(one.question), len(got), one.answer, got)
		}
	}
	if more := c.settle(); len(more) > 0 {
		t.Errorf("and then: % x", more)
	}
}

// answerFrame is a message that is an answer: two doors must not make each
// other talk.
func answerFrame() []byte {
	b, err := ipmb.Frame{To: 0x81, NetFn: ipmb.NetFnApp.Response(), From: ipmb.AddrShelfManager, Seq: 1, Cmd: 0x38, Data: []byte{0}}.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	return b
}
