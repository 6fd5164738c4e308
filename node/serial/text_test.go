package serial

import (
	"bytes"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// Text commands, the IPMI command that each asks last, and the answer.
func TestTexts(t *testing.T) {
	for _, tt := range []struct {
		say  string
		n    ipmb.NetFn
		cmd  ipmb.Cmd
		data []byte
		want string
	}{
		{"[SYS POWER ON]", ipmb.NetFnChassis, 2, []byte{1}, "[OK]"},
		{"[sys power off]", ipmb.NetFnChassis, 2, []byte{0}, "[OK]"},
		{"[SYS RESET]", ipmb.NetFnChassis, 2, []byte{3}, "[OK]"},
		{"[SYS IDENTIFY]", ipmb.NetFnChassis, 4, nil, "[OK]"},
		{"[SYS IDENTIFY -ON]", ipmb.NetFnChassis, 4, nil, "[OK]"},
		{"[SYS IDENTIFY -ON 1e]", ipmb.NetFnChassis, 4, []byte{0x1E}, "[OK]"},
		{"[SYS IDENTIFY -OFF]", ipmb.NetFnChassis, 4, []byte{0}, "[OK]"},
		{"[SYS GUID]", ipmb.NetFnApp, 0x37, nil, "[OK 010E00]"},
		{"[SYS SET BOOT 00 08 00 00 00]", ipmb.NetFnChassis, 8, []byte{5, 0x80, 8, 0, 0, 0}, "[OK]"},
		{"[SYS HEALTH QUERY]", ipmb.NetFnChassis, 1, nil, "[OK PWR:ON H:uf T:?? V:?? PS:uf C:ok D:ok S:ok O:??]"},
		{
			"[SYS HEALTH QUERY -V]", ipmb.NetFnChassis, 1, nil,
			"[OK SYS Health:Unspecified fault\r\nPower:ON\r\nTemperature:Unknown\r\nVoltage:Unknown\r\n" +
				"PowerSystem:Unspecified fault\r\nCooling:OK\r\nDrives:OK\r\nSecurity:OK\r\nOther:Unknown]",
		},
	} {
		onLine(t, Config{Mode: Terminal, Origin: ipmb.Origin{Privilege: ipmb.PrivilegeAdmin}}, func(r *rig) {
			// The answer is a GUID's beginning and a chassis status as well.
			r.answer = func(*ipmb.Request) ipmb.Response {
				return ipmb.Response{Data: []byte{0x01 | 0x08*b(tt.cmd == 1), 0x0E, 0x00}}
			}
			if got := r.hear(tt.say, time.Hour); got != tt.want+"\r\n" {
				t.Errorf("%s: %q, want %q", tt.say, got, tt.want)
			}
			if q := r.last(); q.NetFn != tt.n || q.Cmd != tt.cmd || !bytes.Equal(q.Data, tt.data) || q.Origin.Privilege != ipmb.PrivilegeAdmin {
				t.Errorf("%s asked %+v", tt.say, q)
			}
			r.answer = func(*ipmb.Request) ipmb.Response { return ipmb.Response{Code: ipmb.ErrPrivilege} }
			if got := r.hear(tt.say, time.Hour); got != "[ERR D4]\r\n" {
				t.Errorf("%s, refused: %q", tt.say, got)
			}
		})
	}
}

func b(yes bool) byte {
	if yes {
		return 1
	}
	return 0
}

func TestTextsRefused(t *testing.T) {
	onLine(t, Config{Mode: Terminal, Origin: ipmb.Origin{Privilege: ipmb.PrivilegeAdmin}}, func(r *rig) {
		for say, want := range map[string]string{
			"[SYS]": "[ERR C1]", "[SYS DANCE]": "[ERR C1]", "[SYS POWER]": "[ERR C1]", "[SYS POWER ON NOW]": "[ERR CC]",
			"[SYS TMODE x]": "[ERR CC]", "[SYS RESET -X]": "[ERR CC]", "[SYS IDENTIFY -ON 1]": "[ERR CC]",
			"[SYS IDENTIFY -ON 0102]": "[ERR CC]", "[SYS IDENTIFY 1 2 3]": "[ERR CC]", "[SYS GUID x]": "[ERR CC]",
			"[SYS SET BOOT 00 08]": "[ERR CC]", "[SYS SET BOOT 00 08 00 00 0x]": "[ERR CC]", "[SYS HEALTH QUERY -Q]": "[ERR CC]",
		} {
			if got := r.hear(say, time.Hour); got != want+"\r\n" {
				t.Errorf("%s: %q, want %q", say, got, want)
			}
		}
		if n := r.count(); n > 0 {
			t.Errorf("%d commands were asked", n)
		}
		r.answer = func(*ipmb.Request) ipmb.Response { return ipmb.Response{} }
		if got := r.hear("[SYS HEALTH QUERY]", time.Hour); got != "[ERR FF]\r\n" {
			t.Errorf("health without a status: %q", got)
		}
	})
}
