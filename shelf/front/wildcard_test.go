package front

import (
	"fmt"
	"net"
	"testing"
)

// wide opens a socket of either kind, and gives where it is and its leader's side.
func wide(t *testing.T, listen string, front bool) (int, *Conn) {
	t.Helper()
	if front {
		b := newBed(t, 1)
		b.stop()
		b.config.Listen = listen
		b.start()
		leader := b.entries[0].Lead(1)
		t.Cleanup(func() { _ = leader.Close() })
		return b.front.Addr().(*net.UDPAddr).Port, leader
	}
	s, err := ListenSocket(listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	leader := s.Lead(1)
	t.Cleanup(func() { _ = leader.Close() })
	return s.Addr().(*net.UDPAddr).Port, leader
}

// Who asked at one of several addresses is answered from that one: a client takes
// no answer from another.
func TestAnswersFromWhereItWasAsked(t *testing.T) {
	for listen, hosts := range map[string][]string{
		"0.0.0.0:0": {"127.0.0.5", "127.0.0.1"},
		"[::]:0":    {"127.0.0.5", "::1"},
	} {
		for what, front := range map[string]bool{"socket": false, "front": true} {
			port, leader := wide(t, listen, front)
			for _, host := range hosts {
				c, err := net.Dial("udp", net.JoinHostPort(host, fmt.Sprint(port)))
				if err != nil {
					t.Fatal(err)
				}
				b := &bed{t: t, client: c.(*net.UDPConn)}
				b.send(host)
				said, from := gets(t, leader)
				if said != host {
					t.Fatalf("%s at %s: %q came", what, listen, said)
				}
				b.answer(leader, from, what)
				_ = c.Close()
			}
		}
	}
	for _, listen := range []string{"nowhere", "192.0.2.1", "256.0.0.1:623"} {
		if s, err := ListenSocket(listen); err == nil {
			t.Errorf("%s: %v", listen, s.Addr())
		}
	}
}
