//go:build e2e

package node

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/midplane-project/midplane/ipmb"
)

// TestE2ESerialPTY has ipmitool on the host open a port as it opens a tty:
// each time anew, in the session of who logged in before, with whatever
// terminal mode is configured to write between the answers.
func TestE2ESerialPTY(t *testing.T) {
	cfg := lone(t)
	link := filepath.Join(cfg.Dir, "tty")
	cfg.Serial = []SerialPort{{Mode: "terminal", Listen: SerialPTY + link}}
	n := run(t, cfg, nil)
	defer func() {
		if err := n.end(); err != nil {
			t.Error(err)
		}
	}()
	g := connect(t, cfg)
	makeUser(t, g, 2, "bob", "secret", 4)
	set := func(number byte, v ...byte) {
		t.Helper()
		if code, _ := transport(t, g, append([]byte{0x10, 2, number}, v...)...); code != ipmb.OK {
			t.Fatalf("parameter %d: %v", number, code)
		}
	}
	p := &pty{t: t, path: link}
	login := func() {
		t.Helper()
		var err error
		if p.tty, err = os.OpenFile(link, os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
			t.Fatal(err)
		}
		for got := p.say("[SYS PWD -U bob secret]"); got != "[OK]"; got = p.hear() {
			if !strings.HasPrefix(got, "[SYS") { // an echo, or a handshake
				t.Fatal(got)
			}
		}
		if err := p.tty.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := p.ipmitool("terminal", "mc", "info"); err == nil {
		t.Errorf("without a session: %s", out)
	}
	set(6, 0x02) // a session stays when its line is lost
	for _, mode := range [][]byte{{0x24, 0x11}, {0x27, 0x51}} {
		set(29, mode...)
		login()
		p.expect("terminal", `IPMI Version +: 2\.0`, "mc", "info")
		p.expect("terminal", `Board Mfg`, "fru", "print", "0")
		p.expect("terminal", `02 05 09 41 f2`, "raw", "6", "0x42", "2")
		p.expect("terminal", `user id +: 2\n.*channel number +: 0x02\n.*IPMI Messaging`, "session", "info", "active")
		p.expect("terminal", `20 81 00 10 02`, "-b", "0", "-t", "0x20", "raw", "6", "1")
		p.expect("terminal", `20 81 00 10 02`, "-B", "0", "-T", "0x20", "-b", "0", "-t", "0x20", "raw", "6", "1")
	}
	set(3, 0x81) // from terminal to basic mode
	p.expect("basic", `20 81 00 10 02`, "-B", "0", "-T", "0x20", "-b", "0", "-t", "0x20", "raw", "6", "1")
	p.expect("basic", `20 81 00 10 02`, "-b", "0", "-t", "0x20", "raw", "6", "1")
	set(6, 0x03)
	p.expect("basic", `.`, "mc", "info")                                     // and that loses the line
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) { // until the node notices
		if _, info := command(t, g, 0x3D, 1); len(info) == 3 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the session outlives its line")
		}
	}
	if out, err := p.ipmitool("basic", "mc", "info"); err == nil {
		t.Errorf("the session stays: %s", out)
	}
}

// TestE2ESerialConfig has FreeIPMI read and write the configuration of a serial
// channel.
func TestE2ESerialConfig(t *testing.T) {
	cfg := lone(t)
	cfg.LAN.Listen = freeAddress(t)
	cfg.Serial = []SerialPort{{Mode: "terminal", Listen: "unix:" + filepath.Join(cfg.Dir, "s")}}
	n := run(t, cfg, nil)
	defer func() {
		if err := n.end(); err != nil {
			t.Error(err)
		}
	}()
	connect(t, cfg)
	password, err := lanPassword(filepath.Join(cfg.Dir, LANPasswordFile))
	if err != nil {
		t.Fatal(err)
	}
	config := func(want string, args ...string) {
		t.Helper()
		args = with([]string{"-h", cfg.LAN.Listen, "-u", LANUser, "-p", password, "-D", "LAN_2_0", "-l", "ADMIN"}, args...)
		out, err := exec.Command("ipmi-config", args...).CombinedOutput()
		if err != nil || !strings.Contains(strings.Join(strings.Fields(string(out)), " "), want) {
			t.Errorf("ipmi-config %s: %v, want %s\n%s", strings.Join(args[8:], " "), err, want, out)
		}
	}
	config("Enable_Basic_Mode No", "--checkout", "-S", "Serial_Conf")
	config("Enable_Terminal_Mode Yes", "--checkout", "-S", "Serial_Conf")
	config("Connect_Mode Direct_Connect", "--checkout", "-S", "Serial_Conf")
	config("Volatile_Access_Mode Always_Available", "--checkout", "-S", "Serial_Channel")
	config("", "--commit", "-e", "Serial_Conf:Enable_Basic_Mode=Yes")
	config("Enable_Basic_Mode Yes", "--checkout", "-S", "Serial_Conf")
}
