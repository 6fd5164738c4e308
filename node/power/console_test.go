package power

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// line is the VM's end of a console: QEMU's chardev.
type line struct {
	t *testing.T
	l net.Listener
	net.Conn
}

func newLine(t *testing.T, cfg ConsoleConfig) (*line, *Console, ConsoleConfig) {
	t.Helper()
	dir := shortDir(t)
	cfg.Socket, cfg.Log = filepath.Join(dir, "c"), filepath.Join(dir, "console.log")
	l, err := net.Listen("unix", cfg.Socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c := openConsole(t, cfg)
	at := &line{t: t, l: l}
	at.accept()
	check(t, c.Ready(t.Context()))
	return at, c, cfg
}

func openConsole(t *testing.T, cfg ConsoleConfig) *Console {
	t.Helper()
	c, err := NewConsole(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (l *line) accept() {
	l.t.Helper()
	check(l.t, l.l.(*net.UnixListener).SetDeadline(time.Now().Add(time.Minute)))
	conn, err := l.l.Accept()
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { conn.Close() })
	l.Conn = conn
}

func (l *line) print(s string) {
	l.t.Helper()
	if _, err := io.WriteString(l.Conn, s); err != nil {
		l.t.Fatal(err)
	}
}

// attach runs Attach on one end of a pipe and returns the person's end, who sees what the VM says from then
// on, and Attach's result.
func attach(t *testing.T, c *Console, replay int, writer bool) (net.Conn, <-chan error) {
	t.Helper()
	person, ours := net.Pipe()
	result := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); person.Close(); ours.Close() })
	joined := make(chan struct{})
	a := Attachment{Replay: replay, Joined: func(*Seat) { close(joined) }}
	if writer {
		a.Mode = Type
	}
	go func() {
		result <- c.Attach(ctx, ours, a)
		ours.Close()
	}()
	select {
	case <-joined:
	case err := <-result:
		t.Fatalf("not let in: %v", err)
	}
	return person, result
}

// expect reads as much as want has; what never comes ends the test and not the whole run.
func expect(t *testing.T, r net.Conn, want string) {
	t.Helper()
	check(t, r.SetReadDeadline(time.Now().Add(time.Minute)))
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Errorf("read %q, %v, want %q", got, err, want)
	}
}

func TestConsoleIsSharedAndReplayed(t *testing.T) {
	vm, c, _ := newLine(t, ConsoleConfig{})
	first, _ := attach(t, c, 100, false)
	vm.print("SeaBIOS\r\n")
	expect(t, first, "SeaBIOS\r\n")
	second, _ := attach(t, c, 6, false)
	expect(t, second, "BIOS\r\n")
	vm.print("login: ")
	expect(t, first, "login: ")
	expect(t, second, "login: ")
}

func TestConsoleHasOneWriter(t *testing.T) {
	vm, c, _ := newLine(t, ConsoleConfig{})
	typist, done := attach(t, c, 0, true)
	if _, err := io.WriteString(typist, "root\n"); err != nil {
		t.Fatal(err)
	}
	expect(t, vm, "root\n")
	if err := c.Attach(t.Context(), new(bytes.Buffer), Attachment{Mode: Type}); !errors.Is(err, ErrWriterBusy) {
		t.Errorf("second writer: %v", err)
	}
	typist.Close()
	if err := <-done; err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Attach ended with %v", err)
	}
	next, _ := attach(t, c, 0, true)
	if _, err := io.WriteString(next, "x"); err != nil {
		t.Fatal(err)
	}
	expect(t, vm, "x")
}

func TestConsoleFollowsANewProcess(t *testing.T) {
	vm, c, _ := newLine(t, ConsoleConfig{})
	reader, _ := attach(t, c, 100, false)
	vm.print("its last words")
	vm.Close()
	check(t, c.Over(t.Context()))
	expect(t, reader, "its last words")
	vm.accept()
	vm.print("again")
	expect(t, reader, "again")
	check(t, c.Ready(t.Context()))
}

func TestConsoleLogIsBoundedAndSurvives(t *testing.T) {
	vm, c, cfg := newLine(t, ConsoleConfig{LogBytes: 1000, LogFiles: 2, ReplayBytes: 4000})
	reader, _ := attach(t, c, 100, false)
	for i := range 100 {
		piece := strings.Repeat(string(rune('a'+i%26)), 99) + "\n"
		vm.print(piece)
		expect(t, reader, piece)
	}
	files, err := filepath.Glob(cfg.Log + "*")
	if err != nil || len(files) != 6 { // with those of the times
		t.Fatalf("files %q, %v", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Size() > 1000 {
			t.Errorf("%s: %v, %v", f, info, err)
		}
	}
	last := strings.Repeat(string(rune('a'+99%26)), 99) + "\n"
	check(t, c.Close())
	again := openConsole(t, cfg)
	after, _ := attach(t, again, len(last), false)
	expect(t, after, last)
}

func TestSlowReaderSkipsAndIsTold(t *testing.T) {
	o := newOutlet()
	o.push(bytes.Repeat([]byte("old"), 10))
	o.push(bytes.Repeat([]byte("n"), outletBytes))
	p, err := o.next(t.Context())
	if err != nil || !bytes.Contains(p, []byte("[30 bytes skipped")) || bytes.Contains(p, []byte("old")) {
		t.Errorf("%.60q, %v", p, err)
	}
	if o.push([]byte("z")); len(o.ready) != 1 {
		t.Error("no token for the next bytes")
	}
}

func TestRing(t *testing.T) {
	r := ring{max: 4}
	for _, p := range []string{"ab", "cdefg", "", "h", "ijklmnop"} {
		r.add([]byte(p))
	}
	for n, want := range map[int]string{-1: "", 0: "", 3: "nop", 4: "mnop", 99: "mnop"} {
		if got := string(r.last(n)); got != want {
			t.Errorf("last(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestClosedConsoleEndsAttachments(t *testing.T) {
	_, c, _ := newLine(t, ConsoleConfig{})
	_, done := attach(t, c, 0, false)
	check(t, c.Close())
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("err = %v", err)
	}
	if err := c.Ready(t.Context()); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Errorf("Ready: %v", err)
	}
}
