package manager

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/rmcp"
)

// fakeConsoles are those of slots 1 to 3; slot 2's node has none.
type fakeConsoles struct {
	closed  chan uint8        // hardware addresses
	resumed chan rmcp.Opening // there is room
}

func (f *fakeConsoles) open(_ context.Context, _ string, hw uint8, o rmcp.Opening) (rmcp.Line, error) {
	if o.Resume {
		f.resumed <- o
	}
	switch hw {
	case 0x41, 0x43:
		return fakeLine{f, hw}, nil
	case 0x42:
		return nil, rmcp.ErrPayloadDisabled
	}
	return nil, ipmb.ErrNotPresent
}

// fakeLine is a VM that says nothing.
type fakeLine struct {
	f  *fakeConsoles
	hw uint8
}

func (l fakeLine) Next(ctx context.Context) ([]byte, bool, error) {
	<-ctx.Done()
	return nil, false, ctx.Err()
}
func (fakeLine) Heard(int, uint8, uint32)       {}
func (fakeLine) Resumed() (uint8, uint32, bool) { return 0, 0, false }
func (fakeLine) Write(p []byte) (int, error)    { return len(p), nil }
func (fakeLine) Break(context.Context) error    { return nil }
func (fakeLine) Power() (bool, <-chan struct{}) { return true, nil }
func (fakeLine) Taken() <-chan struct{}         { return nil }
func (l fakeLine) Close() error {
	l.f.closed <- l.hw
	return nil
}

// openDoor serves the LAN door until stop.
func (r *replica) openDoor(t *testing.T) (stop func()) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done, opened := make(chan error, 1), make(chan struct{})
	go func() {
		done <- r.ServeLAN(ctx, func() net.PacketConn { close(opened); return conn })
	}()
	select {
	case <-opened:
	case err := <-done:
		t.Fatal(err)
	}
	answers(t, conn.LocalAddr().String())
	return func() {
		cancel()
		<-done
	}
}

// answers waits until the door does.
func answers(t *testing.T, door string) {
	t.Helper()
	c, err := net.Dial("udp", door)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte{6, 0, 0xFF, 6, 0, 0, 0x11, 0xBE, 0x80, 1, 0, 0}); err != nil { // an ASF ping
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second)) // on a slow machine too
	if _, err := c.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
}

// next gives what comes by a channel.
func next[T any](t *testing.T, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(30 * time.Second): // on a slow machine too
		t.Fatal("nothing comes")
	}
	return v
}

// Consoles of VMs are at the shelf's door by the numbers of their slots, for
// users whom that is allowed; a new leader goes on with those that are open.
func TestConsoles(t *testing.T) {
	cluster := newFakeCluster(t)
	r := newReplica(cluster, 1)
	stop := r.lead(t)
	k := kept(r, t)
	r.access.sessions.Restore([]rmcp.Kept{k}, time.Now())
	closeDoor := r.openDoor(t)
	own := ipmb.Origin{Privilege: admin, Session: k.ID}
	operator := own
	operator.Privilege = ipmb.PrivilegeOperator
	ask := func(r *replica, o ipmb.Origin, request, want string) {
		t.Helper()
		if got := r.lan(t, o, request); got != strings.ReplaceAll(want, " ", "") {
			t.Errorf("%s: %s, want %s", request, got, want)
		}
	}
	ask(r, own, "06 3b 04", "0004")
	ask(r, own, "06 4a 01", "00 0f 0000")
	ask(r, operator, "06 48 0101c0000000", "d4") // as the parameter says
	ask(r, admins, "06 48 0101c0000000", "d5")   // without a session there is nobody to speak to
	ask(r, own, "06 48 0104c0000000", "cb")
	ask(r, own, "06 48 0102c0000000", "81")
	ask(r, own, "06 48 010140000000", "84")
	ask(r, own, "06 48 0103c0000000", "00 00000000 0301 0301 5618 ffff")
	ask(r, own, "06 48 0101c0000000", "82")
	ask(r, own, "06 4a 01", "00 0f 0400")
	ask(r, own, "06 4b 0103", "00 44332211 03 00000000000000")
	ask(r, own, "06 4e 01", "00 0300 3f00 00000000")
	ask(r, own, "06 4f 0101", "00 10")
	ask(r, own, "06 55 010300", "81")
	ask(r, own, "06 55 010301", "00")
	ask(r, own, "06 49 010300000000", "00")
	if hw := next(t, r.vms.closed); hw != 0x43 {
		t.Errorf("closed: %#x", hw)
	}
	ask(r, own, "06 4a 01", "00 0f 0000")
	ask(r, own, "06 48 0101c0000000", "00 00000000 0301 0301 5618 ffff")
	closeDoor()
	if hw := next(t, r.vms.closed); hw != 0x41 {
		t.Errorf("closed with the door: %#x", hw)
	}
	stop()
	second := newReplica(cluster, 2)
	stop = second.lead(t)
	closeDoor = second.openDoor(t)
	if o := next(t, second.vms.resumed); o.Instance != 1 || o.Session != string(k.Name[:]) || o.Hold != 4*time.Second {
		t.Errorf("resumed: %+v", o)
	}
	ask(second, own, "06 4a 01", "00 0f 0100")
	ask(second, own, "06 4c 014202000000", "00") // not for this user any more
	if hw := next(t, second.vms.closed); hw != 0x41 {
		t.Errorf("closed: %#x", hw)
	}
	ask(second, own, "06 48 0101c0000000", "d4")
	closeDoor()
	stop()
	last := newReplica(cluster, 3)
	defer last.lead(t)()
	defer last.openDoor(t)()
	ask(last, own, "06 4a 01", "00 0f 0000")
}
