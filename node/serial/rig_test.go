package serial

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// rig is a door with a line to it and a controller that notes who asks what.
type rig struct {
	t     *testing.T
	cfg   Config
	door  *Door
	ctx   context.Context
	conn  net.Conn // the far end of the line
	codec Codec

	mu     sync.Mutex
	asked  []ipmb.Request
	answer func(*ipmb.Request) ipmb.Response
	users  map[string]mc.Account
	limit  ipmb.Privilege
	open   bool
	given  [][]byte // passwords of users
}

// onLine runs f in virtual time with a line of a mode.
func onLine(t *testing.T, cfg Config, f func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r := &rig{t: t, ctx: ctx, codec: codec(t, cfg.Mode), limit: ipmb.PrivilegeAdmin, open: true, users: map[string]mc.Account{}}
		r.answer = func(*ipmb.Request) ipmb.Response { return ipmb.Response{Data: []byte{0x20}} }
		cfg.Handler = ipmb.HandlerFunc(r.serve)
		cfg.Origin.Channel, cfg.Origin.Source = 2, 0x82
		cfg.Account, cfg.Standing = r.account, r.standing
		cfg.Users = func() (named, null bool) { return true, false }
		cfg.Limit = func() (ipmb.Privilege, bool) { return r.limit, r.open }
		r.cfg = cfg
		var err error
		if r.door, err = New(cfg); err != nil {
			t.Fatal(err)
		}
		r.plug()
		f(r)
		cancel()
		synctest.Wait()
	})
}

// plug puts another line in.
func (r *rig) plug() {
	far, near := net.Pipe()
	r.conn = far
	go r.door.Line(r.ctx, near)
}

func (r *rig) serve(_ context.Context, req *ipmb.Request) ipmb.Response {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := *req
	c.Data = bytes.Clone(req.Data)
	r.asked = append(r.asked, c)
	return r.answer(req)
}

func (r *rig) account(name string, atLeast ipmb.Privilege) (mc.Account, error) {
	a, ok := r.users[name]
	if !ok || a.Limit < atLeast {
		return mc.Account{}, mc.ErrNoAccount
	}
	a.Password = bytes.Clone(a.Password)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.given = append(r.given, a.Password)
	return a, nil
}

func (r *rig) standing(id uint8) (mc.Standing, bool) {
	for _, a := range r.users {
		if a.ID == id {
			return mc.Standing{Limit: a.Limit, Stamp: a.Stamp}, true
		}
	}
	return mc.Standing{}, false
}

// wiped looks whether the door has kept a password that it was given.
func (r *rig) wiped() {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.given) == 0 {
		r.t.Error("the door was given no password")
	}
	for _, p := range r.given {
		if len(bytes.Trim(p, "\x00")) > 0 {
			r.t.Errorf("the door has kept %q", p)
		}
	}
}

func (r *rig) user(id uint8, name, password string, limit ipmb.Privilege) {
	p := make([]byte, mc.PasswordLen)
	copy(p, password)
	r.users[name] = mc.Account{ID: id, Name: name, Password: p, Limit: limit}
}

// last is what the controller was asked last.
func (r *rig) last() ipmb.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.asked) == 0 {
		r.t.Fatal("nothing was asked")
	}
	return r.asked[len(r.asked)-1]
}

func (r *rig) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.asked)
}

// submitted ends a line of terminal mode.
func (r *rig) submitted(b []byte) []byte {
	if r.cfg.Mode == Terminal {
		b = append(bytes.Clone(b), '\r')
	}
	return b
}

// say writes, and gives all that comes back at once.
func (r *rig) say(b []byte) string {
	r.t.Helper()
	if _, err := r.conn.Write(r.submitted(b)); err != nil {
		r.t.Fatal(err)
	}
	var out []byte
	buf := make([]byte, 1024)
	for {
		_ = r.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		n, err := r.conn.Read(buf)
		out = append(out, buf[:n]...)
		if err != nil {
			synctest.Wait() // the line may still look at what the test changes next
			return string(out)
		}
	}
}

// hear is say with time for slow answers.
func (r *rig) hear(text string, within time.Duration) string {
	r.t.Helper()
	if _, err := r.conn.Write(r.submitted([]byte(text))); err != nil {
		r.t.Fatal(err)
	}
	_ = r.conn.SetReadDeadline(time.Now().Add(within))
	buf := make([]byte, 1024)
	n, err := r.conn.Read(buf)
	if err != nil {
		r.t.Fatalf("%s: %v", text, err)
	}
	synctest.Wait()
	return string(buf[:n])
}

// ask sends a request in basic mode and gives the answer's code and data.
func (r *rig) ask(cmd ipmb.Cmd, data ...byte) (ipmb.CompletionCode, []byte) {
	r.t.Helper()
	b, err := r.codec.AppendFrame(nil, request(ipmb.NetFnApp, 1, cmd, data...), false)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.conn.Write(b); err != nil {
		r.t.Fatal(err)
	}
	buf := make([]byte, 1024)
	for {
		n, err := r.conn.Read(buf)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, e := range all(r.codec, buf[:n], n) {
			a, ok := e.Frame.Response()
			if !ok || e.Frame.Cmd != cmd {
				r.t.Fatalf("answer %+v", e)
			}
			synctest.Wait()
			return a.Code, a.Data
		}
	}
}

func basicBytes(t *testing.T, f ipmb.Frame) []byte {
	t.Helper()
	b, err := new(basic).AppendFrame(nil, f, false)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
