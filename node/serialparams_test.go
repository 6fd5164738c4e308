package node

import (
	"fmt"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/vm/vmtest"
)

// transport asks a guest's BMC a transport command.
func transport(t *testing.T, g *vmtest.Guest, data ...byte) (ipmb.CompletionCode, []byte) {
	t.Helper()
	code, out, err := g.Do(t.Context(), ipmb.NetFnTransport, 0, ipmb.Cmd(data[0]), data[1:])
	if err != nil {
		t.Fatal(err)
	}
	return code, out
}

// What is configured by IPMI acts on the line, by whichever door it is set.
func TestSerialParameters(t *testing.T) {
	cfg, g := ports(t, SerialPort{Mode: "terminal", Privilege: "admin"})
	l := talkTo(t, cfg.Serial[0])
	set := func(number byte, v ...byte) {
		t.Helper()
		if code, _ := transport(t, g, append([]byte{0x10, 2, number}, v...)...); code != ipmb.OK {
			t.Fatalf("parameter %d: %v", number, code)
		}
	}
	l.expect("[SYS TMODE]", "[OK TMODE]")
	set(29, 0x26, 0x11)
	l.expect("[SYS TMODE]", "[SYS TMODE]") // the echo
	if got := l.hear(); got != "[OK TMODE]" {
		t.Errorf("behind the echo: %s", got)
	}
	set(29, 0x24, 0x31)
	l.expect("[18 04 01\x08\x08\x0837 ]", "\b \b\b \b\b \b[1C 04 37 00 "+spaced(guidOf(t, g))+"]")
	l.expect("[SYS SET TCFG -N 24 11]", "[OK V:24 11") // and a second line
	l.hear()
	if code, got := transport(t, g, 0x11, 2, 29, 0, 0); code != ipmb.OK || fmt.Sprintf("% x", got) != "11 24 11" {
		t.Errorf("set by the line: %v % x", code, got)
	}
	l.expect("[30 04 10 0E 03 81]", "[34 04 10 00]") // from now on basic mode
	ask := ipmb.Frame{To: 0x20, NetFn: ipmb.NetFnApp, From: 0x81, Seq: 1, Cmd: ipmb.CmdGetGlobalEnables}
	raw, err := ask.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.conn.Write([]byte("[SYS TMODE]\r\xa0" + string(raw) + "\xa5")); err != nil {
		t.Fatal(err)
	}
	if got, err := l.in.ReadString(0xA5); err != nil || got[:3] != "\n\xa6\xa0" {
		t.Errorf("basic mode: %q, %v", got, err)
	}
}

// spaced puts blanks between pairs of hex digits.
func spaced(s string) (out string) {
	for i := 0; i < len(s); i += 2 {
		out += " " + s[i:i+2]
	}
	return out[1:]
}

// The sessions of lines are told of, and closed, by the same commands as those
// of the LAN.
func TestSerialSessionInfo(t *testing.T) {
	cfg, g := ports(t, SerialPort{Mode: "terminal"}, SerialPort{Mode: "terminal"})
	makeUser(t, g, 2, "bob", "secret", 4)
	if code, _ := command(t, g, 0x43, 0x90|firstSerialChannel+1, 2, 3); code != ipmb.OK {
		t.Fatal(code)
	}
	info := func(want string, data ...byte) {
		t.Helper()
		code, got := command(t, g, append([]byte{0x3D}, data...)...)
		if code != ipmb.OK || fmt.Sprintf("% x", got) != want {
			t.Errorf("% x: %v % x, want %s", data, code, got, want)
		}
	}
	info("00 3f 00", 1)
	first, second := talkTo(t, cfg.Serial[0]), talkTo(t, cfg.Serial[1])
	first.expect("[SYS PWD -U bob secret]", "[OK]")
	second.expect("[SYS PWD -U bob secret]", "[OK]")
	const onFirst, onSecond = "61 3f 02 02 04 02 00 00 00 00 00 00", "71 3f 02 02 03 03 00 00 00 00 00 00"
	info(onFirst, 1)
	info(onSecond, 2)
	info("00 3f 02", 3)
	info("00 3f 02", 0) // the guest has none of its own
	info(onSecond, 0xFE, 0x71)
	info("00 3f 02", 0xFE, 0x72)
	info("00 3f 02", 0xFF, 1, 2, 3, 4)
	second.expect("[18 04 3D 00]", "[1C 04 3D 00 71 3F 02 02 03 03 00 00 00 00 00 00]")
	if code, got := command(t, g, 0x38, 3, 4); code != ipmb.OK || fmt.Sprintf("% x", got) != "03 14 14 00 00 00 00 00" {
		t.Errorf("capabilities of the second line: %v % x", code, got)
	}
	second.expect("[18 04 3C 00 00 00 00 61]", "[1C 04 3C D4]") // he is no administrator there
	first.expect("[18 04 3C 00 00 00 00 71]", "[1C 04 3C 00]")
	second.expect("[18 04 3D 00]", "[1C 04 3D D4]")
	first.expect("[18 04 3C 01 02 03 04]", "[1C 04 3C 87]")
	info("61 3f 01 02 04 02 00 00 00 00 00 00", 1)
	if code, _ := command(t, g, 0x3C, 0, 0, 0, 0, 0x61); code != ipmb.OK {
		t.Errorf("the guest closes it: %v", code)
	}
	info("00 3f 00", 1)
	first.expect("[18 04 01]", "[1C 04 01 D4]")
}
