//go:build e2e

package node

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pty is a terminal whose other end is a node's serial port.
type pty struct {
	t    *testing.T
	path string   // for ipmitool -D
	tty  *os.File // keeps the terminal up between its users
}

// plugIn connects a new terminal to a Unix socket.
func plugIn(t *testing.T, socket string) *pty {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	var number int
	control(t, master, func(fd int) (err error) {
		if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		}
		return err
	})
	p := &pty{t: t, path: fmt.Sprintf("/dev/pts/%d", number)}
	if p.tty, err = os.OpenFile(p.path, os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.tty.Close() })
	raw := unix.Termios{Cflag: unix.CS8 | unix.CREAD | unix.CLOCAL}
	raw.Cc[unix.VMIN] = 1
	control(t, p.tty, func(fd int) error { return unix.IoctlSetTermios(fd, unix.TCSETS, &raw) })
	conn := dialSoon(t, socket)
	go func() { _, _ = io.Copy(conn, master) }()
	go func() { _, _ = io.Copy(master, conn) }()
	return p
}

// control does something with a descriptor: Fd would make its reads block for ever.
func control(t *testing.T, f *os.File, do func(fd int) error) {
	t.Helper()
	conn, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if outer := conn.Control(func(fd uintptr) { err = do(int(fd)) }); outer != nil || err != nil {
		t.Fatal(outer, err)
	}
}

// ipmitool runs the real one on the terminal.
func (p *pty) ipmitool(mode string, args ...string) (string, error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	args = append([]string{"-I", "serial-" + mode, "-D", p.path + ":115200", "-R", "1"}, args...)
	out, err := exec.CommandContext(ctx, "ipmitool", args...).CombinedOutput()
	return string(out), err
}

func (p *pty) expect(mode, want string, args ...string) {
	p.t.Helper()
	out, err := p.ipmitool(mode, args...)
	if err != nil || !regexp.MustCompile("(?s)"+want).MatchString(out) {
		p.t.Errorf("ipmitool %s: %v, want %q; got\n%s", strings.Join(args, " "), err, want, out)
	}
}

// say types a line and reads the answer.
func (p *pty) say(line string) string {
	p.t.Helper()
	if _, err := p.tty.WriteString(line + "\r"); err != nil {
		p.t.Fatal(err)
	}
	return p.hear()
}

// hear reads an answer.
func (p *pty) hear() string {
	p.t.Helper()
	_ = p.tty.SetReadDeadline(time.Now().Add(time.Minute))
	var answer []byte
	for b := make([]byte, 1); !strings.HasSuffix(string(answer), "]\n") && !strings.HasSuffix(string(answer), "]\r\n"); answer = append(answer, b[0]) {
		if _, err := p.tty.Read(b); err != nil {
			p.t.Fatal(err)
		}
	}
	return strings.TrimSpace(string(answer))
}

func TestE2ESerialIpmitool(t *testing.T) {
	for _, mode := range []string{"terminal", "basic", "direct"} {
		t.Run(mode, func(t *testing.T) {
			cfg, _ := ports(t, SerialPort{Mode: mode, Privilege: "admin"})
			p := plugIn(t, socketOf(cfg.Serial[0]))
			as := mode
			if mode == "direct" {
				as = "basic"
			}
			p.expect(as, `IPMI Version +: 2\.0`, "mc", "info")
			p.expect(as, `System Power +: on`, "chassis", "status")
			p.expect(as, `Board Mfg`, "fru", "print", "0")
			if mode != "direct" {
				p.expect(as, `Channel Medium Type +: (Asynch|Serial)`, "channel", "info", "2")
			}
			p.expect(as, `[0-9a-f]+`, "sdr", "elist")
			p.expect(as, `Version`, "sel", "info")
		})
	}
}

// TestE2ESerialLogin has the line closed to who has not logged in.
func TestE2ESerialLogin(t *testing.T) {
	cfg, g := ports(t, SerialPort{Mode: "terminal"})
	p := plugIn(t, socketOf(cfg.Serial[0]))
	if out, err := p.ipmitool("terminal", "mc", "info"); err == nil {
		t.Errorf("without a session: %s", out)
	}
	makeUser(t, g, 2, "bob", "secret", 3)
	for _, s := range []struct{ say, want string }{
		{"[SYS TMODE]", "[OK TMODE]"},
		{"[SYS PWD -U bob wrong]", "[ERR D4]"},
		{"[SYS PWD -U bob secret]", "[OK]"},
	} {
		if got := p.say(s.say); got != s.want {
			t.Errorf("%s: %s, want %s", s.say, got, s.want)
		}
	}
	p.expect("terminal", `IPMI Version +: 2\.0`, "mc", "info")
	if out, err := p.ipmitool("terminal", "user", "set", "name", "3", "eve"); err == nil {
		t.Errorf("an operator made a user: %s", out)
	}
	if got := p.say("[SYS PWD -X]"); got != "[OK]" {
		t.Error(got)
	}
	if out, err := p.ipmitool("terminal", "mc", "info"); err == nil {
		t.Errorf("after the session: %s", out)
	}
}
