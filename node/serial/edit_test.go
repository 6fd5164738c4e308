package serial

import (
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// configured gives terminal mode two bytes of configuration.
func configured(t *testing.T, first, second byte) mc.SerialSettings {
	t.Helper()
	s := Terminal.defaults()
	var err error
	if s.Mode, err = mc.ParseTerminalMode([]byte{first, second}); err != nil {
		t.Fatal(err)
	}
	return s
}

// What is typed in terminal mode, what shows of it at once, and what comes of
// it: the texts that are submitted.
func TestLineEditing(t *testing.T) {
	for _, tt := range []struct {
		name          string
		first, second byte
		in, echo      string
		want          []string
	}{
		{"quiet", 0x24, 0x11, "x[SYS A]\r", "", []string{"SYS A"}},
		{"nothing before the newline", 0x24, 0x11, "[SYS A]", "", nil},
		{"line feed alone", 0x24, 0x11, "[SYS A]\n[SYS B]\r\n", "", []string{"SYS A", "SYS B"}},
		{"blanks behind the end", 0x24, 0x11, "[SYS A]  \r", "", []string{"SYS A"}},
		{"anything else there", 0x24, 0x11, "[SYS A]x\r[SYS B]\r", "", []string{"SYS B"}},
		{"newline is NUL", 0x24, 0x12, "[SYS A]\r[SYS B]\x00", "", []string{"SYS B"}},
		{"newline within", 0x24, 0x11, "[SYS\r A]\r", "", nil},
		{"line continuation", 0x24, 0x11, "[SYS\\\r\n A]\r", "", []string{"SYS A"}},
		{"a backslash is one", 0x24, 0x11, "[SYS \\A]\r", "", []string{"SYS \\A"}},
		{"backspace", 0x24, 0x11, "[SYS AX\b]\r", "\b \b", []string{"SYS A"}},
		{"delete, shown as such", 0x20, 0x11, "[SYS AX\x7f]\r", "\x7f", []string{"SYS A"}},
		{"the end is taken back", 0x24, 0x11, "[SYS A]\bB]\r", "\b \b", []string{"SYS AB"}},
		{"the beginning is taken back", 0x24, 0x11, "[\bSYS A]\r", "\b \b", nil},
		{"without editing", 0x00, 0x11, "[SYS AX\b]\r[SYS B]\r", "", []string{"SYS B"}},
		{"escape", 0x24, 0x11, "[SYS A]\x1b\r[SYS B]\r", "\r\n", []string{"SYS B"}},
		{"escape, and on", 0x24, 0x11, "[SYS A\x1b[SYS B]\r", "", []string{"SYS B"}},
		{"escape without editing", 0x00, 0x11, "[SYS A\x1b\r[SYS B]\r", "", []string{"SYS B"}},
		{"illegal", 0x24, 0x11, "[SYS\tA]\r[SYS \xc3\xa4]\r", "", nil},
		{"echo", 0x26, 0x11, "x[SYS AX\b]\r\ny", "[SYS AX\b \b]\r\n", []string{"SYS A"}},
		{"echo, other newline", 0x26, 0x41, "[SYS A]\r", "[SYS A]\n\r", []string{"SYS A"}},
	} {
		for _, n := range []int{1, 3, 1000} {
			c := codec(t, Terminal)
			c.Configure(configured(t, tt.first, tt.second))
			var got []string
			for _, e := range all(c, []byte(tt.in), n) {
				if e.Err != nil {
					t.Errorf("%s: %v", tt.name, e.Err)
				}
				got = append(got, e.Text)
			}
			if echo := string(c.AppendEcho(nil)); echo != tt.echo || len(got) != len(tt.want) {
				t.Errorf("%s: %q, shown %q, want %q and %q", tt.name, got, echo, tt.want, tt.echo)
				continue
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
				}
			}
		}
	}
}

// Echo, answer and handshake, as they come over a line.
func TestHandshake(t *testing.T) {
	for _, tt := range []struct {
		second       byte
		echo, answer string
	}{
		{0x11, "[SYS TMODE]\r\n", "[OK TMODE]\r\n[SYS]\r\n"},
		{0x51, "[SYS TMODE]\n", "[OK TMODE]\n[SYS]\n"},
		{0x01, "[SYS TMODE]", "[OK TMODE][SYS]"},
	} {
		s := configured(t, 0x27, tt.second)
		onLine(t, Config{Mode: Terminal, Settings: func() mc.SerialSettings { return s }}, func(r *rig) {
			if got, want := r.say([]byte("[SYS TMODE]")), tt.echo+tt.answer; got != want {
				t.Errorf("%q, want %q", got, want)
			}
			if got := r.say([]byte("[18 04")); got != "[18 04" {
				t.Errorf("half a message is shown as %q", got)
			}
			r.open = false
			if got := r.say([]byte("[SYS TMODE]")); got != "" {
				t.Errorf("a closed channel shows %q", got)
			}
		})
	}
}

// A port follows its connection mode: one, the other, both or none.
func TestConnectionMode(t *testing.T) {
	const (
		hex, hexAnswer     = "[180c01]\r", "[1C 0C 01 00 20]\r\n"
		bytes, bytesAnswer = "\xa0\x20\x18\xc8\x81\x0c\x01\x72\xa5", "\xa6\xa0\x81\x1c\x63\x20\x0c\x01\x00\x20\xb3\xa5"
	)
	s := Terminal.defaults()
	onLine(t, Config{Mode: Terminal, Settings: func() mc.SerialSettings { return s }}, func(r *rig) {
		for _, tt := range []struct{ basic, terminal bool }{{false, true}, {true, false}, {true, true}, {false, false}, {true, true}} {
			s.Basic, s.Terminal = tt.basic, tt.terminal
			for _, one := range []struct {
				on       bool
				say, get string
			}{{tt.terminal, hex, hexAnswer}, {tt.basic, bytes, bytesAnswer}, {tt.terminal, hex, hexAnswer}} {
				want := one.get
				if !one.on {
					want = ""
				}
				if got := r.say([]byte(one.say)); got != want {
					t.Errorf("%+v: %q, want %q", tt, got, want)
				}
			}
		}
	})
}

// The answer to a bridged message is one of its own, by which sessions' modes
// differ from the others.
func TestBridgedAnswers(t *testing.T) {
	inner := ipmb.Frame{To: 0x84, NetFn: ipmb.NetFnApp, From: 0x20, Seq: 3, Cmd: 1}
	raw, err := inner.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := inner.Reply(ipmb.Response{Data: []byte{0x42}}).AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		mode      Mode
		head      byte
		ask, want string
		reply     []byte
	}{
		{Terminal, 0x40, "[18 08 34 ", "[1C 08 34 00]\r\n[1C 0D 01 00 42]\r\n", answer},
		{Terminal, 0x00, "[18 08 34 ", "[1C 08 34 00 " + hexOf(answer) + "]\r\n", answer},
		{Terminal, 0x40, "[18 08 34 ", "[1C 08 34 00]\r\n", nil},
	} {
		onLine(t, Config{Mode: tt.mode}, func(r *rig) {
			r.answer = func(*ipmb.Request) ipmb.Response { return ipmb.Response{Data: tt.reply} }
			if got := r.say([]byte(tt.ask + hexOf(append([]byte{tt.head}, raw...)) + "]")); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
	wrapped := request(ipmb.NetFnApp, 2, ipmb.CmdSendMessage, append([]byte{0x40}, raw...)...)
	split := "\xa6" + string(basicBytes(t, wrapped.Reply(ipmb.Response{}))) + string(basicBytes(t, inner.Reply(ipmb.Response{Data: []byte{0x42}})))
	embedded := "\xa6" + string(basicBytes(t, wrapped.Reply(ipmb.Response{Data: answer})))
	for cfg, want := range map[struct {
		mode  Mode
		style ipmb.BridgeStyle
	}]string{
		{mode: Basic}: embedded, {Basic, ipmb.BridgeSplit}: split, {Basic, ipmb.BridgeEmbedded}: embedded,
		{mode: Direct}: embedded, {Direct, ipmb.BridgeSplit}: split, {Direct, ipmb.BridgeEmbedded}: embedded,
	} {
		onLine(t, Config{Mode: cfg.mode, Style: cfg.style}, func(r *rig) {
			r.answer = func(*ipmb.Request) ipmb.Response { return ipmb.Response{Data: answer} }
			if got := r.say(basicBytes(t, wrapped)); got != want {
				t.Errorf("%v: %q, want %q", cfg, got, want)
			}
		})
	}
}

// The parameters of a channel act on its sessions.
func TestSessionSettings(t *testing.T) {
	s := Basic.defaults()
	onLine(t, Config{Mode: Basic, Settings: func() mc.SerialSettings { return s }}, func(r *rig) {
		r.user(2, "bob", "secret", ipmb.PrivilegeAdmin)
		s.Auth = [5]byte{0, mc.SerialAuthMD5, mc.SerialAuthMD5 | mc.SerialAuthPassword, 0, 0}
		for level, want := range map[byte]byte{1: 0, 2: 0x04, 3: 0x14, 4: 0} {
			if c, d := r.ask(cmdAuthCapabilities, 0x0E, level); c != ipmb.OK || d[1] != want {
				t.Errorf("capabilities for level %d: %v % x", level, c, d)
			}
		}
		for _, tt := range []struct {
			auth, level byte
			want        ipmb.CompletionCode
		}{
			{authPassword, 2, ipmb.ErrInvalidField}, {authPassword, 3, ipmb.OK}, {authMD5, 2, ipmb.OK}, {authMD5, 4, ipmb.ErrInvalidField},
		} {
			if c, _ := r.login(tt.auth, "bob", "secret", tt.level); c != tt.want {
				t.Errorf("%+v: %v", tt, c)
			}
		}
		s.Auth = [5]byte{}
		if c, _ := r.ask(cmdChallenge, append([]byte{authMD5}, wireName("bob")...)...); c != ipmb.ErrInvalidField {
			t.Errorf("a challenge that leads nowhere: %v", c)
		}
	})
	terminal := Terminal.defaults()
	onLine(t, Config{Mode: Terminal, Settings: func() mc.SerialSettings { return terminal }}, func(r *rig) {
		r.user(2, "bob", "secret", ipmb.PrivilegeAdmin)
		terminal.Auth[ipmb.PrivilegeAdmin-1] = mc.SerialAuthMD5
		r.hear("[SYS PWD -U bob secret]", time.Hour)
		if open, _ := r.door.Session(); open.Privilege != ipmb.PrivilegeOperator {
			t.Errorf("a password that will do for an operator: %+v", open)
		}
		terminal.Auth = [5]byte{}
		if got := r.hear("[SYS PWD -U bob secret]", time.Hour); got != "[ERR D4]\r\n" || r.door.Sessions() != 0 {
			t.Errorf("a password that will not do: %q", got)
		}
		terminal = Terminal.defaults()
		r.hear("[SYS PWD -U bob secret]", time.Hour)
		terminal.Inactivity = time.Minute
		time.Sleep(time.Minute + time.Second)
		if r.door.Sessions() != 0 {
			t.Error("a minute is too long")
		}
		terminal.Inactivity, terminal.EndsWithLine = 0, false
		r.hear("[SYS PWD -U bob secret]", time.Hour)
		before, _ := r.door.Session()
		time.Sleep(100 * time.Hour)
		_ = r.conn.Close()
		r.plug()
		if r.say([]byte("[180c01]")); r.last().Origin.Session != before.ID {
			t.Errorf("the next line speaks in %+v, want session %+v", r.last().Origin, before)
		}
		if r.door.CloseSession(before.ID+2) || !r.door.CloseSession(before.ID) {
			t.Error("sessions are not closed by their ids")
		}
		if r.say([]byte("[180c01]")); r.last().Origin.Privilege != ipmb.PrivilegeNone {
			t.Errorf("%+v", r.last().Origin)
		}
	})
}
