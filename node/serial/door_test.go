package serial

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
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
		cfg.Account = r.account
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
	return a, nil
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

// say writes, and gives all that comes back at once.
func (r *rig) say(b []byte) string {
	r.t.Helper()
	if _, err := r.conn.Write(b); err != nil {
		r.t.Fatal(err)
	}
	var out []byte
	buf := make([]byte, 1024)
	for {
		_ = r.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		n, err := r.conn.Read(buf)
		out = append(out, buf[:n]...)
		if err != nil {
			return string(out)
		}
	}
}

// hear is say with time for slow answers.
func (r *rig) hear(text string, within time.Duration) string {
	r.t.Helper()
	if _, err := r.conn.Write([]byte(text)); err != nil {
		r.t.Fatal(err)
	}
	_ = r.conn.SetReadDeadline(time.Now().Add(within))
	buf := make([]byte, 1024)
	n, err := r.conn.Read(buf)
	if err != nil {
		r.t.Fatalf("%s: %v", text, err)
	}
	return string(buf[:n])
}

// ask sends a request in basic mode and gives the answer's code and data.
func (r *rig) ask(cmd ipmb.Cmd, data ...byte) (ipmb.CompletionCode, []byte) {
	r.t.Helper()
	b, err := r.codec.AppendFrame(nil, request(ipmb.NetFnApp, 1, cmd, data...))
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
			return a.Code, a.Data
		}
	}
}

func basicBytes(t *testing.T, f ipmb.Frame) []byte {
	t.Helper()
	b, err := new(basic).AppendFrame(nil, f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestLineAsks(t *testing.T) {
	for mode, want := range map[Mode]struct{ ask, answer string }{
		Terminal: {"[180c01]\r\n", "[1C 0C 01 00 20]\r\n"},
		Basic:    {"\xa0\x20\x18\xc8\x81\x0c\x01\x72\xa5", "\xa6\xa0\x81\x1c\x63\x20\x0c\x01\x00\x20\xb3\xa5"},
		Direct:   {"\xa0\x20\x18\xc8\x81\x0c\x01\x72\xa5", "\xa6\xa0\x81\x1c\x63\x20\x0c\x01\x00\x20\xb3\xa5"},
		Radisys:  {"2018C8810C0172\r", "811C63200C010020B3\r"},
	} {
		t.Run(string(mode), func(t *testing.T) {
			origin := ipmb.Origin{Speaker: ipmb.SpeakerGuest, Privilege: ipmb.PrivilegeOperator}
			onLine(t, Config{Mode: mode, Origin: origin}, func(r *rig) {
				if got := r.say([]byte(want.ask)); got != want.answer {
					t.Errorf("%q, want %q", got, want.answer)
				}
				q := r.last()
				o := ipmb.Origin{Speaker: ipmb.SpeakerGuest, Door: ipmb.DoorSerial, Channel: 2, Privilege: ipmb.PrivilegeOperator, Source: 0x82}
				if q.NetFn != ipmb.NetFnApp || q.Cmd != 1 || q.Origin != o {
					t.Errorf("asked %+v", q)
				}
				r.limit = ipmb.PrivilegeUser
				r.say([]byte(want.ask))
				if p := r.last().Origin.Privilege; p != ipmb.PrivilegeUser {
					t.Errorf("over the channel's limit: %v", p)
				}
				r.open = false
				before := r.count()
				if got := r.say([]byte(want.ask)); got != "" || r.count() != before {
					t.Errorf("a closed channel says %q", got)
				}
			})
		})
	}
}

// Frames for others are nobody's business on a line, but for Radisys ASCII,
// which bridges them.
func TestOtherAddresses(t *testing.T) {
	f := request(ipmb.NetFnApp, 3, 1)
	f.To = 0x84
	onLine(t, Config{Mode: Direct}, func(r *rig) {
		if got := r.say(basicBytes(t, f)); got != "\xa6" || r.count() > 0 {
			t.Errorf("%q", got)
		}
		f := f
		f.To = 0x82
		if r.say(basicBytes(t, f)); r.count() != 1 {
			t.Error("its address on the bus is not heard")
		}
	})
	onLine(t, Config{Mode: Radisys}, func(r *rig) {
		raw, _ := f.AppendBinary(nil)
		reply := f.Reply(ipmb.Response{Data: []byte{0x42}})
		r.answer = func(req *ipmb.Request) ipmb.Response {
			data, _ := reply.AppendBinary(nil)
			return ipmb.Response{Data: data}
		}
		want, _ := r.codec.AppendFrame(nil, reply)
		if got := r.say(fmt.Appendf(nil, "%x\r", raw)); got != string(want) {
			t.Errorf("%q, want %q", got, want)
		}
		if q := r.last(); q.Cmd != ipmb.CmdSendMessage || !bytes.Equal(q.Data, append([]byte{0x40}, raw...)) {
			t.Errorf("asked %+v", q)
		}
		r.answer = func(*ipmb.Request) ipmb.Response { return ipmb.Response{Code: ipmb.ErrNAK} }
		want, _ = r.codec.AppendFrame(nil, f.Reply(ipmb.Response{Code: ipmb.ErrNAK}))
		if got := r.say(fmt.Appendf(nil, "%x\r", raw)); got != string(want) {
			t.Errorf("%q, want %q", got, want)
		}
		f := f
		f.To = addrLocal
		raw, _ = f.AppendBinary(nil)
		if r.say(fmt.Appendf(nil, "%x\r", raw)); r.last().Cmd != 1 {
			t.Errorf("01h is not the controller: %+v", r.last())
		}
	})
}

// A password over a line, and what may be done before, with and after it.
func TestPassword(t *testing.T) {
	onLine(t, Config{Mode: Terminal}, func(r *rig) {
		r.user(2, "bob", "secret", ipmb.PrivilegeOperator)
		privilege := func() ipmb.Privilege {
			r.say([]byte("[180c01]"))
			return r.last().Origin.Privilege
		}
		if p := privilege(); p != ipmb.PrivilegeNone {
			t.Errorf("before: %v", p)
		}
		for _, s := range []struct{ say, want string }{
			{"[SYS PWD -U bob Secret]", "[ERR D4]\r\n"},
			{"[SYS PWD -U eve secret]", "[ERR D4]\r\n"},
			{"[SYS PWD -N secret]", "[ERR D4]\r\n"},
			{"[SYS PWD -U bob]", "[ERR D4]\r\n"},
			{"[SYS PWD -U bob " + strings.Repeat("x", 40) + "]", "[ERR D4]\r\n"},
			{"[SYS PWD bob secret]", "[ERR CC]\r\n"},
			{"[SYS PWD]", "[ERR CC]\r\n"},
			{"[SYS PWD -U bob secret]", "[OK]\r\n"},
		} {
			if got := r.hear(s.say, time.Hour); got != s.want {
				t.Errorf("%s: %q, want %q", s.say, got, s.want)
			}
		}
		if p := privilege(); p != ipmb.PrivilegeOperator || r.last().Origin.Session == 0 || r.door.Sessions() != 1 {
			t.Errorf("in the session: %+v", r.last().Origin)
		}
		if got := r.hear("[SYS PWD -U bob wrong]", time.Hour); got != "[ERR D4]\r\n" || privilege() != ipmb.PrivilegeNone {
			t.Errorf("a wrong password leaves the session: %q", got)
		}
		r.hear("[SYS PWD -U bob secret]", time.Hour)
		if got := r.hear("[SYS PWD -X]", time.Hour); got != "[OK]\r\n" || privilege() != ipmb.PrivilegeNone || r.door.Sessions() != 0 {
			t.Errorf("after logging out: %q", got)
		}
	})
}

// A session ends by silence, with its user, and with its line.
func TestSessionEnds(t *testing.T) {
	for name, end := range map[string]func(r *rig){
		"silence": func(*rig) { time.Sleep(idleLimit + time.Second) },
		"user":    func(r *rig) { delete(r.users, "bob") },
		"another user of that name": func(r *rig) {
			r.user(3, "bob", "secret", ipmb.PrivilegeAdmin)
		},
		"line": func(r *rig) {
			_ = r.conn.Close()
			synctest.Wait()
			if n := r.door.Sessions(); n != 0 {
				r.t.Errorf("%d sessions without a line", n)
			}
			r.plug()
		},
	} {
		t.Run(name, func(t *testing.T) {
			onLine(t, Config{Mode: Terminal}, func(r *rig) {
				r.user(2, "bob", "secret", ipmb.PrivilegeAdmin)
				r.hear("[SYS PWD -U bob secret]", time.Hour)
				time.Sleep(idleLimit - time.Second)
				r.say([]byte("[180c01]"))
				time.Sleep(idleLimit - time.Second)
				if r.say([]byte("[180c01]")); r.last().Origin.Privilege != ipmb.PrivilegeAdmin {
					t.Fatal("no session")
				}
				end(r)
				if r.say([]byte("[180c01]")); r.last().Origin.Privilege != ipmb.PrivilegeNone {
					t.Error("the session goes on")
				}
			})
		})
	}
}

// Whoever guesses waits longer and longer, on a new line too.
func TestGuessing(t *testing.T) {
	onLine(t, Config{Mode: Terminal}, func(r *rig) {
		r.user(2, "bob", "secret", ipmb.PrivilegeAdmin)
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 32} {
			if i%2 == 1 {
				_ = r.conn.Close()
				r.plug()
			}
			begin := time.Now()
			r.hear("[SYS PWD -U bob guess]", time.Hour)
			if took := time.Since(begin); took != want*time.Second {
				t.Errorf("guess %d took %v", i, took)
			}
		}
		r.hear("[SYS PWD -U bob secret]", time.Hour)
		begin := time.Now()
		r.hear("[SYS PWD -U bob guess]", time.Hour)
		if took := time.Since(begin); took != firstDelay {
			t.Errorf("after a success: %v", took)
		}
	})
}

// code is what proves the password in basic mode.
func code(auth byte, password string, id, challenge []byte) []byte {
	p := make([]byte, mc.PasswordLen)
	copy(p, password)
	if auth == authPassword {
		return p
	}
	sum := md5.Sum(bytes.Join([][]byte{p, id, challenge, p}, nil))
	return sum[:]
}

func wireName(s string) []byte { return append([]byte(s), make([]byte, mc.UserNameLen-len(s))...) }

// login opens a session by commands, and gives its id.
func (r *rig) login(auth byte, name, password string, limit byte) (ipmb.CompletionCode, []byte) {
	r.t.Helper()
	c, d := r.ask(cmdChallenge, append([]byte{auth}, wireName(name)...)...)
	if c != ipmb.OK || len(d) != 4+challengeLen {
		return c, d
	}
	proof := code(auth, password, d[:4], d[4:])
	return r.ask(cmdActivate, append(append([]byte{auth, limit}, proof...), 0, 0, 0, 0)...)
}

func TestActivate(t *testing.T) {
	onLine(t, Config{Mode: Basic}, func(r *rig) {
		r.user(2, "bob", "secret", ipmb.PrivilegeOperator)
		r.user(3, "long", "secret", ipmb.PrivilegeOperator)
		a := r.users["long"]
		a.Password = append(a.Password, 0, 0, 0, 0)
		r.users["long"] = a
		if c, d := r.ask(cmdAuthCapabilities, 0x8E, 4); c != ipmb.OK || !bytes.Equal(d, []byte{2, 0x14, 0x14, 0, 0, 0, 0, 0}) {
			t.Errorf("capabilities: %v % x", c, d)
		}
		for _, auth := range []byte{authMD5, authPassword} {
			for _, tt := range []struct {
				name, password string
				limit          byte
				want           ipmb.CompletionCode
			}{
				{"eve", "secret", 2, ipmb.ErrPrivilege},
				{"", "secret", 2, ipmb.ErrPrivilege},
				{"bob", "wrong", 2, ipmb.ErrPrivilege},
				{"long", "secret", 2, ipmb.ErrPrivilege},
				{"bob", "secret", 4, ErrMaxPrivilege},
				{"bob", "secret", 0, ipmb.ErrInvalidField},
				{"bob", "secret", 3, ipmb.OK},
			} {
				if c, d := r.login(auth, tt.name, tt.password, tt.limit); c != tt.want {
					t.Errorf("%d, %+v: %v % x", auth, tt, c, d)
				}
			}
			r.ask(1)
			if o := r.last().Origin; o.Privilege != ipmb.PrivilegeUser || o.Session == 0 {
				t.Errorf("a session begins with %+v", o)
			}
		}
	})
}

func TestSessionCommands(t *testing.T) {
	onLine(t, Config{Mode: Basic}, func(r *rig) {
		r.user(2, "bob", "secret", ipmb.PrivilegeAdmin)
		for _, tt := range []struct {
			cmd  ipmb.Cmd
			data string
			want ipmb.CompletionCode
		}{
			{cmdSetPrivilege, "02", ipmb.ErrPrivilege}, // without a session
			{cmdClose, "00000000", ipmb.ErrPrivilege},
			{cmdActivate, "0204" + strings.Repeat("00", 20), ErrNoChallenge},
			{cmdActivate, "0204", ipmb.ErrLength},
			{cmdChallenge, "02", ipmb.ErrLength},
			{cmdChallenge, "01" + strings.Repeat("00", 16), ipmb.ErrInvalidField}, // MD2
			{cmdChallenge, "00" + strings.Repeat("00", 16), ipmb.ErrInvalidField}, // none at all
			{cmdAuthCapabilities, "0104", ipmb.ErrInvalidField},                   // another channel
			{cmdAuthCapabilities, "0e07", ipmb.ErrInvalidField},
			{cmdAuthCapabilities, "0e", ipmb.ErrLength},
		} {
			if c, _ := r.ask(tt.cmd, unhex(t, tt.data)...); c != tt.want {
				t.Errorf("%v %s: %v, want %v", tt.cmd, tt.data, c, tt.want)
			}
		}
		c, d := r.login(authMD5, "bob", "secret", 3)
		if c != ipmb.OK || len(d) != 10 || d[0] != authMD5 || d[9] != 3 || binary.LittleEndian.Uint32(d[1:]) == 0 {
			t.Fatalf("%v % x", c, d)
		}
		id := d[1:5]
		level := func(want ipmb.CompletionCode, p, now byte) {
			t.Helper()
			if c, d := r.ask(cmdSetPrivilege, p); c != want || c == ipmb.OK && (len(d) != 1 || d[0] != now) {
				t.Errorf("level %d: %v % x", p, c, d)
			}
		}
		level(ipmb.OK, 0, 2)
		level(ipmb.OK, 3, 3)
		level(ErrLevelExceeds, 4, 0) // it was opened for less
		level(ipmb.ErrInvalidField, 1, 0)
		level(ipmb.ErrInvalidField, 5, 0)
		if r.ask(1); r.last().Origin.Privilege != ipmb.PrivilegeOperator {
			t.Errorf("%+v", r.last().Origin)
		}
		if c, _ := r.ask(cmdClose, id[0]+2, id[1], id[2], id[3]); c != ErrUnknownSession {
			t.Errorf("another's: %v", c)
		}
		if c, _ := r.ask(cmdClose, id...); c != ipmb.OK {
			t.Errorf("close: %v", c)
		}
		if r.ask(1); r.last().Origin.Privilege != ipmb.PrivilegeNone {
			t.Errorf("%+v", r.last().Origin)
		}
	})
	// A challenge is good for one try.
	onLine(t, Config{Mode: Basic}, func(r *rig) {
		r.user(2, "bob", "secret", ipmb.PrivilegeAdmin)
		_, d := r.ask(cmdChallenge, append([]byte{authMD5}, wireName("bob")...)...)
		proof := append([]byte{authMD5, 4}, code(authMD5, "secret", d[:4], d[4:])...)
		proof = append(proof, 0, 0, 0, 0)
		proof[2] ^= 1
		if c, _ := r.ask(cmdActivate, proof...); c != ipmb.ErrPrivilege {
			t.Error(c)
		}
		proof[2] ^= 1
		if c, _ := r.ask(cmdActivate, proof...); c != ErrNoChallenge {
			t.Error(c)
		}
	})
	// Direct mode has no sessions: the controller answers for itself.
	onLine(t, Config{Mode: Direct}, func(r *rig) {
		if r.ask(cmdAuthCapabilities, 0x0E, 4); r.last().Cmd != cmdAuthCapabilities {
			t.Error("not asked")
		}
	})
}

// pipes is a listener of connections in memory.
type pipes struct{ waiting chan net.Conn }

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p.waiting
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error   { close(p.waiting); return nil }
func (p pipes) Addr() net.Addr { return nil }

// A port has one plug: a second line must wait, but not for long.
func TestOnePlug(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, err := New(Config{Mode: Terminal})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ln, done := pipes{make(chan net.Conn)}, make(chan error, 1)
		go func() { done <- d.Serve(ctx, ln) }()
		dial := func() net.Conn {
			far, near := net.Pipe()
			ln.waiting <- near
			return far
		}
		speaks := func(c net.Conn) bool {
			answer := make([]byte, len("[OK TMODE]\r\n"))
			if _, err := c.Write([]byte("[SYS TMODE]")); err != nil {
				return false
			}
			_, err := io.ReadFull(c, answer)
			return err == nil
		}
		first := dial()
		if !speaks(first) {
			t.Fatal("no line")
		}
		begin := time.Now()
		if speaks(dial()) || time.Since(begin) != plugWithin {
			t.Errorf("a second line after %v", time.Since(begin))
		}
		if !speaks(first) {
			t.Error("the first line has gone")
		}
		second := dial()
		time.AfterFunc(plugWithin/2, func() { _ = first.Close() })
		if !speaks(second) {
			t.Error("a line that comes while the other goes is not served")
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if speaks(second) {
			t.Error("a line goes on without its door")
		}
	})
}

// FuzzLine has a line bring anything. Nobody logs in by it, and every request
// that reaches the controller has no privilege.
func FuzzLine(f *testing.F) {
	for _, c := range captured {
		f.Add(uint8(0), []byte(c.terminal))
		f.Add(uint8(1), unhex(f, c.basic))
		f.Add(uint8(2), unhex(f, c.basic))
	}
	for _, s := range []string{
		"[SYS PWD -U bob secret]", "[SYS PWD -N]", "[SYS PWD -X]", "[SYS TMODE]", "[SYS HEALTH QUERY -V]", "[SYS SET BOOT 0 1 2 3 4]",
		"[18 00 39 04 62 6F 62 00 00 00 00 00 00 00 00 00 00 00 00 00]", "[18 00 3B 04]", "[18 00 3C 00 00 00 00]", "[1A 00 01]",
	} {
		f.Add(uint8(0), []byte(s))
	}
	f.Add(uint8(3), []byte("8418642018017F\r"))
	f.Fuzz(func(t *testing.T, mode uint8, in []byte) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			d, err := New(Config{
				Mode: Modes[int(mode)%len(Modes)],
				Handler: ipmb.HandlerFunc(func(_ context.Context, req *ipmb.Request) ipmb.Response {
					if req.Origin.Privilege != ipmb.PrivilegeNone || req.Origin.Door != ipmb.DoorSerial {
						t.Errorf("%+v", req)
					}
					return ipmb.Response{Code: ipmb.ErrPrivilege}
				}),
				Deliver: func(ipmb.Privilege, uint8, ipmb.Frame) bool { t.Error("to software"); return true },
				Account: func(name string, _ ipmb.Privilege) (mc.Account, error) {
					return mc.Account{ID: 2, Name: name, Password: bytes.Repeat([]byte{0xFE}, mc.PasswordLen), Limit: ipmb.PrivilegeAdmin}, nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			far, near := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, far) }()
			over := make(chan struct{})
			go func() { d.Line(ctx, near); close(over) }()
			_, _ = far.Write(in)
			if d.Sessions() != 0 {
				t.Errorf("%q opens a session", in)
			}
			_ = far.Close()
			<-over
		})
	})
}
