package lanclient

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb/rmcp"
)

// echo is a system that says what it hears, and what is put into out.
type echo struct {
	out   chan []byte
	taken chan struct{}
}

func newEcho() *echo { return &echo{out: make(chan []byte, 100), taken: make(chan struct{})} }

func (e *echo) Open(context.Context, rmcp.Opening) (rmcp.Line, error) { return e, nil }

func (e *echo) Next(ctx context.Context) ([]byte, bool, error) {
	select {
	case b := <-e.out:
		return b, b == nil, nil
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
}

func (e *echo) Heard(int, uint8, uint32) {}

func (e *echo) Resumed() (uint8, uint32, bool) { return 0, 0, false }

func (e *echo) Write(b []byte) (int, error) {
	e.out <- bytes.Clone(b)
	return len(b), nil
}

func (e *echo) Break(context.Context) error    { return nil }
func (e *echo) Power() (bool, <-chan struct{}) { return true, nil }
func (e *echo) Taken() <-chan struct{}         { return e.taken }
func (e *echo) Close() error                   { return nil }

// leaky loses every third datagram each way.
type leaky struct {
	Conn
	in, out int
}

func (l *leaky) Read(b []byte) (int, error) {
	for {
		n, err := l.Conn.Read(b)
		if l.in++; err != nil || l.in%3 != 0 {
			return n, err
		}
	}
}

func (l *leaky) Write(b []byte) (int, error) {
	if l.out++; l.out%3 == 0 {
		return len(b), nil
	}
	return l.Conn.Write(b)
}

// activated is a client at a door with its serial port.
func activated(t *testing.T) (*door, *Client, *SOL) {
	t.Helper()
	d := newDoor(t, "")
	c, err := Dial(t.Context(), d.addr, admin)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.ActivateSOL(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d, c, s
}

// reads waits until s gave as much as want.
func reads(t *testing.T, s *SOL, want []byte) {
	t.Helper()
	var got []byte
	for len(got) < len(want) {
		p, err := s.Read(t.Context())
		if err != nil {
			t.Fatalf("after %d: %v", len(got), err)
		}
		got = append(got, p...)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestSOL(t *testing.T) {
	d, c, s := activated(t)
	if s.Room != solMaxData {
		t.Errorf("%d characters a packet", s.Room)
	}
	text := bytes.Repeat([]byte("0123456789"), 100)
	d.port.out <- text
	reads(t, s, text)
	if n, err := s.Write(t.Context(), text); n != len(text) || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	reads(t, s, text)
	d.port.out <- nil
	d.port.out <- []byte("after what was lost")
	reads(t, s, []byte("after what was lost"))
	if s.Overruns != 1 {
		t.Errorf("%d overruns", s.Overruns)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// Each character comes once and in order, whatever the network loses.
func TestSOLOfALeakyNetwork(t *testing.T) {
	d, c, s := activated(t)
	whole := c.conn
	c.conn = &leaky{Conn: whole}
	text := bytes.Repeat([]byte("abcdefghijklm"), 100)
	d.port.out <- text
	reads(t, s, text)
	some := text[:30]
	if n, err := s.Write(t.Context(), some); n != len(some) || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	c.conn = whole
	reads(t, s, some)
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// stingy is a network at whose other end there is a controller that never has room.
type stingy struct {
	Conn
	them   *Session
	answer []byte
}

func (s *stingy) SetReadDeadline(time.Time) error { return nil }

func (s *stingy) Write(b []byte) (int, error) {
	payload, err := s.them.openKind(bytes.Clone(b), kindSOL)
	if err != nil {
		return 0, err
	}
	s.answer = s.them.appendKind(nil, kindSOL, solPacket{ack: payload[0]}.append(nil))
	return len(b), nil
}

func (s *stingy) Read(b []byte) (int, error) { return copy(b, s.answer), nil }

// Who waits for room may give up.
func TestSOLWithoutRoom(t *testing.T) {
	us, them := pair(t, Suite3)
	s := &SOL{c: &Client{Session: us, conn: &stingy{them: them}}, Room: solMaxData}
	ctx, cancel := context.WithTimeout(t.Context(), 3*fullPause)
	defer cancel()
	if n, err := s.Write(ctx, []byte("x")); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%d, %v", n, err)
	}
}

func TestSOLIsDeactivated(t *testing.T) {
	d, c, s := activated(t)
	other, err := Dial(t.Context(), d.addr, admin)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.ActivateSOL(t.Context()); !errors.Is(err, rmcp.ErrPayloadActive) {
		t.Errorf("a second one: %v", err)
	}
	if err := (&SOL{c: other}).Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if p, err := s.Read(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("%q, %v", p, err)
		}
	}
	if n, err := s.Write(t.Context(), []byte("x")); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("%d, %v", n, err)
	}
	for _, one := range []*Client{c, other} {
		if err := one.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// Golden packets, and those that are none.
func TestSOLPacket(t *testing.T) {
	for wire, want := range map[string]solPacket{
		"\x01\x00\x00\x00ls\r": {seq: 1, data: []byte("ls\r")},
		"\x00\x03\xff\x00":     {ack: 3, count: 255},
		"\x0f\x0e\x01\x18x":    {seq: 15, ack: 14, count: 1, status: solOverrun | solEnded, data: []byte("x")},
	} {
		got, err := parseSOL([]byte(wire))
		if err != nil || got.seq != want.seq || got.ack != want.ack || got.count != want.count || got.status != want.status || !bytes.Equal(got.data, want.data) {
			t.Errorf("% x: %+v, %v", wire, got, err)
		}
		if back := want.append(nil); string(back) != wire {
			t.Errorf("%+v: % x", want, back)
		}
	}
	for _, bad := range []string{"", "\x01\x00\x00", "\x00\x00\x00\x00x", "\x01\x00\x00\x00" + string(make([]byte, solMaxData+1))} {
		if p, err := parseSOL([]byte(bad)); err == nil {
			t.Errorf("% x: %+v", bad, p)
		}
	}
	for wire, want := range map[string]int{
		"\x00\x00\x00\x00\x03\x01\x03\x01\x6f\x02\xff\xff": 255, "\x00\x00\x00\x00\x20\x00\x20\x00\x6f\x02\xff\xff": 28,
		"\x00\x00\x00\x00\xff\xff\x03\x01\x6f\x02\xff\xff": 255, "\x00\x00\x00\x00\x04\x00\x20\x00\x6f\x02\xff\xff": 0, "\x00\x00\x00\x00\x20": 0,
	} {
		if n, err := solRoom([]byte(wire)); n != want || (err == nil) != (want > 0) {
			t.Errorf("% x: %d, %v", wire, n, err)
		}
	}
}

// What a controller signs may still be anything.
func FuzzSOL(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00ls\r"), []byte("\x00\x01\x02\x48"))
	f.Add([]byte("\x0f\x0e\x01\x18x"), []byte("\x00\x00\x00\x00\x20\x00\x20\x00\x6f\x02\xff\xff"))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		us, them := pair(t, Suite3)
		s := &SOL{c: &Client{Session: us, conn: sink{}}, Room: solMaxData}
		for _, b := range [][]byte{one, two, one} {
			raw, err := us.openKind(them.appendKind(nil, kindSOL, b), kindSOL)
			if err != nil || !bytes.Equal(raw, b) {
				t.Fatalf("% x, %v", raw, err)
			}
			if p, err := parseSOL(raw); err == nil {
				s.take(p)
			}
			if n, err := solRoom(b); err == nil && (n < 1 || n > solMaxData) {
				t.Errorf("%d characters", n)
			}
		}
		if len(s.unread) > 3*solMaxData {
			t.Errorf("%d characters of three packets", len(s.unread))
		}
	})
}

// sink is a network that nobody is at.
type sink struct{ Conn }

func (sink) Write(b []byte) (int, error) { return len(b), nil }
