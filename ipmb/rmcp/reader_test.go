package rmcp

import (
	"net"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb/mc"
)

// pair is an eye on a socket, and a console's.
func pair(t *testing.T) (*eye, net.Conn) {
	t.Helper()
	here, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	console, err := net.Dial("udp", here.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = here.Close(), console.Close() })
	return newSocket(here).newEye(), console
}

// An eye looks out for brisk consoles only, and each restEach for nobody.
func TestLook(t *testing.T) {
	e, console := pair(t)
	now := time.Now().Add(time.Hour) // so that nothing is late
	look := func(step string, after time.Duration, want error) {
		t.Helper()
		now = now.Add(after)
		if err := e.look(now); err != want {
			t.Errorf("%s: %v, not %v", step, err, want)
		}
	}
	for range 4 {
		if _, err := console.Write([]byte("datagram")); err != nil {
			t.Fatal(err)
		}
	}
	look("nobody came yet", 0, errEmpty)
	for range briskRun {
		e.note(briskGap)
	}
	look("at first it rests", 0, errEmpty)
	look("brisk", restEach, nil)
	look("brisk again", 0, nil)
	look("too long without a rest", 1, errEmpty)
	look("after that", restEach, nil)
	e.note(briskGap + 1)
	look("one was slow", 0, errEmpty)
	if err := e.next(); err != nil || string(e.buf[:e.n]) != "datagram" {
		t.Errorf("%q, %v", e.buf[:e.n], err)
	}
}

// A door that answered a brisk console takes what comes next, though its readers
// sleep: here it has none.
func TestLookOut(t *testing.T) {
	e, console := pair(t)
	d := NewDoor(DoorConfig{Count: new(mc.LANCounters)})
	d.socket = e.socket
	ping := []byte{rmcpVersion, 0, rmcpNoAck, classASF, 0, 0, 0x11, 0xBE, asfPing, 1, 0, 0}
	if _, err := console.Write(ping); err != nil {
		t.Fatal(err)
	}
	for patience := time.Now().Add(10 * time.Second); d.Count.Sent.Load() == 0; {
		if time.Now().After(patience) {
			t.Fatal("nobody took the ping")
		}
		d.lookOut(t.Context(), d.outlook.since)
	}
	if n, err := console.Read(make([]byte, maxDatagram)); err != nil || n == 0 {
		t.Errorf("%d bytes, %v", n, err)
	}
}
