package attack

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// S1: without authentication nobody comes in, whatever he asks for beside it.
func TestAttackS1CipherZero(t *testing.T) { everyDoor(t, cipherZero) }

func cipherZero(t *testing.T, d door) {
	for integrity := range byte(5) {
		for confidentiality := range byte(4) {
			c := d.console(t)
			c.suite = suite{auth: 0, integrity: integrity, confidentiality: confidentiality}
			if b := c.ask(payloadOpen, c.openRequest()); b[1] != 0x11 || len(b) != 8 {
				t.Errorf("0/%d/%d: % x", integrity, confidentiality, b)
			}
		}
	}
	listed(t, d, func(id, auth byte) bool { return id != 0 && auth != 0 })
	d.login(t)
}

// listed asks for the cipher suites, which are all to be as ok wants them.
func listed(t *testing.T, d door, ok func(id, auth byte) bool) {
	t.Helper()
	c := d.console(t)
	got := c.ask(payloadIPMI, message(1, 6, 0x54, 0x0E, 0, 0x80))
	if len(got) < 10 {
		t.Fatalf("cipher suites: % x", got)
	}
	records := got[8 : len(got)-1]
	if len(records)%5 != 0 || records[1] != 17 {
		t.Errorf("suites % x", records)
	}
	for r := range slices.Chunk(records, 5) {
		if r[0] != 0xC0 || !ok(r[1], r[2]&0x3F) || r[3]&0x3F == 0 || r[4]&0x3F == 0 {
			t.Errorf("suite % x", r)
		}
	}
}

// S2: what leaves messages unsigned or readable is refused, and what mixes the
// algorithms of suites, or names those that are reserved, as well.
func TestAttackS2WeakSuites(t *testing.T) { everyDoor(t, weakSuites) }

func weakSuites(t *testing.T, d door) {
	c := d.console(t)
	for auth := range byte(6) {
		for integrity := range byte(6) {
			for confidentiality := range byte(5) {
				c.suite = suite{auth: auth, integrity: integrity, confidentiality: confidentiality}
				b := c.ask(payloadOpen, c.openRequest())
				good := [3]byte{auth, integrity, confidentiality} == [3]byte{1, 1, 1} || [3]byte{auth, integrity, confidentiality} == [3]byte{3, 4, 1}
				if refused := b[1] == 0x11 || b[1] == 0x12; good == refused || refused && len(b) != 8 {
					t.Errorf("%d/%d/%d: % x", auth, integrity, confidentiality, b)
				}
			}
		}
	}
	for _, reserved := range []byte{0x20, 0x3F, 0x40, 0xC0, 0xFF} {
		c.suite = suite{auth: reserved, integrity: reserved, confidentiality: reserved}
		if b := c.ask(payloadOpen, c.openRequest()); b[1] != 0x11 && b[1] != 0x12 {
			t.Errorf("%02x: % x", reserved, b)
		}
	}
	listed(t, d, func(id, _ byte) bool { return id == 17 || id == 3 })
}

// S4: lengths that lie, and datagrams of any size.
func TestAttackS4Lengths(t *testing.T) { everyDoor(t, lyingLengths) }

func lyingLengths(t *testing.T, d door) {
	c := d.console(t)
	if b := c.ask(payloadOpen, c.openRequest()); b[1] != 0 {
		t.Fatalf("% x", b)
	} else {
		c.id = uint32(b[8]) | uint32(b[9])<<8 | uint32(b[10])<<16 | uint32(b[11])<<24
	}
	for _, n := range []byte{0, 4, 6, 16, 17, 127, 255} {
		m := c.rakp1()
		m[27] = n
		if b := c.ask(payloadRAKP1, m); b[1] != 0x0C || len(b) != 8 {
			t.Errorf("a name that says it has %d bytes: % x", n, b)
		}
	}
	for n := range len(c.rakp1()) {
		c.send(plus(payloadRAKP1, 0, 0, c.rakp1()[:n]))
		for _, b := range c.settle() {
			if b[17] == 0 {
				t.Errorf("RAKP 1 of %d bytes: % x", n, b)
			}
		}
	}
	for n := range len(c.openRequest()) {
		c.send(plus(payloadOpen, 0, 0, c.openRequest()[:n]))
		for _, b := range c.settle() {
			if b[17] == 0 {
				t.Errorf("Open Session of %d bytes: % x", n, b)
			}
		}
	}
	for _, size := range []int{0, 1, 3, 4, 15, 16, 17, 1472, 1500, 1501, 8000, 65000, 65507} {
		for _, kind := range []byte{payloadIPMI, payloadOpen, payloadRAKP1, payloadRAKP3, 0x3F, 0xC0} {
			b := make([]byte, size)
			copy(b, plus(kind, c.id, 1, nil))
			if size > 16 {
				b[14], b[15] = byte(size-16), byte((size-16)>>8)
			}
			c.send(b)
		}
		for _, b := range c.settle() {
			if b[5] != payloadRAKP1+1 && b[5] != payloadRAKP3+1 && b[5] != payloadOpen+1 || b[17] == 0 {
				t.Errorf("%d bytes: % x", size, b)
			}
		}
	}
	b := c.ask(payloadRAKP1, c.rakp1())
	if b[1] != 0 {
		t.Fatalf("RAKP 1 after all that: % x", b)
	}
	c.theirs = bytes.Clone(b[8:24])
	third := c.rakp3()
	for n := 8; n < len(third); n += 8 { // a proof that is cut off is none
		short := d.stranger(t)
		if status := short.begin(); status != 0 {
			t.Fatalf("%02x", status)
		}
		if b := short.ask(payloadRAKP3, short.rakp3()[:n]); b[1] == 0 {
			t.Errorf("a proof of %d bytes: % x", n-8, b)
		}
	}
	if b := c.ask(payloadRAKP3, third); b[1] != 0 {
		t.Errorf("the login that all this happened in: % x", b)
	}
}

// S6: nothing is granted before RAKP Message 4; no step is left out; user 0
// cannot be configured; nothing of a session is left when it is closed.
func TestAttackS6Order(t *testing.T) { everyDoor(t, loginOrder) }

func loginOrder(t *testing.T, d door) {
	c := d.console(t)
	outOfOrder := func(what string, kind byte, payload []byte) { // the shelf's door says nothing
		c.send(plus(kind, 0, 0, payload))
		if got := c.answer(kind+1, time.Second); got != nil && got[1] != 0x02 {
			t.Errorf("%s: % x", what, got)
		}
	}
	outOfOrder("RAKP 1 without Open Session", payloadRAKP1, c.rakp1())
	if status := c.begin(); status != 0 {
		t.Fatalf("%02x", status)
	}
	early := c.suite.keys(c.mac([]byte(d.password), c.random[:], c.theirs, []byte{c.role, byte(len(c.door.user))}, []byte(c.door.user)))
	c.send(early.seal(payloadIPMI, c.id, 1, message(1, 0, 1)))
	c.send(plus(payloadIPMI, c.id, 1, message(1, 0, 1)))
	if got := c.settle(); len(got) > 0 {
		t.Errorf("served before RAKP 3: % x", got)
	}
	guess := c.rakp3()
	guess[8] ^= 1
	if got := c.ask(payloadRAKP3, guess); got[1] != 0x0F {
		t.Errorf("wrong proof: % x", got)
	}
	outOfOrder("right proof after a wrong one", payloadRAKP3, c.rakp3())

	c = d.login(t)
	if got := c.do(0, 2, 3); got[0] != 0xD4 {
		t.Errorf("a session begins with more than a user may: % x", got)
	}
	c.raise()
	for _, set := range [][]byte{{0x43, 0x91, 0, 4, 0}, append([]byte{0x45, 0}, bytes.Repeat([]byte{'x'}, 16)...), {0x47, 0, 1}, append([]byte{0x47, 0, 2}, bytes.Repeat([]byte{'x'}, 16)...)} {
		if got := c.do(6, ipmb.Cmd(set[0]), set[1:]...); got[0] != 0xCC {
			t.Errorf("user 0, command %02x: % x", set[0], got)
		}
	}
	last := c.keys.seal(payloadIPMI, c.id, c.seq+2, message(60, 6, 1))
	if got := c.do(6, 0x3C, word(c.id)...); got[0] != 0 {
		t.Fatalf("close: % x", got)
	}
	c.send(last)
	if got := c.settle(); len(got) > 0 {
		t.Errorf("served after its end: % x", got)
	}
	other := d.login(t)
	if got := other.do(6, 0x3D, append([]byte{0xFF}, word(c.id)...)...); len(got) != 4 {
		t.Errorf("the closed session is told of: % x", got)
	}
}

// S7: RAKP Message 2 gives a keyed hash of the password to whoever asks. What
// is left to do: no default password but a long random one, the same answers to
// names that are there and that are not, and late ones to those who guess.
func TestAttackS7HashLeak(t *testing.T) { everyDoor(t, hashLeak) }

// S7: a node makes up the password that it begins with: no two have the same,
// and none can be guessed.
func TestAttackS7Passwords(t *testing.T) {
	one, other := lone(t).door.password, lone(t).door.password
	for _, p := range []string{one, other} {
		if len(p) != 16 || strings.Trim(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") != "" {
			t.Errorf("a password has %d characters", len(p))
		}
	}
	if one == other {
		t.Error("two nodes have one password")
	}
}

func hashLeak(t *testing.T, d door) {
	var first [][]byte
	for _, name := range []string{"admin", "nobod", "root_"} {
		c := d.stranger(t)
		c.door.user, c.door.password = name, "a guess"
		open := c.ask(payloadOpen, c.openRequest())
		c.id = uint32(open[8]) | uint32(open[9])<<8 | uint32(open[10])<<16 | uint32(open[11])<<24
		second := c.ask(payloadRAKP1, c.rakp1())
		c.theirs = bytes.Clone(second[8:24])
		if again := c.ask(payloadRAKP1, c.rakp1()); !bytes.Equal(again, second) {
			t.Errorf("%s: RAKP 2 differs from one time to the next", name)
		}
		fourth := c.ask(payloadRAKP3, c.rakp3())
		told := [][]byte{second[:8], second[24:40], {byte(len(second))}, fourth}
		if first == nil {
			first = told
		}
		for i := range told {
			if !bytes.Equal(told[i], first[i]) {
				t.Errorf("%s: part %d is % x, and % x for admin", name, i, told[i], first[i])
			}
		}
	}
	d.login(t) // who knows the password is not kept waiting for those who guess
}

// S8: the null user, empty passwords and anonymous logins are off.
func TestAttackS8Anonymous(t *testing.T) { everyDoor(t, anonymous) }

func anonymous(t *testing.T, d door) {
	for name, who := range map[string]door{
		"null user":             {user: "", password: ""},
		"null user, test":       {user: "", password: "test"},
		"his password":          {user: "", password: d.password},
		"no password":           {user: d.user, password: ""},
		"zeros":                 {user: d.user, password: strings.Repeat("\x00", 16)},
		"the usual one":         {user: "ADMIN", password: "ADMIN"},
		"the other usual one":   {user: "root", password: "calvin"},
		"name and password":     {user: d.user, password: d.user},
		"a name cut off":        {user: d.user[:3], password: d.password},
		"a name with a zero":    {user: d.user + "\x00", password: d.password},
		"another user with his": {user: "operator", password: d.password},
	} {
		who.name, who.addr = name, d.addr
		for _, role := range []byte{0x14, 0x04, 0x12, 0x02} {
			c := who.stranger(t)
			c.role = role
			if got := c.logIn(); got == 0 {
				t.Errorf("%s comes in", name)
			}
		}
	}
	// A user who is enabled, may do all, and has no password.
	admin := d.login(t).raise()
	for _, set := range [][]byte{
		append([]byte{0x45, 5}, append([]byte("carol"), make([]byte, 11)...)...),
		{0x47, 5, 1},
		{0x43, 0x91, 5, 4},
		{0x47, 1, 1},
		{0x43, 0x91, 1, 4},
	} {
		if got := admin.do(6, ipmb.Cmd(set[0]), set[1:]...); got[0] != 0 {
			t.Fatalf("%02x: % x", set[0], got)
		}
	}
	for _, user := range []string{"carol", ""} {
		c := door{"none", d.addr, user, ""}.console(t)
		if got := c.logIn(); got == 0 {
			t.Errorf("%q comes in without a password", user)
		}
	}
	if got := admin.do(6, 0x47, append([]byte{5, 2}, "sixteen letters!"...)...); got[0] != 0 {
		t.Fatalf("% x", got)
	}
	door{"carol", d.addr, "carol", "sixteen letters!"}.login(t) // it was the password that she lacked
	got := d.console(t).ask(payloadIPMI, message(1, 6, 0x38, 0x8E, 4))
	if len(got) != 16 {
		t.Fatalf("capabilities: % x", got)
	}
	if status := got[9]; status&0x03 != 0 { // anonymous login, null users
		t.Errorf("status %02x lets the nameless in", status)
	}
}
