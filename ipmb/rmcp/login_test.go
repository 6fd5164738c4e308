package rmcp

import (
	"bytes"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

func TestLogin(t *testing.T) {
	s := newSite(t)
	for _, suite := range s.cfg.Suites {
		for _, role := range []byte{0x14, 0x04, 0x13, 0x02} {
			if got := s.client(suite, "admin", "secret", role).login(nil); got != StatusOK {
				t.Errorf("suite %d, role %02x: %02x", suite.ID, role, got)
			}
		}
	}
	if n := s.active(); n != 12 {
		t.Errorf("%d sessions", n)
	}
}

func TestTwoKeyLogin(t *testing.T) {
	s := newSite(t)
	s.key = password("the controller's")
	if got := s.client(s.cfg.Suites[1], "admin", "secret", 0x14).login(s.key); got != StatusOK {
		t.Errorf("%02x", got)
	}
}

// S8, and what a user may not. Who lacks a password learns nothing of roles.
func TestRefusedLogins(t *testing.T) {
	s := newSite(t)
	for name, c := range map[string]struct {
		user, pass string
		role       byte
		want       Status
	}{
		"wrong password":       {"admin", "secreT", 0x14, StatusIntegrity},
		"empty password":       {"admin", "", 0x14, StatusIntegrity},
		"unknown":              {"nobody", "secret", 0x14, StatusIntegrity},
		"null user":            {"", "null", 0x14, StatusIntegrity},
		"bob as administrator": {"bob", "builder", 0x14, StatusUnauthorized},
		"… by privilege":       {"bob", "builder", 0x04, StatusUnauthorized},
		"… without password":   {"bob", "wrong", 0x14, StatusIntegrity},
		"role 0":               {"admin", "secret", 0x10, StatusInvalidRole},
		"role 9":               {"admin", "secret", 0x19, StatusInvalidRole},
		"long name":            {"admin123456789012", "secret", 0x14, StatusNameLength},
	} {
		if got := s.client(s.cfg.Suites[1], c.user, c.pass, c.role).login(nil); got != c.want {
			t.Errorf("%s: %02x, want %02x", name, got, c.want)
		}
	}
	if n := s.active(); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

// S1, S2: nothing that is unsigned or readable, nothing mixed or reserved.
func TestCipherSuites(t *testing.T) {
	s := newSite(t)
	good := 0
	for auth := range byte(6) {
		for integrity := range byte(6) {
			for conf := range byte(4) {
				b, _ := s.step(PayloadOpenRequest, openBytes(0, auth, integrity, conf), nil, source, time.Now())
				switch [3]byte{auth, integrity, conf} {
				case [3]byte{1, 1, 1}, [3]byte{2, 2, 1}, [3]byte{3, 4, 1}:
					good++
					if b.body[1] != 0 || b.body[2] != byte(ipmb.PrivilegeAdmin) {
						t.Errorf("%d/%d/%d: % x", auth, integrity, conf, b.body)
					}
				default:
					if Status(b.body[1]) != StatusNoCipherMatch || len(b.body) != 8 {
						t.Errorf("%d/%d/%d: % x", auth, integrity, conf, b.body)
					}
				}
			}
		}
	}
	if good != 3 {
		t.Errorf("%d suites", good)
	}
}

// S4: lengths that lie.
func TestLyingLengths(t *testing.T) {
	s := newSite(t)
	c := s.client(s.cfg.Suites[1], "admin", "secret", 0x14)
	if got := c.open(); got != StatusOK {
		t.Fatal(got)
	}
	for _, n := range []byte{0, 4, 6, 16, 17, 255} {
		b := c.first()
		b[27] = n
		if got := c.ask(PayloadRAKP1, b); Status(got[1]) != StatusNameLength || len(got) != 8 {
			t.Errorf("name of %d: % x", n, got)
		}
	}
	for n := range rakp1Len {
		if got := c.ask(PayloadRAKP1, c.first()[:n]); got != nil {
			t.Errorf("%d bytes: % x", n, got)
		}
	}
	for n := range openLen {
		if got := c.ask(PayloadOpenRequest, openBytes(0, 3, 4, 1)[:n]); got != nil {
			t.Errorf("%d bytes: % x", n, got)
		}
	}
}

// S6: no step before the one ahead of it, none after a wrong proof.
func TestOrder(t *testing.T) {
	s := newSite(t)
	c := s.client(s.cfg.Suites[1], "admin", "secret", 0x14)
	if b := c.ask(PayloadRAKP1, c.first()); Status(b[1]) != StatusBadSession {
		t.Errorf("RAKP 1 without Open Session: % x", b)
	}
	c.open()
	c.theirs = make([]byte, randomLen)
	if b := c.ask(PayloadRAKP3, c.third()); Status(b[1]) != StatusBadSession {
		t.Errorf("RAKP 3 before RAKP 1: % x", b)
	}
	c.theirs = bytes.Clone(c.ask(PayloadRAKP1, c.first())[8:24])
	bad := c.third()
	bad[8] ^= 1
	if b := c.ask(PayloadRAKP3, bad); Status(b[1]) != StatusIntegrity {
		t.Errorf("wrong proof: % x", b)
	}
	if b := c.ask(PayloadRAKP3, c.third()); Status(b[1]) != StatusBadSession {
		t.Errorf("right proof after a wrong one: % x", b)
	}
}

// Clients repeat what got no answer in time.
func TestRepeatedSteps(t *testing.T) {
	s := newSite(t)
	c := s.client(s.cfg.Suites[1], "admin", "secret", 0x14)
	c.open()
	one, two := c.ask(PayloadRAKP1, c.first()), c.ask(PayloadRAKP1, c.first())
	c.theirs = bytes.Clone(one[8:24])
	three, four := c.ask(PayloadRAKP3, c.third()), c.ask(PayloadRAKP3, c.third())
	if !bytes.Equal(one, two) || !bytes.Equal(three, four) || three[1] != 0 || s.active() != 1 {
		t.Errorf("% x, % x; % x, % x; %d sessions", one, two, three, four, s.active())
	}
}

// FreeIPMI does so with another message tag, which the answer then has.
func TestRepeatedWithAnotherTag(t *testing.T) {
	s := newSite(t)
	c := s.client(s.cfg.Suites[1], "admin", "secret", 0x14)
	c.open()
	again := func(kind PayloadType, message []byte) []byte {
		first := c.ask(kind, message)
		message[0] = 99
		second := c.ask(kind, message)
		if first[1] != 0 || first[0] == 99 || second[0] != 99 || !bytes.Equal(first[1:], second[1:]) {
			t.Errorf("% x, then % x", first, second)
		}
		return first
	}
	c.theirs = bytes.Clone(again(PayloadRAKP1, c.first())[8:24])
	again(PayloadRAKP3, c.third())
	other := c.first()
	other[8] ^= 1
	if b := c.ask(PayloadRAKP1, other); b[1] == 0 || s.active() != 1 {
		t.Errorf("another one: % x, %d sessions", b, s.active())
	}
}

// S7: the answers to a name that is there and to one that is not look alike.
func TestUnknownLooksKnown(t *testing.T) {
	s := newSite(t)
	for _, role := range []byte{0x14, 0x04} {
		var answers [][]byte
		for _, name := range []string{"admin", "bobby", "bob"} {
			c := s.client(s.cfg.Suites[1], name, "wrong", role)
			c.open()
			b := c.ask(PayloadRAKP1, c.first())
			c.theirs = bytes.Clone(b[8:24])
			answers = append(answers, append(bytes.Clone(b[:8]), byte(len(b))), c.ask(PayloadRAKP3, c.third()))
		}
		for i, a := range answers {
			if !bytes.Equal(a, answers[i%2]) {
				t.Errorf("role %02x: % x, and % x", role, answers[i%2], a)
			}
		}
	}
}

// The table is bounded, and so is what one user has of it.
func TestFull(t *testing.T) {
	s := newSite(t)
	if got := s.client(s.cfg.Suites[1], "bob", "builder", 0x12).login(nil); got != StatusOK {
		t.Fatal(got)
	}
	if got := s.client(s.cfg.Suites[1], "bob", "builder", 0x12).login(nil); got != StatusNoResources {
		t.Errorf("bob's second: %02x", got)
	}
	for range MaxSessions - 1 {
		if got := s.client(s.cfg.Suites[1], "admin", "secret", 0x14).login(nil); got != StatusOK {
			t.Fatal(got)
		}
	}
	if got := s.client(s.cfg.Suites[1], "admin", "secret", 0x14).login(nil); got != StatusNoResources {
		t.Errorf("one too many: %02x", got)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(time.Now().Add(IdleTime + time.Second))
	if n := s.active(); n != 0 {
		t.Errorf("%d idle sessions", n)
	}
}

func TestDisabledChannel(t *testing.T) {
	s := newSite(t)
	s.mode = mc.AccessDisabled
	if got := s.client(s.cfg.Suites[1], "admin", "secret", 0x14).open(); got != StatusNoResources {
		t.Errorf("%02x", got)
	}
}
