package power

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
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
	thief, err := c.TakePaced(Paced{})
	check(t, err)
	expect(t, first, noteTaken)
	if _, err := io.WriteString(first, "lost"); err != nil {
		t.Fatal(err)
	}
	if _, err := thief.Write([]byte("2")); err != nil {
		t.Fatal(err)
	}
	expect(t, vm, "2")
	again, err := c.Join(TakeOver, 0)
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
	last, err := c.Join(Type, 0)
	check(t, err)
	check(t, last.Close())
}

// The VM waits for a reader that paces itself, and not for ever.
func TestSeatHoldsTheVM(t *testing.T) {
	vm, c, _ := newLine(t, ConsoleConfig{})
	s, err := c.TakePaced(Paced{})
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
		s.Heard(len(p), 0, 0)
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

// The VM waits for a reader who paces himself as long as his session lives, and
// no longer; nothing is lost to him who goes on in time.
func TestSeatHoldsAsLongAsToldTo(t *testing.T) {
	const hold = 4 * time.Second
	flood := bytes.Repeat([]byte("x"), outletHold)
	for _, tt := range []struct {
		name   string
		silent time.Duration // between two pieces
		waits  time.Duration // of the VM, for both
	}{
		{"hears in time", hold - time.Millisecond, 2*hold - 2*time.Millisecond},
		{"is dead", time.Hour, hold},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				c := openConsole(t, ConsoleConfig{Socket: filepath.Join(dir, "none"), Log: filepath.Join(dir, "log")})
				s, err := c.TakePaced(Paced{Hold: hold})
				check(t, err)
				defer s.Close()
				go func() {
					for {
						p, lost, err := s.Next(t.Context())
						if err != nil {
							return
						}
						if lost || len(p) != len(flood) {
							t.Errorf("%d bytes, lost %v", len(p), lost)
						}
						select {
						case <-time.After(tt.silent):
							s.Heard(len(p), 0, 0)
						case <-t.Context().Done():
							return
						}
					}
				}()
				start := time.Now()
				for range 2 {
					c.take(flood)
					c.awaitReaders()
				}
				if got := time.Since(start); got != tt.waits {
					t.Errorf("the VM waits for %v, want %v", got, tt.waits)
				}
			})
		})
	}
}

// A session goes on where it was, whether its place was left or is taken from
// itself; another one is shown what is past.
func TestSeatIsResumed(t *testing.T) {
	vm, c, _ := newLine(t, ConsoleConfig{ReplayBytes: 50})
	shows := func(p Paced, want string) *Seat {
		t.Helper()
		s, err := c.TakePaced(p)
		check(t, err)
		var got []byte
		for len(got) < len(want) {
			p, lost, err := s.Next(t.Context())
			if err != nil || lost {
				t.Fatalf("%q, lost %v, %v", got, lost, err)
			}
			got = append(got, p...)
		}
		if string(got) != want {
			t.Fatalf("%q, want %q", got, want)
		}
		return s
	}
	watcher, _ := attach(t, c, 0, false)
	prints := func(text string) {
		vm.print(text)
		expect(t, watcher, text)
	}
	prints("past\n")
	s := shows(Paced{Session: "a", Replay: 100}, "past\n")
	prints("heard, unheard")
	_, _, err := s.Next(t.Context())
	check(t, err)
	s.Heard(len("past\nheard, "), 7, 70)
	again := shows(Paced{Session: "a", Replay: 100, Resume: true}, "unheard")
	if packet, number, ok := again.Resumed(); packet != 7 || number != 70 || !ok {
		t.Errorf("resumed after packet %d, number %d, %v", packet, number, ok)
	}
	<-s.Taken()
	check(t, s.Close())
	again.Heard(len("unhear"), 9, 90)
	check(t, again.Close())
	prints("\nwhile nobody was there")
	late := shows(Paced{Session: "a", Replay: 100, Resume: true}, "d\nwhile nobody was there")
	if packet, number, ok := late.Resumed(); packet != 9 || number != 90 || !ok {
		t.Errorf("resumed after packet %d, number %d, %v", packet, number, ok)
	}
	check(t, late.Close())
	prints(strings.Repeat("long", 100))
	much, err := c.TakePaced(Paced{Session: "a", Resume: true})
	check(t, err)
	if p, lost, err := much.Next(t.Context()); len(p) != 50 || !lost || err != nil {
		t.Errorf("%d bytes, lost %v, %v", len(p), lost, err)
	}
	if packet, number, ok := much.Resumed(); ok || number != 90 {
		t.Errorf("resumed after packet %d, number %d, though some is missing", packet, number)
	}
	check(t, much.Close())
	prints("there")
	for _, p := range []Paced{{Session: "a", Replay: 5}, {Session: "b", Replay: 5, Resume: true}, {Replay: 5, Resume: true}} {
		other := shows(p, "there")
		if packet, _, ok := other.Resumed(); ok {
			t.Errorf("%+v: resumed after packet %d", p, packet)
		}
		check(t, other.Close())
	}
}

func TestSeatKnowsPower(t *testing.T) {
	vm, c, _ := newLine(t, ConsoleConfig{})
	s, err := c.TakePaced(Paced{})
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
