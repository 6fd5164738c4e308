package node

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/serial"
	"github.com/midplane-project/midplane/node/vm/vmtest"
)

// ports is a lone node with serial ports, and its guest.
func ports(t *testing.T, list ...SerialPort) (Config, *vmtest.Guest) {
	t.Helper()
	cfg := lone(t)
	for i, p := range list {
		p.Listen = "unix:" + filepath.Join(cfg.Dir, fmt.Sprint("s", i))
		cfg.Serial = append(cfg.Serial, p)
	}
	n := run(t, cfg, nil)
	t.Cleanup(func() {
		if err := n.end(); err != nil {
			t.Error(err)
		}
	})
	return cfg, connect(t, cfg)
}

func socketOf(p SerialPort) string { return strings.TrimPrefix(p.Listen, "unix:") }

// makeUser gives a guest's BMC a user who may log in by channel 2.
func makeUser(t *testing.T, g *vmtest.Guest, id byte, name, password string, limit byte) {
	t.Helper()
	pad := func(s string) []byte { return append([]byte(s), make([]byte, 16-len(s))...) }
	for _, data := range [][]byte{
		append([]byte{0x45, id}, pad(name)...),
		append([]byte{0x47, id, 2}, pad(password)...),
		{0x47, id, 1},
		{0x43, 0x90 | firstSerialChannel, id, limit},
	} {
		if code, _ := command(t, g, data...); code != ipmb.OK {
			t.Fatalf("% x: %v", data, code)
		}
	}
}

// command asks a guest's BMC an application command.
func command(t *testing.T, g *vmtest.Guest, data ...byte) (ipmb.CompletionCode, []byte) {
	t.Helper()
	code, out, err := g.Do(t.Context(), ipmb.NetFnApp, 0, ipmb.Cmd(data[0]), data[1:])
	if err != nil {
		t.Fatal(err)
	}
	return code, out
}

// talk is a line to a port of text.
type talk struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func talkTo(t *testing.T, p SerialPort) *talk {
	conn := dialSoon(t, socketOf(p))
	return &talk{t, conn, bufio.NewReader(conn)}
}

func (l *talk) say(s string) {
	l.t.Helper()
	if _, err := l.conn.Write([]byte(s + "\r")); err != nil {
		l.t.Fatal(err)
	}
}

func (l *talk) hear() string {
	l.t.Helper()
	_ = l.conn.SetReadDeadline(time.Now().Add(time.Minute)) // a line without an answer fails, not hangs
	s, err := l.in.ReadString('\r')
	if err != nil {
		l.t.Fatal(err)
	}
	return strings.TrimSpace(s)
}

func (l *talk) expect(say, want string) {
	l.t.Helper()
	l.say(say)
	if got := l.hear(); got != want {
		l.t.Errorf("%s: %s, want %s", say, got, want)
	}
}

// A port's channel is in the table; who logs in on it may what his user may,
// and what he does is done.
func TestSerialTerminal(t *testing.T) {
	cfg, g := ports(t, SerialPort{Mode: "terminal"}, SerialPort{Mode: "basic"}, SerialPort{Mode: "direct", Privilege: "user"})
	for data, want := range map[string]string{
		"\x42\x02": "02 05 09 40 f2 1b 00 00 00", "\x42\x03": "03 05 01 40 f2 1b 00 00 00",
		"\x42\x04": "04 05 01 00 f2 1b 00 00 00", "\x41\x02\x80": "22 04",
	} {
		if code, got := command(t, g, []byte(data)...); code != ipmb.OK || fmt.Sprintf("% x", got) != want {
			t.Errorf("% x: %v % x, want %s", data, code, got, want)
		}
	}
	l := talkTo(t, cfg.Serial[0])
	l.expect("[SYS TMODE]", "[OK TMODE]")
	l.expect("[18 04 01]", "[1C 04 01 D4]")
	l.expect("[SYS POWER OFF]", "[ERR D4]")
	l.expect("[SYS HEALTH QUERY]", "[ERR D4]")
	makeUser(t, g, 2, "bob", "secret", 3)
	l.expect("[SYS PWD -U bob secret]", "[OK]")
	l.expect("[18 04 42 0E]", "[1C 04 42 00 02 05 09 41 F2 1B 00 00 00]")
	l.expect("[SYS HEALTH QUERY]", "[OK PWR:ON H:ok T:ok V:ok PS:ok C:ok D:ok S:ok O:ok]")
	l.expect("[SYS SET BOOT 00 04 00 00 00]", "[OK]")
	l.expect("[00 08 09 05 00 00]", "[04 08 09 00 01 05 80 04 00 00 00]")
	l.expect("[SYS IDENTIFY -ON 20]", "[OK]")
	l.expect("[00 08 01]", "[04 08 01 00 21 00 50 70]") // it identifies itself
	l.expect("[SYS GUID]", "[OK "+guidOf(t, g)+"]")
	l.expect("[18 10 45 03 65 76 65 00 00 00 00 00 00 00 00 00 00 00 00 00]", "[1C 10 45 D4]") // an operator makes no users
	if code, _ := command(t, g, 0x40, 2, 0xA0, 0x00); code != ipmb.OK {
		t.Fatalf("close the channel: %v", code)
	}
	l.say("[18 04 01]")
	_ = l.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if s, err := l.in.ReadString('\r'); err == nil {
		t.Errorf("a closed channel says %s", s)
	}
}

func guidOf(t *testing.T, g *vmtest.Guest) string {
	code, data := command(t, g, 0x37)
	if code != ipmb.OK || len(data) != 16 {
		t.Fatalf("GUID: %v % x", code, data)
	}
	return fmt.Sprintf("%X", data)
}

func TestSerialRadisys(t *testing.T) {
	cfg, _ := ports(t, SerialPort{Mode: "radisys", Privilege: "admin"})
	l := talkTo(t, cfg.Serial[0])
	hex := func(f ipmb.Frame) string {
		raw, err := f.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%X", raw)
	}
	enables := ipmb.Frame{To: 0x20, NetFn: ipmb.NetFnApp, From: 0x81, Seq: 5, Cmd: ipmb.CmdGetGlobalEnables}
	l.expect(hex(enables), hex(enables.Reply(ipmb.Response{Data: []byte{defaultEnables}})))
	enables.To = 0x01
	l.expect(hex(enables), hex(enables.Reply(ipmb.Response{Data: []byte{defaultEnables}})))
	enables.To = 0x84
	l.expect(hex(enables), hex(enables.Reply(ipmb.Response{Code: ipmb.ErrNAK}))) // nobody there
}

// What leaves a node by a line is held to its guest's policy, whoever has
// logged in there: the guest may have made him.
func TestSerialPolicy(t *testing.T) {
	for _, o := range []ipmb.Origin{
		{Speaker: ipmb.SpeakerGuest, Door: ipmb.DoorSerial, Channel: 2},
		{Speaker: ipmb.SpeakerSession, Door: ipmb.DoorSerial, Channel: 2},
		{Speaker: ipmb.SpeakerSession, Door: ipmb.DoorLAN, Channel: 1},
	} {
		inTime(t, func(t *testing.T, b *board) {
			b.bus.on(func(ipmb.Message) (ipmb.Response, bool) { return ipmb.Response{Data: []byte{0x42}}, true })
			o.Privilege, o.Source = ipmb.PrivilegeAdmin, self
			send := func(f ipmb.Frame) string {
				return b.ask(o, fmt.Sprintf("06 34 %x", sendMessage(t, f)))
			}
			clearSEL := request(other, 3, ipmb.NetFnStorage, 0x47, 1, 0, 'C', 'L', 'R', 0xAA)
			for _, f := range []ipmb.Frame{clearSEL, wrap(t, third, clearSEL), request(other, 3, ipmb.NetFnChassis, 2, 0)} {
				if got := send(f); got != "d4" {
					t.Errorf("%+v: %s: %s", o, f, got)
				}
			}
			synctest.Wait()
			if sent := b.bus.messages(); len(sent) > 0 {
				t.Errorf("sent %v", sent)
			}
			reply, _ := getDeviceID(other, 3).Reply(ipmb.Response{Data: []byte{0x42}}).AppendBinary(nil)
			if got := send(getDeviceID(other, 3)); got != fmt.Sprintf("00 % x", reply) {
				t.Errorf("%+v reads: %s", o, got)
			}
			if sent := b.bus.messages(); len(sent) != 1 || sent[0].Origin.Speaker != o.Speaker {
				t.Errorf("sent %v", sent)
			}
		})
	}
}

func sendMessage(t *testing.T, f ipmb.Frame) []byte {
	t.Helper()
	raw, err := f.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	data, err := ipmb.SendMessage{Tracking: ipmb.TrackRequest, Message: raw}.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A line speaks to the guest's software by LUN 2, and that to the line.
func TestSerialSoftware(t *testing.T) {
	cfg, g := ports(t, SerialPort{Mode: "terminal", Privilege: "operator"}, SerialPort{Mode: "terminal"})
	if _, err := g.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	l, second := talkTo(t, cfg.Serial[0]), talkTo(t, cfg.Serial[1])
	second.expect("[C2 14 05 AA]", "[C6 14 05 D4]") // who may nothing
	l.say("[C2 14 05 AA]")
	if err := g.WaitAttention(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask := ipmb.Frame{To: 0x20, NetFn: 0x30, ToLUN: ipmb.LUNSMS, From: 0x8F, Seq: 5, Cmd: 5, Data: []byte{0xAA}}
	raw, _ := ask.AppendBinary(nil)
	code, data := command(t, g, byte(ipmb.CmdGetMessage))
	if want := append([]byte{0x32, 0}, raw...); code != ipmb.OK || string(data) != string(want) {
		t.Errorf("Get Message: %v % x, want % x", code, data, want)
	}
	raw, _ = ask.Reply(ipmb.Response{Data: []byte{0xBB}}).AppendBinary(nil)
	for _, tt := range []struct {
		head string
		data []byte
		want ipmb.CompletionCode
	}{
		{"\x02\x01", raw, ipmb.ErrHandle},       // another session
		{"\x04\x00", raw, ipmb.ErrInvalidField}, // no such channel
		{"\x42\x00", raw, ipmb.ErrInvalidField}, // tracked
		{"\x02\x00", raw[:5], ipmb.ErrLength},
		{"\x02\x00", append([]byte{1}, raw...), ipmb.ErrInvalidField}, // no frame
		{"\x02\x00", raw, ipmb.OK},
	} {
		if code, _ := command(t, g, append([]byte("\x34"+tt.head), tt.data...)...); code != tt.want {
			t.Errorf("% x: %v, want %v", tt.head, code, tt.want)
		}
	}
	if got, want := l.hear(), "[C6 14 05 00 BB]"; got != want {
		t.Errorf("the line hears %s, want %s", got, want)
	}
	_ = l.conn.Close()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) { // until the node notices
		code, _ := command(t, g, append([]byte("\x34\x02\x00"), raw...)...)
		if code == ipmb.ErrNAK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("without a line: %v", code)
		}
	}
}

func TestSerialPortCheck(t *testing.T) {
	for _, tt := range []struct {
		port SerialPort
		own  bool
		want string
	}{
		{SerialPort{Mode: "terminal", Listen: "guest"}, true, ""},
		{SerialPort{Mode: "direct", Listen: "guest"}, true, ""},
		{SerialPort{Mode: "radisys", Listen: "tcp:[::1]:9", Privilege: "user"}, false, ""},
		{SerialPort{Mode: "basic", Listen: "unix:/s"}, false, ""},
		{SerialPort{Mode: "basic", Listen: "pty:/s"}, false, ""},
		{SerialPort{Mode: "basic", Listen: "pty:"}, false, "pty:PATH"},
		{SerialPort{Mode: "basic", Listen: "guest"}, false, "starts"},
		{SerialPort{Mode: "direct", Listen: "unix:/s"}, false, "nobody can log in"},
		{SerialPort{Mode: "radisys", Listen: "guest", Privilege: "none"}, true, "nobody can log in"},
		{SerialPort{Mode: "smoke", Listen: "guest"}, true, "smoke"},
		{SerialPort{Mode: "basic", Listen: "tcp:0.0.0.0:9"}, true, "loopback"},
		{SerialPort{Mode: "basic", Listen: "/s"}, true, "guest"},
		{SerialPort{Mode: "basic", Listen: "unix:/s", Privilege: "oem"}, true, "oem"},
	} {
		_, err := CheckSerial([]SerialPort{tt.port}, tt.own)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.port, err, tt.want)
		}
	}
	five := make([]SerialPort, MaxSerialPorts+1)
	for i := range five {
		five[i] = SerialPort{Mode: string(serial.Basic), Listen: fmt.Sprint("unix:/s", i)}
	}
	if i, err := CheckSerial(five, false); err == nil || i != MaxSerialPorts {
		t.Errorf("five: %d, %v", i, err)
	}
	for s, want := range map[string]SerialPort{
		"terminal=unix:/s":           {Mode: "terminal", Listen: "unix:/s"},
		"direct,user=tcp:127.0.0.1:": {},
		"direct,user=unix:/a=b":      {Mode: "direct", Listen: "unix:/a=b", Privilege: "user"},
		"terminal":                   {},
	} {
		if got, err := ParseSerialPort(s); (err == nil) != (want != SerialPort{}) || err == nil && got != want {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
	}
	cfg := lone(t)
	cfg.Serial = []SerialPort{{Mode: "terminal", Listen: "guest"}}
	if err := cfg.Check(); err == nil || !strings.Contains(err.Error(), "serial[0]: listen: guest") {
		t.Error(err)
	}
}

// A port stays where it is when another process takes its node over.
func TestSerialTakeOver(t *testing.T) {
	cfg := lone(t)
	cfg.Serial = []SerialPort{{Mode: "terminal", Listen: "unix:" + filepath.Join(cfg.Dir, "s")}}
	n := run(t, cfg, nil)
	for range 3 {
		l := talkTo(t, cfg.Serial[0])
		l.expect("[SYS TMODE]", "[OK TMODE]")
		h, err := TakeOver(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := <-n.done; !errors.Is(err, ErrHandedOver) {
			t.Fatal(err)
		}
		if _, err := l.in.ReadString('\r'); err == nil {
			t.Error("the line outlives its node")
		}
		n = run(t, cfg, h)
	}
	talkTo(t, cfg.Serial[0]).expect("[SYS TMODE]", "[OK TMODE]")
	if err := n.end(); err != nil {
		t.Error(err)
	}
}
