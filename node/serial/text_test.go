package serial

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/sel"
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

// The health is the worst of what the sensors with thresholds and the chassis
// status tell.
func TestHealth(t *testing.T) {
	sensors := []Sensor{
		{Kind: sel.SensorTemperature, Number: 1},
		{Kind: sel.SensorTemperature, LUN: 3, Number: 2},
		{Kind: sel.SensorVoltage, Number: 3},
		{Kind: sel.SensorFan, Number: 4},
		{Kind: sel.SensorCurrent, Number: 5},
	}
	for _, tt := range []struct {
		status   string // of the chassis
		readings string // of the sensors: a flag and a threshold byte each
		want     string
	}{
		{"014000", "40c0 40c0 40c0 40c0 40c0", "PWR:ON H:ok T:ok V:ok PS:ok C:ok D:ok S:ok O:ok"},
		{"004000", "60c0 60c0 60c0 60c0 00c0", "PWR:OFF H:ok T:?? V:?? PS:ok C:ok D:ok S:ok O:??"},
		{"014000", "40c0 40c8 60ff 40c0 40c0", "PWR:ON H:nc T:nc V:?? PS:ok C:ok D:ok S:ok O:ok"},
		{"014000", "40d8 40c0 40c3 40c0 40c1", "PWR:ON H:cr T:cr V:cr PS:ok C:ok D:ok S:ok O:nc"},
		{"014000", "40c0 40c0 40c0 40c7 40c0", "PWR:ON H:nr T:ok V:ok PS:ok C:nr D:ok S:ok O:ok"},
		{"090008", "40c0 40c0 40c0 40c0 40c0", "PWR:ON H:uf T:ok V:ok PS:uf C:uf D:ok S:ok O:ok"},
		{"030005", "40c0 40c0 40c0 40f8 40c0", "PWR:ON H:nr T:ok V:ok PS:uf C:nr D:uf S:uf O:ok"},
	} {
		onLine(t, Config{Mode: Terminal, Sensors: sensors, Origin: ipmb.Origin{Privilege: ipmb.PrivilegeUser}}, func(r *rig) {
			readings := unhex(t, strings.ReplaceAll(tt.readings, " ", ""))
			r.answer = func(q *ipmb.Request) ipmb.Response {
				if q.NetFn == ipmb.NetFnChassis {
					return ipmb.Response{Data: unhex(t, tt.status)}
				}
				i := int(q.Data[0]) - 1
				if q.Cmd != cmdSensorReading || q.LUN != sensors[i].LUN {
					t.Errorf("asked %+v", q)
				}
				return ipmb.Response{Data: append([]byte{0x55}, readings[2*i:2*i+2]...)}
			}
			if got := r.hear("[SYS HEALTH QUERY]", time.Hour); got != "[OK "+tt.want+"]\r\n" {
				t.Errorf("%s %s: %s, want %s", tt.status, tt.readings, got, tt.want)
			}
		})
	}
}
