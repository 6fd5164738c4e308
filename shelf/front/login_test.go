package front

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"
)

// step is a message of a login that says what.
func step(what string) []byte { return append(bytes.Clone(openBytes), what...) }

func (b *bed) sendStep(what string) {
	b.t.Helper()
	if _, err := b.client.Write(step(what)); err != nil {
		b.t.Fatal(err)
	}
}

// getsStep reads one message of a login, and what came with it.
func getsStep(t *testing.T, c *Conn, want, login string) net.Addr {
	t.Helper()
	stop := time.AfterFunc(10*time.Second, func() { _ = c.Close() })
	defer stop.Stop()
	buf := make([]byte, maxDatagram)
	n, got, from, err := c.ReadStep(buf)
	if err != nil || !bytes.Equal(buf[:n], step(want)) || string(got) != login || (got == nil) != (login == "") {
		t.Fatalf("%q with %q, %v; want %q with %q", buf[:n], got, err, want, login)
	}
	return from
}

func (b *bed) answerStep(c *Conn, to net.Addr, what string, login []byte) {
	b.t.Helper()
	if _, err := c.WriteStep(step(what), login, to); err != nil {
		b.t.Fatal(err)
	}
	_ = b.client.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, maxDatagram)
	if n, err := b.client.Read(buf); err != nil || !bytes.Equal(buf[:n], step(what)) {
		b.t.Fatalf("%q, %v", buf[:n], err)
	}
}

// What a leader said of a login goes to the next one before what its client says;
// to the leader itself it does not, nor once the login is over. A client has no say in it.
func TestLoginGoesToTheNextLeader(t *testing.T) {
	b := newBed(t, 3)
	first := b.entries[0].Lead(4)
	b.sendStep("open")
	from := getsStep(t, first, "open", "")
	b.answerStep(first, from, "opened", []byte("a"))
	b.sendStep("one")
	getsStep(t, first, "one", "")
	b.answerStep(first, from, "two", []byte("ab"))
	b.sendStep("three")
	getsStep(t, first, "three", "")

	second := b.entries[1].Lead(7) // the first stands still
	getsStep(t, second, "three", "ab")
	if _, err := first.WriteStep(step("four"), []byte("old"), from); err != nil {
		t.Error(err)
	}
	b.sendStep("three again")
	getsStep(t, second, "three again", "ab")
	b.send("inside")
	if what, _ := gets(t, second); what != "inside" {
		t.Errorf("got %q", what)
	}
	b.answerStep(second, from, "so far", []byte("abc"))
	b.sendStep("on")
	getsStep(t, second, "on", "")

	_ = b.entries[0].Close()
	again := b.entries[2].Lead(8)
	getsStep(t, again, "on", "abc")
	b.answerStep(again, from, "over", []byte{})
	next := b.entries[1].Lead(9)
	b.sendStep("more")
	getsStep(t, next, "more", "")
	b.answerStep(next, from, "anew", []byte("n"))
	b.answer(next, from, string(inside("other things are said meanwhile")))
	last := b.entries[2].Lead(10)
	b.sendStep("on")
	getsStep(t, last, "on", "n")
}

// Of what a socket says of a login the next leader gets the newest only: an answer to
// an earlier one could come late.
func TestNewestStep(t *testing.T) {
	f, now := newFront(), time.Now()
	other := netip.AddrPortFrom(elsewhere.Addr(), elsewhere.Port()+1)
	for _, d := range []datagram{
		{peer: elsewhere, data: step("three")},
		{peer: other, data: step("one")},
		{peer: elsewhere, data: inside("1")},
		{peer: elsewhere, data: inside("2")},
		{peer: elsewhere, data: step("three again")},
	} {
		f.take(d, now)
	}
	if l := f.others.list; len(l) != 2 || !bytes.Equal(l[0].data, step("one")) || !bytes.Equal(l[1].data, step("three again")) {
		t.Errorf("held: %+v", l)
	}
	if len(f.sessions.list) != 2 {
		t.Errorf("of sessions: %+v", f.sessions.list)
	}
}

// A socket has its own login only, and not for long; who begins many crowds out his own.
func TestLogins(t *testing.T) {
	f, now := newFront(), time.Now()
	f.logins.add(datagram{peer: elsewhere, login: []byte("x")}, 4, now)
	for i := range uint16(3 * holdLogins) {
		f.logins.add(datagram{peer: netip.AddrPortFrom(flooding, i), login: []byte("y")}, 4, now)
	}
	if n := len(f.logins.list); n != holdLogins {
		t.Errorf("%d are kept", n)
	}
	for _, c := range []struct {
		peer netip.AddrPort
		term uint64
		at   time.Time
		want string
	}{
		{elsewhere, 5, now, "x"},
		{elsewhere, 5, now.Add(loginTime), "x"},
		{elsewhere, 5, now.Add(loginTime + 1), ""},
		{elsewhere, 4, now, ""},
		{netip.AddrPortFrom(elsewhere.Addr(), elsewhere.Port()+1), 5, now, ""},
		{netip.AddrPortFrom(flooding, 3*holdLogins-1), 5, now, "y"},
		{netip.AddrPortFrom(flooding, 0), 5, now, ""},
	} {
		if got := f.logins.of(c.peer, c.term, c.at); string(got) != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

// What is too long for a frame is not written.
func TestLongStep(t *testing.T) {
	b := newBed(t, 1)
	c := b.entries[0].Lead(1)
	if _, err := c.WriteStep(step("x"), make([]byte, maxLogin+1), b.client.LocalAddr()); err == nil {
		t.Error("it is")
	}
	frame := appendDatagram(nil, datagram{peer: elsewhere, login: make([]byte, maxLogin), data: make([]byte, maxDatagram)})[2:]
	if _, err := parseFrame(frame); err != nil || len(frame) != maxFrame {
		t.Errorf("%d bytes, %v", len(frame), err)
	}
	for what, b := range map[string][]byte{
		"no length":        {kindStep, 0},
		"a length too far": append([]byte{kindStep, 0, 30}, make([]byte, 29)...),
		"no datagram":      append([]byte{kindStep, 0, 10}, make([]byte, 10+datagramHead-1)...),
		"a long login":     append([]byte{kindStep, 1, 1}, make([]byte, 257+datagramHead)...),
	} {
		if f, err := parseFrame(b); err == nil {
			t.Errorf("%s: %+v", what, f)
		}
	}
}
