package serial

import (
	"fmt"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

func hexOf(b []byte) string { return fmt.Sprintf("% X", b) }

// The text commands that configure terminal mode: for this line, and for good.
func TestTextConfigure(t *testing.T) {
	stored := []byte{0x24, 0x11}
	s := Terminal.defaults()
	onLine(t, Config{Mode: Terminal, Origin: ipmb.Origin{Privilege: ipmb.PrivilegeAdmin}, Settings: func() mc.SerialSettings { return s }}, func(r *rig) {
		r.answer = func(q *ipmb.Request) ipmb.Response {
			switch q.Cmd {
			case cmdGetSerial:
				return ipmb.Response{Data: append([]byte{0x11}, stored...)}
			case cmdSetSerial:
				stored = append([]byte(nil), q.Data[2:]...)
				s = configured(t, stored[0], stored[1])
			}
			return ipmb.Response{}
		}
		for _, x := range []struct{ say, want string }{
			{"[SYS SET TCFG]", "[OK V:24 11\r\nN:24 11]\r\n"},
			{"[SYS SET TCFG -V 25 51]", "[OK V:25 51\nN:24 11]\n[SYS]\n"},
			{"[SYS TMODE]", "[OK TMODE]\n[SYS]\n"},
			{"[SYS SET TCFG -N 24 31]", "[OK V:24 31\rN:24 31]\r"},
			{"[SYS TMODE]", "[OK TMODE]\r"},
			{"[SYS SET TCFG -V 40 11]", "[ERR CC]\r"},
			{"[SYS SET TCFG -V 24]", "[ERR CC]\r"},
			{"[SYS SET TCFG -Q 24 11]", "[ERR CC]\r"},
			{"[SYS SET TCFG -V 20 11]", "[OK V:20 11\r\nN:24 31]\r\n"},
		} {
			if got := r.hear(x.say, time.Hour); got != x.want {
				t.Errorf("%s: %q, want %q", x.say, got, x.want)
			}
		}
		if q := r.last(); q.Origin.Privilege != ipmb.PrivilegeAdmin || string(q.Data) != "\x02\x1d\x00\x00" {
			t.Errorf("asked %+v", q)
		}
		_ = r.conn.Close()
		r.plug()
		if got := r.hear("[SYS TMODE]", time.Hour); got != "[OK TMODE]\r" {
			t.Errorf("what held for one line holds for the next: %q", got)
		}
		r.limit = ipmb.PrivilegeUser
		if got := r.hear("[SYS SET TCFG -V 24 11]", time.Hour); got != "[ERR D4]\r" {
			t.Errorf("a user sets the mode: %q", got)
		}
	})
}

func TestTextBootOptions(t *testing.T) {
	onLine(t, Config{Mode: Terminal, Origin: ipmb.Origin{Privilege: ipmb.PrivilegeAdmin}}, func(r *rig) {
		r.answer = func(*ipmb.Request) ipmb.Response { return ipmb.Response{Data: []byte{1, 5, 0x80}} }
		for _, x := range []struct {
			say, want string
			cmd       ipmb.Cmd
			data      string
		}{
			{"[SYS SET BOOTOPT 05 80 04 00 00 00]", "[OK]\r\n", cmdSetBootOptions, "\x05\x80\x04\x00\x00\x00"},
			{"[SYS SET BOOTOPT 85]", "[OK]\r\n", cmdSetBootOptions, "\x85"},
			{"[SYS GET BOOTOPT 05 00 00]", "[OK 01 05 80]\r\n", cmdGetBootOptions, "\x05\x00\x00"},
		} {
			if got := r.hear(x.say, time.Hour); got != x.want {
				t.Errorf("%s: %q, want %q", x.say, got, x.want)
			}
			if q := r.last(); q.NetFn != ipmb.NetFnChassis || q.Cmd != x.cmd || string(q.Data) != x.data {
				t.Errorf("%s asked %+v", x.say, q)
			}
		}
		n := r.count()
		for _, say := range []string{"[SYS SET BOOTOPT]", "[SYS SET BOOTOPT x]", "[SYS GET BOOTOPT 05]", "[SYS GET BOOTOPT 05 00 00 00]"} {
			if got := r.hear(say, time.Hour); got != "[ERR CC]\r\n" || r.count() != n {
				t.Errorf("%s: %q", say, got)
			}
		}
	})
}
