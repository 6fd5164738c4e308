package rmcp

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// sharing is storing where the processes have a key for each other's logins.
func sharing(t *testing.T, key byte) *site {
	s := newSite(t)
	s.cfg.Store, s.cfg.SharedKey = newFakeStore(), func() ([]byte, error) { return bytes.Repeat([]byte{key}, 32), nil }
	s.cfg.Suites = append(slices.Clone(s.cfg.Suites), suites[3]) // 12, whose login needs the password to its end
	return s
}

// walker is a client that goes from process to process, and has with it what was
// said of its login, as a front has.
type walker struct {
	*client
	at    *site
	state []byte
	moved bool
}

func walk(at *site, suite mc.CipherSuite, name, pass string) *walker {
	w := &walker{client: at.client(suite, name, pass, 0x14), at: at}
	w.ask = func(kind PayloadType, b []byte) []byte {
		var before []byte
		if w.moved {
			before = w.state
		}
		r, ok := w.at.step(kind, b, before, source, time.Now())
		if ok && r.state == nil {
			w.t.Error("nothing is said of a login")
		}
		if ok && Status(r.body[1]) != StatusBadSession { // which is not said
			w.state, w.moved = r.state, false
		}
		return r.body
	}
	return w
}

func (w *walker) move(to *site) { w.at, w.moved = to, true }

// until goes as far as the answer to RAKP Message 1.
func (w *walker) until1() {
	w.t.Helper()
	if got := w.open(); got != StatusOK {
		w.t.Fatalf("open: %02x", got)
	}
	b := w.ask(PayloadRAKP1, w.first())
	if b[1] != 0 {
		w.t.Fatalf("RAKP 1: % x", b)
	}
	w.theirs = bytes.Clone(b[8:24])
}

// A login whose process is gone goes on in the next one from where it was, and in
// the one after it.
func TestLoginGoesOnElsewhere(t *testing.T) {
	s := sharing(t, 1)
	for _, suite := range s.cfg.Suites {
		w := walk(s, suite, "admin", "secret")
		if got := w.open(); got != StatusOK {
			t.Fatalf("suite %d: %02x", suite.ID, got)
		}
		id := w.id
		w.move(sharing(t, 1))
		second := w.ask(PayloadRAKP1, w.first())
		w.theirs = bytes.Clone(second[8:24])
		w.move(sharing(t, 1))
		again := w.first()
		again[0] = 99
		if b := w.ask(PayloadRAKP1, again); b[0] != 99 || !bytes.Equal(b[1:], second[1:]) {
			t.Errorf("suite %d: % x, then % x", suite.ID, second, b)
		}
		w.move(sharing(t, 1))
		third := w.ask(PayloadRAKP3, w.third())
		if third[1] != 0 || w.at.find(id) == nil || w.at.active() != 1 {
			t.Fatalf("suite %d: % x", suite.ID, third)
		}
		if w.state == nil || len(w.state) > 0 {
			t.Errorf("suite %d: of a login that is over % x", suite.ID, w.state)
		}
		sik := w.a.mac(w.password, w.random[:], w.theirs, []byte{w.role, byte(len(w.name))}, []byte(w.name))
		if want := w.a.mac(sik, w.random[:], word(id), testGUID.Wire())[:w.a.codeLen]; !bytes.Equal(third[8:], want) {
			t.Errorf("suite %d: RAKP 4 proves % x, want % x", suite.ID, third[8:], want)
		}
		if b := w.ask(PayloadRAKP3, w.third()); !bytes.Equal(b, third) || w.at.active() != 1 {
			t.Errorf("suite %d: once more % x, %d sessions", suite.ID, b, w.at.active())
		}
	}
}

// What no process of these said, or said to somebody else, too long ago or of a
// login that may not be any more, is no login; nor is what a process said itself.
func TestForgedHandover(t *testing.T) {
	s := sharing(t, 1)
	w := walk(s, s.cfg.Suites[1], "admin", "secret")
	w.until1()
	state := bytes.Clone(w.state)
	with := func(change func(*handover)) []byte {
		key, err := s.shared(handoverLabel)
		if err != nil {
			t.Fatal(err)
		}
		h, err := parseHandover(bytes.Clone(state), key)
		if err != nil {
			t.Fatal(err)
		}
		change(&h)
		return h.append(nil, key)
	}
	account := func(change func(*mc.Account)) func(*site) {
		return func(o *site) {
			old := o.cfg.Account
			o.cfg.Account = func(channel uint8, name string, atLeast ipmb.Privilege) (mc.Account, error) {
				a, err := old(channel, name, atLeast)
				change(&a)
				return a, err
			}
		}
	}
	type try struct {
		state []byte
		from  netip.AddrPort
		late  time.Duration
		other func(*site)
		key   byte
	}
	good := try{state, source, 0, func(*site) {}, 1}
	but := func(change func(*try)) try { one := good; change(&one); return one }
	takes := func(one try) bool {
		o := sharing(t, one.key)
		one.other(o)
		b := w.third()
		r, ok := o.step(PayloadRAKP3, b, one.state, one.from, time.Now().Add(one.late))
		return ok && Status(r.body[1]) == StatusOK && o.active() == 1
	}
	for what, one := range map[string]try{
		"right":           good,
		"right, clocks":   but(func(o *try) { o.late = -20 * time.Second }),
		"right, another":  but(func(o *try) { o.other = account(func(a *mc.Account) { a.Limit = ipmb.PrivilegeAdmin }) }),
		"right, repacked": but(func(o *try) { o.state = with(func(*handover) {}) }),
	} {
		if !takes(one) {
			t.Errorf("%s: is not taken up", what)
		}
	}
	for what, one := range map[string]try{
		"nothing":         but(func(o *try) { o.state = nil }),
		"another key":     but(func(o *try) { o.key = 2 }),
		"another port":    but(func(o *try) { o.from = netip.AddrPortFrom(source.Addr(), 1) }),
		"another source":  but(func(o *try) { o.from = netip.MustParseAddrPort("192.0.2.2:4000") }),
		"too late":        but(func(o *try) { o.late = loginTime + 2*time.Second }),
		"id 0":            but(func(o *try) { o.state = with(func(h *handover) { h.id = 0 }) }),
		"another id":      but(func(o *try) { o.state = with(func(h *handover) { h.id++ }) }),
		"another number":  but(func(o *try) { o.state = with(func(h *handover) { h.random[0]++ }) }),
		"another code":    but(func(o *try) { o.state = with(func(h *handover) { h.code[0]++ }) }),
		"no code":         but(func(o *try) { o.state = with(func(h *handover) { h.code = nil }) }),
		"a name too long": but(func(o *try) { o.state = with(func(h *handover) { h.first[27] = 200 }) }),
		"half a message":  but(func(o *try) { o.state = with(func(h *handover) { h.first = h.first[:9] }) }),
		"no suite":        but(func(o *try) { o.state = with(func(h *handover) { h.open.Integrity = 9 }) }),
		"its own":         but(func(o *try) { o.other = func(o *site) { o.secret = s.secret } }),
		"suite off":       but(func(o *try) { o.other = func(o *site) { o.cfg.Suites = o.cfg.Suites[:1] } }),
		"suite for nobody": but(func(o *try) {
			o.other = func(o *site) { o.cfg.SuiteLimit = func(uint8) ipmb.Privilege { return ipmb.PrivilegeNone } }
		}),
		"suite for users": but(func(o *try) {
			o.other = func(o *site) { o.cfg.SuiteLimit = func(uint8) ipmb.Privilege { return ipmb.PrivilegeUser } }
		}),
		"channel off":      but(func(o *try) { o.other = func(o *site) { o.mode = mc.AccessDisabled } }),
		"another password": but(func(o *try) { o.other = account(func(a *mc.Account) { a.Password = password("changed") }) }),
		"a lower limit":    but(func(o *try) { o.other = account(func(a *mc.Account) { a.Limit = ipmb.PrivilegeUser }) }),
		"no user": but(func(o *try) {
			o.other = func(o *site) {
				o.cfg.Account = func(uint8, string, ipmb.Privilege) (mc.Account, error) { return mc.Account{}, mc.ErrNoAccount }
			}
		}),
		"a session has it": but(func(o *try) { o.other = func(o *site) { o.all[w.id] = &session{id: w.id, handle: 1} } }),
		"a session had it": but(func(o *try) { o.other = func(o *site) { o.gone = []uint32{w.id} } }),
	} {
		if takes(one) {
			t.Errorf("%s: is taken up", what)
		}
	}
	o := sharing(t, 1)
	for i := range state {
		changed := bytes.Clone(state)
		changed[i] ^= 0x10
		o.takeUp(changed, source, time.Now())
		if o.takeUp(state[:i], source, time.Now()); len(o.all) > 0 {
			t.Fatalf("changed at %d, or cut off there, it is taken up", i)
		}
	}
	if o.takeUp(state, source, time.Now()); len(o.all) != 1 {
		t.Error("as it is, it is not taken up")
	}
}

// Nobody takes up a login twice: not after a wrong proof, nor when its session has ended.
func TestHandoverOnce(t *testing.T) {
	s := sharing(t, 1)
	for _, right := range []bool{true, false} {
		w := walk(s, s.cfg.Suites[1], "admin", "secret")
		w.until1()
		o, third := sharing(t, 1), w.third()
		if !right {
			third[9] ^= 1
		}
		prove := func() Status {
			r, ok := o.step(PayloadRAKP3, third, w.state, source, time.Now())
			if !ok {
				t.Fatal("no answer")
			}
			return Status(r.body[1])
		}
		if got := prove(); (got == StatusOK) != right || got == StatusBadSession {
			t.Errorf("%v: %02x", right, got)
		}
		o.remove(o.all[w.id])
		third = w.third()
		if got := prove(); got != StatusBadSession {
			t.Errorf("%v, once more: %02x", right, got)
		}
	}
}

// A login of nobody's goes on as any other, and fails as any other.
func TestUnknownGoesOnAlike(t *testing.T) {
	s := sharing(t, 1)
	var all [][]byte
	for _, name := range []string{"admin", "bobby", "bob"} {
		w := walk(s, s.cfg.Suites[1], name, "wrong")
		w.until1()
		w.move(sharing(t, 1))
		second := w.ask(PayloadRAKP1, w.first())
		if second[1] != 0 || !bytes.Equal(second[8:24], w.theirs) {
			t.Errorf("%s: % x", name, second)
		}
		w.move(sharing(t, 1))
		all = append(all, w.ask(PayloadRAKP3, w.third()))
	}
	for _, b := range all {
		if Status(b[1]) != StatusIntegrity || !bytes.Equal(b, all[0]) {
			t.Errorf("% x, and % x", b, all[0])
		}
	}
}

// Guesses by logins that another process began have the rate of those that begin here.
func TestHandedOverGuesses(t *testing.T) {
	first := sharing(t, 1)
	looked := func(handed bool) (n int) {
		g := &guesser{s: sharing(t, 1), t: t, now: time.Now()}
		for i := range 2000 {
			g.now = g.now.Add(5 * time.Millisecond)
			from, at := netip.AddrPortFrom(source.Addr(), uint16(1000+i)), g.s
			if handed {
				at = first
			}
			c, state := at.client(g.s.cfg.Suites[1], "admin", "guess", 0x14), []byte(nil)
			r, _ := at.step(PayloadOpenRequest, openBytes(0, c.suite.Auth, c.suite.Integrity, c.suite.Confidentiality), nil, from, g.now)
			c.id = binary.LittleEndian.Uint32(r.body[8:])
			r, _ = at.step(PayloadRAKP1, c.first(), nil, from, g.now)
			c.theirs = bytes.Clone(r.body[8:24])
			if handed {
				state = r.state
			}
			r, ok := g.s.step(PayloadRAKP3, c.third(), state, from, g.now)
			if ok && Status(r.body[1]) != StatusIntegrity {
				t.Fatalf("a guess gets % x", r.body)
			}
			if ok {
				n++
			}
		}
		return n
	}
	if fresh, handed := looked(false), looked(true); handed != fresh || handed == 0 {
		t.Errorf("%d of 2000 are looked at, and %d of those that begin here", handed, fresh)
	}
}

// passing is a socket that has what another process said with what comes.
type passing struct {
	mouth
	in     [][2][]byte
	logins [][]byte
}

func (p *passing) ReadStep(b []byte) (int, []byte, net.Addr, error) {
	if len(p.in) == 0 {
		return 0, nil, nil, net.ErrClosed
	}
	one := p.in[0]
	p.in = p.in[1:]
	return copy(b, one[0]), one[1], net.UDPAddrFromAddrPort(source), nil
}

func (p *passing) WriteStep(b, login []byte, _ net.Addr) (int, error) {
	p.logins = append(p.logins, login)
	return p.WriteTo(b, nil)
}

func (p *passing) Close() error { return nil }

// A door takes what another process said from its socket only, and says itself how
// far a login is with each answer to it, and with no other.
func TestDoorHandsOver(t *testing.T) {
	s := sharing(t, 1)
	w := walk(s, s.cfg.Suites[1], "admin", "secret")
	w.until1()
	bare := func(kind PayloadType, b []byte) []byte { return appendBare(nil, true, kind, b) }
	caps, err := ipmb.RequestFrame(0x20, 0x81, 0, 1, &ipmb.Request{NetFn: 6, Cmd: 0x38, Data: []byte{0x8E, 4}}).AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &passing{in: [][2][]byte{
		{bare(PayloadOpenRequest, openBytes(0, 3, 4, 1))},
		{bare(PayloadRAKP1, append(w.state, w.first()...))}, // not by the network
		{bare(PayloadOpenRequest, append(w.state, w.first()...))},
		{w.state},
		{bare(PayloadRAKP1, w.first())}, // nor without it
		{bare(PayloadIPMI, caps), w.state},
		{bare(PayloadRAKP1, w.first()), w.state},
		{bare(PayloadRAKP3, w.third())},
	}}
	o := sharing(t, 1)
	d := NewDoor(DoorConfig{Sessions: o.Sessions, Handler: o.mux, Count: new(mc.LANCounters), Log: slog.New(slog.DiscardHandler)})
	d.helpers, d.relief = nil, time.Hour // one reads, so that answers keep their order
	if err := d.Serve(t.Context(), p); err != net.ErrClosed {
		t.Fatal(err)
	}
	kinds := make([]PayloadType, 0, len(p.said))
	for _, b := range p.said {
		kinds = append(kinds, PayloadType(b[5]))
	}
	if want := []PayloadType{PayloadOpenResponse, PayloadIPMI, PayloadRAKP2, PayloadRAKP4}; !slices.Equal(kinds, want) {
		t.Errorf("answers %x, want %x", kinds, want)
	}
	if len(p.logins) != 3 || len(p.logins[0]) == 0 || len(p.logins[1]) <= len(p.logins[0]) || len(p.logins[2]) != 0 {
		t.Errorf("it says % x", p.logins)
	}
}

// FuzzHandover reads what a socket gives: nothing that the key did not make is taken, and what it made is read
// as it was written.
func FuzzHandover(f *testing.F) {
	s := newSite(nil)
	s.cfg.SharedKey = func() ([]byte, error) { return make([]byte, 32), nil }
	key, err := s.shared(handoverLabel)
	if err != nil {
		f.Fatal(err)
	}
	h := handover{id: 5, from: source, made: time.Now().Unix(), open: openRequest{Console: consoleID, Auth: 3, Integrity: 4, Confidentiality: 1}}
	f.Add(h.append(nil, key)[:handoverHead])
	h.code, h.first = make([]byte, 32), unhex(f, "00000000526a8d7815b46fe1c793c9cc2e2207cd4a9877a01400000561646d696e")
	f.Add(h.append(nil, key)[:handoverHead+32+len(h.first)])
	f.Fuzz(func(t *testing.T, b []byte) {
		if s.takeUp(b, source, time.Now()); len(s.all) > 0 {
			t.Fatalf("% x is taken up", b)
		}
		b = append(b[:len(b):len(b)], sum(key, b)...)
		got, err := parseHandover(b, key)
		if err != nil {
			return
		}
		if again := got.append(nil, key); !bytes.Equal(again, b) {
			t.Errorf("% x became % x", b, again)
		}
		if s.takeUp(b, got.from, time.Now()); len(s.all) > 1 || len(s.all) == 1 && s.all[got.id] == nil {
			t.Errorf("% x: %d logins", b, len(s.all))
		}
		s.Close()
		s.closed = false
		clear(s.adopted)
	})
}
