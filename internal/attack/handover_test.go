package attack

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/midplane-project/midplane/shelf/front"
)

// steps speaks as a front does to the socket of a replica, for consoles of its own.
type steps struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// dialSteps waits until the replica leads.
func dialSteps(t *testing.T, entry string) *steps {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { // its socket may not be there yet
		if conn, err := net.Dial("unix", entry); err == nil {
			t.Cleanup(func() { _ = conn.Close() })
			s := &steps{t, conn, bufio.NewReader(conn)}
			for {
				kind, b := s.read()
				if kind == 'L' && binary.BigEndian.Uint64(b) > 0 {
					return s
				}
			}
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func (s *steps) read() (kind byte, b []byte) {
	s.t.Helper()
	_ = s.conn.SetReadDeadline(time.Now().Add(time.Minute))
	var head [2]byte
	_, err := io.ReadFull(s.in, head[:])
	b = make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, more := io.ReadFull(s.in, b); err != nil || more != nil || len(b) == 0 {
		s.t.Fatal(err, more)
	}
	return b[0], b[1:]
}

// step is a datagram with what is said of its login, nil for nothing.
func step(login []byte, from netip.AddrPort, data []byte) []byte {
	b := []byte{0, 0, 'D'}
	if login != nil {
		b = append(binary.BigEndian.AppendUint16([]byte{0, 0, 'S'}, uint16(len(login))), login...)
	}
	addr := from.Addr().As16()
	b = binary.BigEndian.AppendUint16(append(b, addr[:]...), from.Port())
	b = append(append(b, 0, 0), data...)
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	return b
}

// ask sends what a console says, and gives the payloads that come until the answer to a ping.
func (s *steps) ask(login []byte, from netip.AddrPort, data []byte) (answers [][]byte) {
	s.t.Helper()
	if _, err := s.conn.Write(append(step(login, from, data), step(nil, from, ping(9))...)); err != nil {
		s.t.Fatal(err)
	}
	for {
		b, _ := s.payload()
		if b[3] == 6 {
			return answers
		}
		answers = append(answers, b[16:])
	}
}

// must waits for the answer to what a console says.
func (s *steps) must(login []byte, from netip.AddrPort, data []byte) (answer, so []byte) {
	s.t.Helper()
	if _, err := s.conn.Write(step(login, from, data)); err != nil {
		s.t.Fatal(err)
	}
	b, so := s.payload()
	return b[16:], so
}

// payload is the next thing that is said to a console, and what is said of the login with it.
func (s *steps) payload() (b, so []byte) {
	s.t.Helper()
	kind, b := s.read()
	if kind == 'S' {
		n := 2 + int(binary.BigEndian.Uint16(b))
		so, b = b[2:n], b[n:]
	}
	return b[20:], so
}

// S6: a login that another leader began goes on for who began it, by its own socket.
// Who heard all of it has nothing of that, whatever he sends to the front; nor has who
// gets as far as the replica's socket, but has not the key.
func TestAttackS6LoginOfAnotherLeader(t *testing.T) {
	d := door{name: "shelf", addr: freePort(t), user: "admin", password: "Sesame0123456789"}
	dir := shortDir(t)
	stop, entry := startManager(t, dir, d.password)
	stopFront := runFront(t, front.Config{Listen: d.addr, Replicas: []string{"unix:" + entry}})
	awaitManager(t, d)
	good := d.console(t)
	if status := good.begin(); status != 0 {
		t.Fatalf("%02x", status)
	}
	stop()
	stop, entry = startManager(t, dir, d.password)
	awaitManager(t, d)

	proof, heard := good.rakp3(), bytes.Join([][]byte{good.openRequest(), good.rakp1(), good.theirs, make([]byte, 90)}, nil)
	own := good.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	others := []*console{d.console(t), d.stranger(t)}
	for _, c := range others {
		for _, b := range [][]byte{
			plus(payloadRAKP3, 0, 0, proof),
			plus(payloadRAKP1, 0, 0, good.rakp1()),
			step(heard, own, plus(payloadRAKP3, 0, 0, proof)),
			step(heard, own, plus(payloadRAKP3, 0, 0, proof))[2:],
			plus(payloadRAKP3, 0, 0, append(heard, proof...)),
			plus('S', 0, 0, step(heard, own, plus(payloadRAKP3, 0, 0, proof))),
		} {
			c.send(b)
		}
	}
	if b := good.ask(payloadRAKP3, proof); b[1] != 0 {
		t.Errorf("who began it gets % x", b)
	}
	for _, c := range others { // a session is committed first; so was that
		if got := c.settle(); len(got) > 0 {
			t.Errorf("who heard it gets % x", got)
		}
	}

	// Closer than anybody comes: at the replicas' sockets.
	stopFront()
	before := dialSteps(t, entry)
	c := &console{t: t, door: d, suite: suite17, role: 0x14}
	answer, _ := before.must(nil, own, plus(payloadOpen, 0, 0, c.openRequest()))
	c.id = binary.LittleEndian.Uint32(answer[8:])
	answer, so := before.must(nil, own, plus(payloadRAKP1, 0, 0, c.rakp1()))
	c.theirs = bytes.Clone(answer[8:24])
	stop()
	_, entry = startManager(t, dir, d.password)
	after := dialSteps(t, entry)
	third := plus(payloadRAKP3, 0, 0, c.rakp3())
	try := func(what string, login []byte, from netip.AddrPort) {
		t.Helper()
		if got := after.ask(login, from, third); len(got) > 0 {
			t.Errorf("%s: % x", what, got)
		}
	}
	try("nothing said", nil, own)
	try("said to another socket", so, netip.AddrPortFrom(own.Addr(), own.Port()^1))
	for i := range so {
		changed := bytes.Clone(so)
		changed[i] ^= 1
		try("changed", changed, own)
	}
	if got, _ := after.must(so, own, third); got[1] != 0 {
		t.Errorf("as it was said: % x", got)
	}
}
