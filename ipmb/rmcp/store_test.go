package rmcp

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// fakeStore is a store in memory, with faults to be switched on.
type fakeStore struct {
	mu    sync.Mutex
	kept  map[uint32]Kept
	done  map[uint64]bool
	saves int
	made  uint16 // sites with it that share challenges
	fails error
	begun chan struct{} // nil: nobody waits for a call
	wait  chan struct{} // nil: nothing holds it up
}

func newFakeStore() *fakeStore {
	return &fakeStore{kept: make(map[uint32]Kept), done: make(map[uint64]bool)}
}

func (f *fakeStore) Save(_ context.Context, c Change) error {
	f.mu.Lock()
	begun, wait := f.begun, f.wait
	f.mu.Unlock()
	if begun != nil {
		begun <- struct{}{}
	}
	if wait != nil {
		<-wait
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.saves++
	if f.fails != nil {
		return f.fails
	}
	for _, k := range c.Put {
		raw, err := k.AppendBinary(nil)
		if err != nil {
			return err
		}
		if f.kept[k.ID], err = ParseKept(raw); err != nil {
			return err
		}
	}
	for _, id := range c.Gone {
		delete(f.kept, id)
	}
	if c.By != nil {
		f.done[c.By.Origin.ID] = true
	}
	return nil
}

func (f *fakeStore) Done(_ string, id uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done[id]
}

func (f *fakeStore) list() (all []Kept) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range f.kept {
		all = append(all, k)
	}
	return all
}

// storing is a site with a store; next is the one that goes on after it.
func storing(t *testing.T, f *fakeStore) *site {
	s := newSite(t)
	s.cfg.Store = f
	s.mux = ipmb.NewMux(s.Commands(), []ipmb.Command{
		{NetFn: ipmb.NetFnApp, Cmd: 1, Privilege: ipmb.PrivilegeUser, Do: s.count},
		{NetFn: ipmb.NetFnApp, Cmd: 0x34, Privilege: ipmb.PrivilegeUser, Data: ipmb.AtLeast(1), Do: s.bridge},
		{NetFn: ipmb.NetFnChassis, Cmd: 2, Privilege: ipmb.PrivilegeOperator, Data: ipmb.Exactly(1), Effect: true, Do: s.count},
		{NetFn: ipmb.NetFnChassis, Cmd: 9, Privilege: ipmb.PrivilegeUser, Do: func(context.Context, *ipmb.Request) ([]byte, error) {
			s.done.Add(1)
			return nil, ipmb.ErrNoResponse
		}},
	})
	s.Restore(f.list(), time.Now())
	s.open()
	return s
}

// moves lets a client speak to another process.
func (c *client) moves(to *site) {
	c.t.Helper()
	conn := to.dial(c.suite, c.name, "", c.role)
	c.conn = conn.conn
}

func TestSessionGoesOnElsewhere(t *testing.T) {
	f := newFakeStore()
	s := storing(t, f)
	c := s.dial(s.cfg.Suites[1], "admin", "secret", 0x14)
	if got := c.login(nil); got != StatusOK {
		t.Fatalf("login: %02x", got)
	}
	c.want("admin", c.do(6, 0x3B, 4), 0, 4)
	c.want("by the first", c.do(6, 1), 0, 1)
	second := storing(t, f)
	c.moves(second)
	c.seq += 3 // came to nobody
	c.want("its level is kept", c.do(6, 0x3B, 0), 0, 4)
	c.want("by the second", c.do(0, 2, 0), 0, 1)
	c.want("Close Session", c.do(6, 0x3C, word(c.id)...), 0)
	if left := f.list(); len(left) > 0 {
		t.Errorf("%d sessions are left", len(left))
	}
}

// A repeat of RAKP Message 3 whose answer was lost with the process gets it from
// the next one.
func TestLastStepElsewhere(t *testing.T) {
	f := newFakeStore()
	s := storing(t, f)
	c := s.dial(s.cfg.Suites[1], "admin", "secret", 0x14)
	if got := c.login(nil); got != StatusOK {
		t.Fatalf("login: %02x", got)
	}
	c.moves(storing(t, f))
	c.write(appendBare(nil, true, PayloadRAKP3, c.third()))
	if got := c.read().Payload; !bytes.Equal(got, f.list()[0].Fourth) {
		t.Errorf("% x, want % x", got, f.list()[0].Fourth)
	}
}

// Whoever sends RAKP Message 3 again while it is stored gets one answer, with the
// newest tag.
func TestRepeatedWhileStored(t *testing.T) {
	f := newFakeStore()
	s := storing(t, f)
	begun, wait := make(chan struct{}), make(chan struct{})
	f.set(func() { f.begun, f.wait = begun, wait })
	c := s.dial(s.cfg.Suites[1], "admin", "secret", 0x14)
	if got := c.open(); got != StatusOK {
		t.Fatal(got)
	}
	c.theirs = bytes.Clone(c.ask(PayloadRAKP1, c.first())[8:24])
	third := c.third()
	c.write(appendBare(nil, true, PayloadRAKP3, third))
	<-begun
	for tag := range byte(3) {
		third[0] = 20 + tag
		c.write(appendBare(nil, true, PayloadRAKP3, third))
	}
	c.ping() // they have come
	f.set(func() { f.begun, f.wait = nil, nil })
	close(wait)
	if p := c.read(); p.Type != PayloadRAKP4 || p.Payload[0] != 22 || p.Payload[1] != 0 {
		t.Errorf("%+v", p)
	}
	c.ping() // comes after another answer
	third[0] = 30
	c.write(appendBare(nil, true, PayloadRAKP3, third))
	if p := c.read(); p.Type != PayloadRAKP4 || p.Payload[0] != 30 {
		t.Errorf("later: %+v", p)
	}
}

// A login of a process that is gone gets no answer, so that its client begins
// anew; nor does one that could not be stored.
func TestNoAnswer(t *testing.T) {
	f := newFakeStore()
	s := storing(t, f)
	c := s.dial(s.cfg.Suites[1], "admin", "secret", 0x14)
	c.id = 77
	c.write(appendBare(nil, true, PayloadRAKP1, c.first()))
	c.write(appendBare(nil, true, PayloadRAKP3, append(word(9), append(word(77), make([]byte, 20)...)...)))
	c.ping() // would come after an answer
	f.set(func() { f.fails = errors.New("no quorum") })
	if got := c.open(); got != StatusOK {
		t.Fatal(got)
	}
	c.theirs = bytes.Clone(c.ask(PayloadRAKP1, c.first())[8:24])
	c.write(appendBare(nil, true, PayloadRAKP3, c.third()))
	until(t, "the login is over", func() bool { return s.Open() == 0 && f.count() > 0 })
	c.unsaid()
}

func (f *fakeStore) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeStore) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.saves
}

// Nobody is told that he is logged in before that is stored, not by a repeat either.
func TestStoredBeforeTold(t *testing.T) {
	f := newFakeStore()
	s := storing(t, f)
	wait := make(chan struct{})
	f.set(func() { f.wait = wait })
	c := s.dial(s.cfg.Suites[1], "admin", "secret", 0x14)
	if got := c.open(); got != StatusOK {
		t.Fatal(got)
	}
	c.theirs = bytes.Clone(c.ask(PayloadRAKP1, c.first())[8:24])
	c.write(appendBare(nil, true, PayloadRAKP3, c.third()))
	until(t, "it is on its way to the store", func() bool {
		s.Sessions.mu.Lock()
		defer s.Sessions.mu.Unlock()
		return s.all[c.id].state == stateKeeping
	})
	c.ping()
	if s.keep(t.Context(), c.id) {
		t.Error("a repeat is told so")
	}
	close(wait)
	if p := c.read(); p.Type != PayloadRAKP4 || Status(p.Payload[1]) != StatusOK {
		t.Errorf("%+v", p)
	}
	c.ping() // there is no other answer
}

// A response that is none lets the client ask again, and that is done again.
func TestSilence(t *testing.T) {
	s := storing(t, newFakeStore())
	c := s.dial(s.cfg.Suites[1], "admin", "secret", 0x14)
	if got := c.login(nil); got != StatusOK {
		t.Fatal(got)
	}
	message := c.frame(0, 9)
	for n := int32(1); n <= 2; n++ {
		c.send(message)
		until(t, "it is done", func() bool { return s.done.Load() == n && s.busyNow(c.id) == 0 })
		c.ping()
	}
}

func (t *Sessions) busyNow(id uint32) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all[id].busy
}

// The numbers of answers follow from those of the packets: who goes on elsewhere
// takes them up, and none comes twice.
func TestAnswerNumbers(t *testing.T) {
	f := newFakeStore()
	c := storing(t, f).dial(newSite(t).cfg.Suites[1], "admin", "secret", 0x14)
	if got := c.login(nil); got != StatusOK {
		t.Fatal(got)
	}
	highest := uint32(0)
	for range 3 {
		for range 3 {
			c.send(c.frame(6, 1))
			p := c.read()
			if p.Seq <= highest || p.Seq > highest+2 {
				t.Errorf("answer %d after %d", p.Seq, highest)
			}
			highest = p.Seq
		}
		c.moves(storing(t, f))
	}
}

// What was begun elsewhere under an earlier number keeps its name; what came here
// does not: the repeats know it, and the same bytes later are a new request.
func TestNames(t *testing.T) {
	f := newFakeStore()
	tab := NewSessions(Config{Store: f})
	message := []byte("off")
	f.done[requestID(message, 5)] = true
	for _, c := range []struct {
		what       string
		first, seq uint32
		want       uint32
	}{
		{"repeated elsewhere", 7, 8, 5},
		{"the packet itself, given to both", 5, 5, 5},
		{"as far as one looks", 21, 21, 5},
		{"further", 22, 22, 22},
		{"it came here", 5, 6, 6},
		{"before there were so many", 2, 2, 2},
	} {
		s := &session{first: c.first}
		_, got := tab.name(s, &repeat{message: message, seq: c.seq})
		if want := requestID(message, c.want); got != want {
			t.Errorf("%s: another name", c.what)
		}
	}
}

// five is session 5 as it is stored.
var five = Kept{
	ID: 5, Handle: 1, Auth: authSHA1, Integrity: integritySHA1, Cipher: confidentialityAES, Peer: source,
	Secret: bytes.Repeat([]byte{1}, 20),
}

func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeStore()
		f.kept[5] = five
		tab := NewSessions(Config{Store: f, Suites: mc.CipherSuites})
		tab.Restore(f.list(), time.Now())
		time.Sleep(IdleTime)
		if err := tab.Sweep(t.Context(), time.Now()); err != nil || tab.Open() != 1 {
			t.Errorf("as long as it may: %d, %v", tab.Open(), err)
		}
		time.Sleep(time.Second)
		f.fails = errors.New("no quorum")
		if err := tab.Sweep(t.Context(), time.Now()); err == nil || len(f.kept) != 1 {
			t.Errorf("not stored: %v", err)
		}
		f.fails = nil
		if err := tab.Sweep(t.Context(), time.Now()); err != nil || len(f.kept) != 0 {
			t.Errorf("%d are left, %v", len(f.kept), err)
		}
	})
}

// The end of a process ends no session.
func TestCloseKeeps(t *testing.T) {
	f := newFakeStore()
	f.kept[5] = five
	tab := NewSessions(Config{Store: f, Suites: mc.CipherSuites})
	tab.Restore(f.list(), time.Now())
	tab.Close()
	if err := tab.Sweep(t.Context(), time.Now()); err != nil || len(f.kept) != 1 {
		t.Errorf("%d are left, %v", len(f.kept), err)
	}
}

func TestResumedWindow(t *testing.T) {
	w := resumed(100)
	for _, c := range []struct {
		seq uint32
		ok  bool
	}{{100, false}, {90, false}, {5000, true}, {5000, false}, {4990, true}, {100, false}, {1 << 30, true}} {
		var ok bool
		if w, ok = w.accept(c.seq); ok != c.ok {
			t.Errorf("%d: %v", c.seq, ok)
		}
	}
}

func FuzzKept(f *testing.F) {
	k := Kept{ID: 1, Console: 2, Handle: 3, User: 4, Auth: 3, Peer: netip.MustParseAddrPort("[2001:db8::1]:623"), In: 7, Secret: []byte("key"), Third: []byte{1}}
	b, err := k.AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	k.V15, k.Auth, k.Base, k.Secret = true, authTypeMD5, 99, make([]byte, code15Len)
	if b, err = k.AppendBinary(nil); err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := ParseKept(b)
		if err != nil {
			return
		}
		again, err := k.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseKept(again); err != nil || !reflect.DeepEqual(got, k) {
			t.Errorf("%+v became %+v, %v", k, got, err)
		}
		NewSessions(Config{Suites: mc.CipherSuites, AuthTypes: both15}).Restore([]Kept{k}, time.Now())
	})
}

// Whoever began another login by the same socket while the first was stored hears
// nothing of the first any more, but for a repeat of its message.
func TestMovedOn(t *testing.T) {
	f := newFakeStore()
	s := storing(t, f)
	held := func() (begun, wait chan struct{}) {
		begun, wait = make(chan struct{}), make(chan struct{})
		f.set(func() { f.begun, f.wait = begun, wait })
		return begun, wait
	}
	prove := func(c *client) []byte {
		if got := c.open(); got != StatusOK {
			t.Fatal(got)
		}
		c.theirs = bytes.Clone(c.ask(PayloadRAKP1, c.first())[8:24])
		return appendBare(nil, true, PayloadRAKP3, c.third())
	}
	for _, proven := range []bool{false, true} {
		begun, wait := held()
		c := s.dial(s.cfg.Suites[1], "admin", "secret", 0x14)
		first := prove(c)
		c.write(first)
		<-begun
		second, left := prove(c), 0
		if proven {
			again, later := held()
			defer func() { close(later) }()
			c.write(second)
			<-again
			left = 1
		}
		close(wait)
		until(t, "the first is stored", func() bool { return running("rmcp.(*Door).stored.func1") == left })
		c.ping() // would come after an answer
		f.set(func() { f.begun, f.wait = nil, nil })
		c.write(first)
		if p := c.read(); p.Type != PayloadRAKP4 || p.Payload[1] != 0 {
			t.Errorf("said again: %+v", p)
		}
		if !proven {
			c.write(second)
			if p := c.read(); p.Type != PayloadRAKP4 || p.Payload[1] != 0 {
				t.Errorf("the second: %+v", p)
			}
		}
	}
}
