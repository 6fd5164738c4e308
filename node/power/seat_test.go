package power

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// person attaches as one wishes.
func person(t *testing.T, c *Console, a Attachment) net.Conn {
	t.Helper()
	person, ours := net.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	joined := make(chan struct{})
	a.Joined = func(*Seat) { close(joined) }
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.Attach(ctx, ours, a)
		ours.Close()
	}()
	t.Cleanup(func() { cancel(); person.Close(); ours.Close(); <-ended })
	select {
	case <-joined:
	case <-ended:
		t.Fatal("not let in")
	}
	return person
}

// The second one watches; one who takes over types, and the first is told.
func TestConsoleIsTakenOver(t *testing.T) {
	vm, c, _ := newLine(t, ConsoleConfig{})
	first := person(t, c, Attachment{Mode: TypeOrWatch})
	second := person(t, c, Attachment{Mode: TypeOrWatch})
	expect(t, second, noteBusy)
	if _, err := io.WriteString(second, "lost"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(first, "1"); err != nil {
		t.Fatal(err)
	}
	expect(t, vm, "1")
	thief, err := c.Join(TakeOver, 0, true)
	check(t, err)
	expect(t, first, noteTaken)
	if _, err := io.WriteString(first, "lost"); err != nil {
		t.Fatal(err)
	}
	if _, err := thief.Write([]byte("2")); err != nil {
		t.Fatal(err)
	}
	expect(t, vm, "2")
	again, err := c.Join(TakeOver, 0, false)
	check(t, err)
	<-thief.Taken()
	if _, err := thief.Write([]byte("3")); !errors.Is(err, ErrWriterBusy) {
		t.Errorf("write after it was taken: %v", err)
	}
	check(t, thief.Close()) // takes nothing from the one who types now
	if !again.Types() {
		t.Error("nobody types")
	}
	check(t, again.Close())
	check(t, again.Close())
	last, err := c.Join(Type, 0, false)
	check(t, err)
	check(t, last.Close())
}

// The VM waits for a reader that paces itself, and not for ever.
func TestSeatHoldsTheVM(t *testing.T) {
	vm, c, _ := newLine(t, ConsoleConfig{})
	s, err := c.Join(TakeOver, 0, true)
	check(t, err)
	defer s.Close()
	const size = outletBytes + outletBytes/2 // more than a reader may leave unread
	go func() { _, _ = io.WriteString(vm, strings.Repeat("x", size)) }()
	for n := 0; n < size; {
		p, lost, err := s.Next(t.Context())
		if err != nil || lost || bytes.Trim(p, "x") != nil && len(bytes.Trim(p, "x")) > 0 {
			t.Fatalf("after %d: %d bytes, lost %v, %v", n, len(p), lost, err)
		}
		n += len(p)
		time.Sleep(time.Millisecond) // it is slow
	}
	watcher := person(t, c, Attachment{})
	go func() { _, _ = io.WriteString(vm, strings.Repeat("y", size)+"end") }()
	var seen bytes.Buffer
	check(t, watcher.SetReadDeadline(time.Now().Add(time.Minute)))
	for !strings.HasSuffix(seen.String(), "end") { // though s reads nothing
		buf := make([]byte, 4096)
		n, err := watcher.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		seen.Write(buf[:n])
	}
	if _, lost, err := s.Next(t.Context()); err != nil || !lost {
		t.Errorf("lost %v, %v", lost, err)
	}
}

func TestSeatKnowsPower(t *testing.T) {
	vm, c, _ := newLine(t, ConsoleConfig{})
	s, err := c.Join(TakeOver, 0, true)
	check(t, err)
	defer s.Close()
	on, changed := s.Power()
	if !on {
		t.Error("off")
	}
	vm.Close()
	<-changed
	if on, changed = s.Power(); on {
		t.Error("on")
	}
	if _, err := s.Write([]byte("x")); !errors.Is(err, ErrNotRunning) {
		t.Errorf("write to nobody: %v", err)
	}
	vm.accept()
	<-changed
	if on, _ = s.Power(); !on {
		t.Error("off again")
	}
}

// What is past is shown from the log, and then what comes, without a gap; of the
// past no terminal is asked anything.
func TestConsoleReplaysItsLog(t *testing.T) {
	vm, c, cfg := newLine(t, ConsoleConfig{LogBytes: 60, LogFiles: 9})
	reader, _ := attach(t, c, 0, false)
	for i := range 10 {
		line := strings.Repeat(string(rune('a'+i)), 20) + "\x1b[6n\x1bc\n"
		vm.print(line)
		expect(t, reader, line)
	}
	var all string
	for i := range 10 {
		all += strings.Repeat(string(rune('a'+i)), 20) + "\x1bc\n"
	}
	late := person(t, c, Attachment{Log: true})
	expect(t, late, all)
	vm.print("now\x1b[6n")
	expect(t, late, "now\x1b[6n")
	check(t, c.Close())

	cfg.Socket += "none"
	c = openConsole(t, cfg) // another process
	var out bytes.Buffer
	check(t, c.Attach(t.Context(), struct {
		io.Reader
		io.Writer
	}{nil, &out}, Attachment{Log: true, Leave: true}))
	if got := out.String(); got != all+"now" {
		t.Errorf("%q", got)
	}
	out.Reset()
	check(t, c.Attach(t.Context(), &out, Attachment{Log: true, Since: time.Now().Add(time.Hour), Leave: true}))
	if out.Len() > 0 {
		t.Errorf("of the future: %q", out.String())
	}
}

func TestStamper(t *testing.T) {
	var out bytes.Buffer
	s := &stamper{w: &out, on: true, start: true}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	check(t, s.show([]byte("one\r\ntw"), at))
	check(t, s.show([]byte("o\r\n"), at.Add(time.Second)))
	check(t, s.show([]byte("three"), time.Time{}))
	want := "[2026-01-02 03:04:05.006] one\r\n[2026-01-02 03:04:05.006] two\r\n[                       ] three"
	if got := out.String(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
