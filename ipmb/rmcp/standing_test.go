package rmcp

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// standings are how the users of a site stand; who is not in it may not log in.
type standings struct {
	mu sync.Mutex
	of map[uint8]mc.Standing
}

// changing is a site before its door opens, whose users change. What its command
// 06/02 makes of the administrator it says to the sessions as Set User Password
// would.
func changing(t *testing.T) (*site, *standings) {
	s := newSite(t)
	u := &standings{of: make(map[uint8]mc.Standing)}
	for id := range uint8(5) {
		u.of[id+1] = mc.Standing{Limit: ipmb.PrivilegeAdmin}
	}
	s.cfg.Standing = func(_, user uint8) (mc.Standing, bool) {
		u.mu.Lock()
		defer u.mu.Unlock()
		now, may := u.of[user]
		return now, may
	}
	s.mux = ipmb.NewMux(s.Commands(), s.sol.Commands(), s.rows(), []ipmb.Command{{
		NetFn: ipmb.NetFnApp, Cmd: 2, Privilege: ipmb.PrivilegeAdmin, Data: ipmb.Exactly(2), Effect: true,
		Do: func(ctx context.Context, req *ipmb.Request) ([]byte, error) {
			u.set(2, mc.Standing{Limit: ipmb.Privilege(req.Data[0]), Stamp: uint64(req.Data[1])})
			n, err := s.UserChanged(ctx, 2, req.Origin)
			return []byte{byte(n)}, err
		},
	}})
	return s, u
}

// set changes a user; with limit 0 he may not log in any more.
func (u *standings) set(id uint8, to mc.Standing) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.of[id] = to; to.Limit == 0 {
		delete(u.of, id)
	}
}

// change is set by somebody else, and gives how many sessions ended.
func (s *site) change(u *standings, id uint8, to mc.Standing) int {
	s.t.Helper()
	u.set(id, to)
	n, err := s.UserChanged(s.t.Context(), id, ipmb.Origin{Door: ipmb.DoorSystem})
	if err != nil {
		s.t.Error(err)
	}
	s.sol.UserChanged(id)
	return n
}

func (s *site) as(name, pass string) *client {
	s.t.Helper()
	c := s.dial(s.cfg.Suites[1], name, pass, 0x14)
	if got := c.login(nil); got != StatusOK {
		s.t.Fatal(got)
	}
	c.want("as administrator", c.do(6, 0x3B, 4), 0, 4)
	return c
}

// silent asks, and hears nothing before the pong.
func (c *client) silent() {
	c.t.Helper()
	c.send(c.frame(6, 1))
	c.ping()
}

// Who may not log in any more is out at once, others are not.
func TestUserIsShutOut(t *testing.T) {
	s, u := changing(t)
	s.open()
	one, two, eve := s.as("admin", "secret"), s.as("admin", "secret"), s.as("eve", "sixteen")
	half := s.dial(s.cfg.Suites[1], "admin", "secret", 0x14)
	if got := half.open(); got != StatusOK {
		t.Fatal(got)
	}
	half.theirs = bytes.Clone(half.ask(PayloadRAKP1, half.first())[8:24])
	if n := s.change(u, 2, mc.Standing{}); n != 2 {
		t.Errorf("%d sessions ended", n)
	}
	one.silent()
	two.silent()
	if got := Status(half.ask(PayloadRAKP3, half.third())[1]); got != StatusBadSession {
		t.Errorf("his login goes on: %02x", got)
	}
	eve.want("somebody else", eve.do(6, 1), 0, 1)
	if n := s.Open(); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// A lower limit holds at once, for what there is and for what is asked for.
func TestUserIsLimited(t *testing.T) {
	s, u := changing(t)
	s.open()
	c := s.as("admin", "secret")
	c.want("before", c.do(0, 2, 0), 0, 1)
	if n := s.change(u, 2, mc.Standing{Limit: ipmb.PrivilegeUser}); n != 0 {
		t.Errorf("%d sessions ended", n)
	}
	c.want("an operator's command", c.do(0, 2, 0), 0xD4)
	c.want("a user's", c.do(6, 1), 0, 2)
	c.want("the level", c.do(6, 0x3B, 0), 0, 2)
	c.want("a higher one", c.do(6, 0x3B, 4), 0x81)
	s.change(u, 2, mc.Standing{Limit: ipmb.PrivilegeAdmin})
	c.want("raised again he must log in anew", c.do(6, 0x3B, 4), 0x81)
}

// With another name or password everybody is out but who gave it to himself,
// who hears so; and who shut himself out hears it too.
func TestUserChangesHimself(t *testing.T) {
	s, _ := changing(t)
	s.open()
	own, other := s.as("admin", "secret"), s.as("admin", "secret")
	own.want("a new password", own.do(6, 2, 4, 77), 0, 1)
	other.silent()
	own.want("goes on", own.do(6, 1), 0, 1)
	own.want("shut out", own.do(6, 2, 0, 78), 0, 1)
	own.silent()
	if n := s.Open(); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

// A session of IPMI 1.5 ends alike, and so does a login that has its challenge.
func TestUserOfIPMI15(t *testing.T) {
	s, u := changing(t)
	s.cfg.AuthTypes = both15
	s.mux = ipmb.NewMux(s.Commands(), s.rows())
	s.open()
	c, half := s.dial15(authTypeMD5, "eve", "sixteen"), s.dial15(authTypeMD5, "eve", "sixteen")
	if code := c.login(4); code != 0 {
		t.Fatalf("%02x", code)
	}
	if code := half.challenge(); code != 0 {
		t.Fatalf("%02x", code)
	}
	if n := s.change(u, 4, mc.Standing{Limit: ipmb.PrivilegeAdmin, Stamp: 5}); n != 1 {
		t.Errorf("%d sessions ended", n)
	}
	c.write(c.k.appendSealed(nil, PayloadIPMI, c.id, c.seq, c.frame(6, 1)))
	half.write(half.activation(4))
	if p, q := c.heard(), half.heard(); p != nil || q != nil {
		t.Errorf("%+v, %+v", p, q)
	}
}

// Serial over LAN ends with its session, and when it is not for its user any more.
func TestUserOfSOL(t *testing.T) {
	s, u := changing(t)
	p := newPort()
	s.params = map[uint8][]byte{
		mc.SOLEnable: {1}, mc.SOLAuth: {0xC0 | byte(ipmb.PrivilegeOperator)}, mc.SOLAccumulate: {1, 10}, mc.SOLRetry: {7, 255},
	}
	var let atomic.Bool
	s.sol.Console, s.sol.Allowed = p, func(uint8) bool { return let.Load() }
	s.open()
	c := s.as("admin", "secret")
	for _, step := range []struct {
		what  string
		limit ipmb.Privilege
		let   bool
		told  bool
	}{
		{"not let to it", ipmb.PrivilegeAdmin, false, true},
		{"too low for it", ipmb.PrivilegeUser, true, true},
		{"shut out", 0, true, false},
	} {
		let.Store(true)
		c.activate()
		s.change(u, 2, mc.Standing{Limit: ipmb.PrivilegeOperator}) // which changes nothing for it
		c.sendSOL(solPacket{Seq: 1, Data: []byte("x")})
		c.wantSOL("input", 0, 1, 1, 0, "")
		hears(t, p, "x")
		let.Store(step.let)
		s.change(u, 2, mc.Standing{Limit: step.limit})
		if step.told {
			c.wantSOL(step.what, 0, 0, 0, solDeactivated, "")
		}
		next(t, p.closed)
		if step.limit != 0 {
			s.change(u, 2, mc.Standing{Limit: ipmb.PrivilegeAdmin})
			c = s.as("admin", "secret")
		}
	}
	c.silent()
}

// What becomes of sessions the store knows before the change is answered; who
// goes on from it believes it no further than the users are as they were.
func TestStoredUser(t *testing.T) {
	f := newFakeStore()
	s, u := changing(t)
	s.cfg.Store = f
	s.open()
	own, other, eve := s.as("admin", "secret"), s.as("admin", "secret"), s.as("eve", "sixteen")
	own.want("a new password", own.do(6, 2, 4, 77), 0, 1)
	own.want("goes on", own.do(6, 1), 0, 1)
	f.set(func() {
		if _, ok := f.kept[other.id]; ok || len(f.kept) != 2 || f.kept[own.id].Stamp != 77 {
			t.Errorf("%+v", f.kept)
		}
	})
	s.change(u, 4, mc.Standing{Limit: ipmb.PrivilegeOperator})
	f.set(func() {
		if k := f.kept[eve.id]; k.Limit != ipmb.PrivilegeOperator || k.Privilege != ipmb.PrivilegeOperator {
			t.Errorf("%+v", k)
		}
		f.fails = errors.New("no quorum")
	})
	u.set(4, mc.Standing{Limit: ipmb.PrivilegeAdmin, Stamp: 9})
	if n, err := s.UserChanged(t.Context(), 4, ipmb.Origin{}); n != 1 || err == nil {
		t.Errorf("%d, %v", n, err)
	}
	f.set(func() { f.fails = nil })

	u.set(2, mc.Standing{Limit: ipmb.PrivilegeUser, Stamp: 77})
	next, _ := changing(t)
	next.cfg.Store, next.cfg.Standing = f, s.cfg.Standing
	next.Restore(f.list(), time.Now())
	if n := next.Open(); n != 1 {
		t.Errorf("%d sessions go on", n)
	}
	if k := next.all[own.id]; k == nil || k.limit != ipmb.PrivilegeUser || k.privilege != ipmb.PrivilegeUser {
		t.Errorf("%+v", k)
	}
	if err := next.Sweep(t.Context(), time.Now()); err != nil || len(f.list()) != 1 {
		t.Errorf("%d are left, %v", len(f.list()), err)
	}
}

// A session that ends while it is being stored is not left there.
func TestEndsWhileStored(t *testing.T) {
	f := newFakeStore()
	s, u := changing(t)
	s.cfg.Store = f
	wait := make(chan struct{})
	f.set(func() { f.wait = wait })
	s.open()
	c := s.dial(s.cfg.Suites[1], "admin", "secret", 0x14)
	if got := c.open(); got != StatusOK {
		t.Fatal(got)
	}
	c.theirs = bytes.Clone(c.ask(PayloadRAKP1, c.first())[8:24])
	c.write(appendBare(nil, true, PayloadRAKP3, c.third()))
	c.ping()
	u.set(2, mc.Standing{})
	ended := make(chan int, 1)
	go func() {
		n, _ := s.UserChanged(t.Context(), 2, ipmb.Origin{})
		ended <- n
	}()
	until(t, "he is out", func() bool { return s.Open() == 0 })
	close(wait)
	if n := next(t, ended); n != 1 {
		t.Errorf("%d ended", n)
	}
	until(t, "the login and its end came to the store", func() bool { return f.count() >= 2 })
	until(t, "nothing is left there", func() bool {
		if err := s.Sweep(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		return len(f.list()) == 0
	})
	c.unsaid()
}
