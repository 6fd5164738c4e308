package backplanetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/uplink"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/backplane"
)

// hearing is what a seat is told of whom its characters are for.
type hearing struct {
	n      int // of what the VM says
	packet uint8
	number uint32
}

// seat is a place at a VM's console.
type seat struct {
	out   chan string // what the VM says; "": something was lost
	heard chan string
	taken chan struct{}
	gone  chan struct{} // closed when the place is given up
	has   chan hearing
	asked *v1.ConsoleCall

	mu      sync.Mutex
	on      bool
	changed chan struct{}
}

func newSeat() *seat {
	return &seat{
		out: make(chan string), heard: make(chan string, 100), has: make(chan hearing, 100), taken: make(chan struct{}), gone: make(chan struct{}),
		on: true, changed: make(chan struct{}),
	}
}

func (s *seat) Next(ctx context.Context) ([]byte, bool, error) {
	select {
	case p := <-s.out:
		return []byte(p), p == "", nil
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
}

func (s *seat) Heard(n int, packet uint8, number uint32) { s.has <- hearing{n, packet, number} }

func (s *seat) Resumed() (uint8, uint32, bool) { return 11, 1 << 20, s.asked.GetResume() }

func (s *seat) Write(p []byte) (int, error) {
	s.heard <- string(p)
	return len(p), nil
}

func (s *seat) Break(context.Context) error {
	s.heard <- "BREAK"
	return nil
}

func (s *seat) Power() (bool, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.on, s.changed
}

func (s *seat) power(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = on
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *seat) Taken() <-chan struct{} { return s.taken }

func (s *seat) Close() error {
	close(s.gone)
	return nil
}

func serving(s *seat, err error) func(*uplink.Config) {
	return func(c *uplink.Config) {
		c.Console = func(call *v1.ConsoleCall) (uplink.Console, error) {
			if s != nil {
				s.asked = call
			}
			return s, err
		}
	}
}

func says(t *testing.T, c *backplane.Console, want string, lost bool) {
	t.Helper()
	p, l, err := c.Next(t.Context())
	if string(p) != want || l != lost || err != nil {
		t.Errorf("%q, %v, %v; want %q, %v", p, l, err, want, lost)
	}
}

func hears(t *testing.T, s *seat, want string) {
	t.Helper()
	if got := <-s.heard; got != want {
		t.Errorf("the VM hears %q, want %q", got, want)
	}
}

// A console is as it is at its node: what the VM says and hears, its power, and
// who takes it.
func TestConsole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, vm := New(t, nil, "shm1", "shm2"), newSeat()
		b.Node("lab", "blade1", 0x41, serving(vm, nil))
		settle()
		ask := &v1.ConsoleCall{Session: []byte("one"), Resume: true, HoldMs: 4000}
		c, err := b.Replicas[0].Switch.Console(t.Context(), "lab", 0x41, ask)
		if err != nil {
			t.Fatal(err)
		}
		if got := vm.asked; string(got.GetSession()) != "one" || !got.GetResume() || got.GetHoldMs() != 4000 || got.GetCall() == 0 {
			t.Errorf("the node is asked for %v", got)
		}
		vm.out <- "login: "
		says(t, c, "login: ", false)
		if packet, number, ok := c.Resumed(); packet != 11 || number != 1<<20 || !ok {
			t.Errorf("resumed after packet %d, number %d, %v", packet, number, ok)
		}
		c.Heard(3, 1, 1<<20+1)
		c.Heard(4, 2, 1<<20+2)
		var last hearing
		for n := 0; n < 7; {
			last = <-vm.has
			n += last.n
		}
		if last.packet != 2 || last.number != 1<<20+2 {
			t.Errorf("the last is %+v", last)
		}
		vm.out <- ""
		says(t, c, "", true)
		if _, err := c.Write([]byte("root\r")); err != nil {
			t.Error(err)
		}
		if err := c.Break(t.Context()); err != nil {
			t.Error(err)
		}
		hears(t, vm, "root\r")
		hears(t, vm, "BREAK")
		on, changed := c.Power()
		vm.power(false)
		<-changed
		if again, _ := c.Power(); !on || again {
			t.Errorf("power %v, then %v", on, again)
		}
		close(vm.taken)
		<-c.Taken()
		<-vm.gone
		if _, err := c.Write([]byte("x")); err == nil {
			settle()
			_, err = c.Write([]byte("x"))
			if err == nil {
				t.Error("takes characters though it was taken")
			}
		}
		if _, _, err := c.Next(t.Context()); err == nil {
			t.Error("says something though it was taken")
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// The node's place is given up when nobody wants the console any more, and with
// the node's stream.
func TestConsoleEnds(t *testing.T) {
	for name, end := range map[string]func(*Bus, *backplane.Console, *Node){
		"closed":             func(_ *Bus, c *backplane.Console, _ *Node) { _ = c.Close() },
		"the node stops":     func(_ *Bus, _ *backplane.Console, n *Node) { _ = n.Stop() },
		"the node is silent": func(b *Bus, _ *backplane.Console, n *Node) { b.Isolate(n.Name) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, vm := New(t, nil, "shm1"), newSeat()
				n := b.Node("lab", "blade1", 0x41, serving(vm, nil))
				settle()
				c, err := b.Replicas[0].Switch.Console(t.Context(), "lab", 0x41, nil)
				if err != nil {
					t.Fatal(err)
				}
				end(b, c, n)
				<-vm.gone
				b.Net.HealAll()
				<-c.Taken()
			})
		})
	}
}

// A VM is held up, and not the bus, by who does not read what it says.
func TestConsoleWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, vm := New(t, nil, "shm1"), newSeat()
		one := b.Node("lab", "blade1", 0x41, serving(vm, nil))
		b.Node("lab", "blade2", 0x42, nil)
		settle()
		c, err := b.Replicas[0].Switch.Console(t.Context(), "lab", 0x41, nil)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for held := false; !held; {
			select {
			case vm.out <- "x":
				n++
			case <-time.After(time.Minute):
				held = true
			}
		}
		wantID(t, one, ipmb.SlotAddr(2))
		for range n {
			says(t, c, "x", false)
		}
		_ = c.Close()
	})
}

func TestNoConsole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken, silent := errors.New("the log's disk is full"), newSeat()
		b := New(t, nil, "shm1")
		b.Node("lab", "old", 0x41, nil)
		b.Node("lab", "broken", 0x42, serving(nil, broken))
		b.Node("lab", "silent", 0x43, serving(silent, nil))
		settle()
		sw := b.Replicas[0].Switch
		for _, c := range []struct {
			shelf string
			hw    uint8
			want  error
		}{
			{"lab", 0x44, backplane.ErrNoNode},
			{"lab2", 0x41, backplane.ErrNoNode},
			{"lab", 0x41, backplane.ErrNoConsole},
			{"lab", 0x42, backplane.ErrNoConsole},
		} {
			if _, err := sw.Console(t.Context(), c.shelf, c.hw, nil); !errors.Is(err, c.want) {
				t.Errorf("%s %#x: %v, want %v", c.shelf, c.hw, err, c.want)
			}
		}
		b.Isolate("silent")
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := sw.Console(ctx, "lab", 0x43, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Error("silent:", err)
		}
		b.Net.HealAll()
		settle()
		select { // what it brings late, nobody keeps
		case <-silent.gone:
		case <-time.After(time.Minute):
			t.Error("the late console is kept")
		}
	})
}

// A console that nobody called for is not taken, whoever brings it.
func TestConsoleUnasked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(t, nil, "shm1")
		for _, m := range []*v1.ServeConsoleRequest{
			{},
			{Kind: &v1.ServeConsoleRequest_Power{Power: true}},
			{Kind: &v1.ServeConsoleRequest_Hello{Hello: &v1.ConsoleHello{Call: 1, Shelf: "lab", HardwareAddress: 0x41}}},
			{Kind: &v1.ServeConsoleRequest_Hello{Hello: &v1.ConsoleHello{Shelf: "lab", HardwareAddress: 0x1041}}},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			conn, err := b.Net.Dialer("blade1")(ctx, "shm1")
			if err != nil {
				t.Fatal(err)
			}
			s, err := conn.ServeConsole(ctx)
			if err == nil {
				err = s.Send(m)
			}
			if err != nil {
				t.Fatal(err)
			}
			if m, err := s.Recv(); err == nil {
				t.Errorf("answered %v", m)
			}
			cancel()
		}
	})
}
