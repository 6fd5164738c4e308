// Package ptytest runs programs on a terminal, for tests that type.
package ptytest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Terminal is a program on a terminal of its own, with somebody who types.
type Terminal struct {
	t      testing.TB
	cmd    *exec.Cmd
	master *os.File
	ended  chan error

	mu    sync.Mutex
	shown []byte        // what the program wrote
	at    int           // how much of that has been looked at
	more  chan struct{} // closed when there is more
}

// Start starts a program, which is killed at the end of the test.
func Start(t testing.TB, name string, args ...string) *Terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var number int
	conn, err := master.SyscallConn() // Fd would make reads block for ever
	if err == nil {
		_ = conn.Control(func(fd uintptr) {
			if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
				number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	p := &Terminal{t: t, cmd: exec.Command(name, args...), master: master, ended: make(chan error, 1), more: make(chan struct{})}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = tty, tty, tty
	p.cmd.Env = append(os.Environ(), "TERM=dumb")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.read()
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); _ = master.Close() })
	return p
}

func (p *Terminal) read() {
	buf := make([]byte, 4096)
	for {
		n, err := p.master.Read(buf)
		p.mu.Lock()
		p.shown = append(p.shown, buf[:n]...)
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Types types.
func (p *Terminal) Types(s string) {
	p.t.Helper()
	if _, err := p.master.WriteString(s); err != nil {
		p.t.Fatal(err)
	}
}

// Sees waits for a text after those that were seen before, and gives what was
// shown up to it.
func (p *Terminal) Sees(want string) string {
	p.t.Helper()
	limit := time.After(time.Minute)
	for {
		p.mu.Lock()
		rest, more := p.shown[p.at:], p.more
		before, _, ok := bytes.Cut(rest, []byte(want))
		if ok {
			p.at += len(before) + len(want)
			p.mu.Unlock()
			return string(before)
		}
		p.mu.Unlock()
		select {
		case <-more:
		case <-limit:
			p.t.Fatalf("%s: not shown: %q, but\n%q", p.cmd.Path, want, rest[max(0, len(rest)-2000):])
		}
	}
}

// Echoes reports whether the terminal shows what is typed.
func (p *Terminal) Echoes() bool {
	p.t.Helper()
	var now *unix.Termios
	conn, err := p.master.SyscallConn()
	if err == nil {
		_ = conn.Control(func(fd uintptr) { now, err = unix.IoctlGetTermios(int(fd), unix.TCGETS) })
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return now.Lflag&unix.ECHO != 0
}

// Ends waits until the program has ended by itself.
func (p *Terminal) Ends() error {
	p.t.Helper()
	select {
	case err := <-p.ended:
		return err
	case <-time.After(time.Minute):
		p.t.Fatalf("%s does not end; it shows\n%q", p.cmd.Path, p.shown[p.at:])
		return nil
	}
}
