package serial

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

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
		r.wiped()
	})
}

// A password is for whoever logs in: what comes in the session needs none, and the
// session ends with its user all the same.
func TestPasswordIsForTheLogin(t *testing.T) {
	onLine(t, Config{Mode: Terminal}, func(r *rig) {
		r.user(2, "bob", "secret", ipmb.PrivilegeOperator)
		r.hear("[SYS PWD -U bob secret]", time.Hour)
		for range 5 {
			r.hear("[18 04 01]", time.Hour)
		}
		if r.last().Origin.Session == 0 || len(r.given) != 1 {
			t.Errorf("after one login, %d passwords were read: %+v", len(r.given), r.last().Origin)
		}
		delete(r.users, "bob")
		r.say([]byte("[18 04 01]"))
		if r.door.Sessions() != 0 || len(r.given) != 1 {
			t.Errorf("%d sessions of nobody, %d passwords", r.door.Sessions(), len(r.given))
		}
	})
}

// idleLimit is how long a session lasts without a message by default.
const idleLimit = 5 * time.Minute

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

// A session ends when its user has another password, but for the one by which he
// took it; a lower limit holds at once.
func TestSessionOfAChangedUser(t *testing.T) {
	onLine(t, Config{Mode: Terminal}, func(r *rig) {
		stamp := uint64(0)
		change := func(id uint8, limit ipmb.Privilege, by ipmb.Origin) bool {
			a := r.users["bob"]
			stamp++
			a.Stamp, a.Limit = stamp, limit
			r.users["bob"] = a
			return r.door.UserChanged(id, by)
		}
		privilege := func() ipmb.Privilege {
			r.say([]byte("[180c01]"))
			return r.last().Origin.Privilege
		}
		r.user(2, "bob", "secret", ipmb.PrivilegeAdmin)
		r.hear("[SYS PWD -U bob secret]", time.Hour)
		s, _ := r.door.Session()
		own := ipmb.Origin{Door: ipmb.DoorSerial, Session: s.ID}
		if change(2, ipmb.PrivilegeOperator, own) || privilege() != ipmb.PrivilegeOperator {
			t.Error("his own change")
		}
		if r.door.UserChanged(3, ipmb.Origin{}) || privilege() != ipmb.PrivilegeOperator {
			t.Error("somebody else's")
		}
		own.Door = ipmb.DoorLAN // the number of a session of another door
		if !change(2, ipmb.PrivilegeAdmin, own) || privilege() != ipmb.PrivilegeNone {
			t.Error("the session goes on with an old password")
		}
		r.hear("[SYS PWD -U bob secret]", time.Hour)
		delete(r.users, "bob")
		if !r.door.UserChanged(2, ipmb.Origin{}) || r.door.Sessions() != 0 {
			t.Error("the session goes on without its user")
		}
	})
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
		r.wiped()
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
			{cmdActivate, "0204" + strings.Repeat("00", 20), ErrNoChallenge},
			{cmdActivate, "0204", ipmb.ErrLength},
			{cmdChallenge, "02", ipmb.ErrLength},
			{cmdChallenge, "01" + strings.Repeat("00", 16), ipmb.ErrInvalidField}, // MD2
			{cmdChallenge, "00" + strings.Repeat("00", 16), ipmb.ErrInvalidField}, // none at all
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
		for _, another := range []ipmb.Request{
			{Cmd: cmdClose, Data: []byte{id[0] + 2, id[1], id[2], id[3]}}, {Cmd: cmdAuthCapabilities, Data: []byte{1, 4}},
		} { // is the controller's matter
			r.ask(another.Cmd, another.Data...)
			if q := r.last(); q.Cmd != another.Cmd || !bytes.Equal(q.Data, another.Data) {
				t.Errorf("asked %+v, want %+v", q, another)
			}
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
