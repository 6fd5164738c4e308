package rmcp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb/udp"
)

// lingerTime is how long a door that was moved still answers at its old
// address those who are logged in there: a client ends its set and its session
// by the socket that it has.
const lingerTime = 10 * time.Second

// coveredTime is instead where the door is at all addresses now: as soon as the
// old one is gone, the new one is found there, too.
const coveredTime = time.Second

// Mover is a door that can be moved to another address while it serves. Its
// sessions are not bound to an address: who follows the door goes on.
type Mover struct {
	config DoorConfig

	mu    sync.Mutex
	run   func(*stand) // serves; nil while nobody does
	here  *stand
	left  map[netip.AddrPort]*stand
	ended bool
}

// stand is the door at one address.
type stand struct {
	at      netip.AddrPort
	door    *Door
	conn    *udp.Conn
	stop    context.CancelFunc // once it serves
	left    bool
	end     *time.Timer   // of one that was left
	lingers time.Duration // until then
}

// NewMover makes a door that is nowhere yet.
func NewMover(c DoorConfig) *Mover {
	return &Mover{config: c, left: make(map[netip.AddrPort]*stand)}
}

// Open takes the first address; Serve or Close lets go of it.
func (m *Mover) Open(a netip.AddrPort) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.open(a)
	if err != nil {
		return err
	}
	m.here = s
	return nil
}

// open has a socket at an address, also where the door itself is in its way. The
// caller has mu.
func (m *Mover) open(a netip.AddrPort) (*stand, error) {
	var own []*udp.Conn
	note := func(s *stand) {
		if s != nil && (covers(s.at, a) || covers(a, s.at)) {
			own = append(own, s.conn)
		}
	}
	note(m.here)
	for _, s := range m.left {
		note(s)
	}
	conn, err := udp.ListenBeside(a, own...)
	if err != nil {
		return nil, err
	}
	if u, ok := conn.LocalAddr().(*net.UDPAddr); ok && a.Port() == 0 {
		a = netip.AddrPortFrom(a.Addr(), uint16(u.Port))
	}
	return &stand{at: a, door: NewDoor(m.config), conn: conn}, nil
}

// covers reports whether wide is all addresses, of which the other is one.
func covers(wide, other netip.AddrPort) bool {
	return wide != other && wide.Port() == other.Port() && wide.Addr().IsUnspecified() && (wide.Addr().Is6() || other.Addr().Is4())
}

// At is where the door listens.
func (m *Mover) At() netip.AddrPort {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.here == nil {
		return netip.AddrPort{}
	}
	return m.here.at
}

// Close lets go of an address that nobody serves.
func (m *Mover) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true
	if m.here == nil || m.run != nil {
		return nil
	}
	return m.here.conn.Close()
}

// Serve serves until ctx ends or the door fails where it is. Sessions end with it.
func (m *Mover) Serve(ctx context.Context) error {
	defer m.config.Sessions.Close()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var group sync.WaitGroup
	defer group.Wait()
	m.mu.Lock()
	m.run = func(s *stand) {
		var own context.Context
		own, s.stop = context.WithCancel(ctx)
		group.Go(func() {
			if err := m.serve(own, s); err != nil {
				fail(err)
			}
		})
	}
	m.run(m.here)
	m.mu.Unlock()
	<-ctx.Done()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true // from here on nobody starts one
	for _, s := range m.left {
		s.end.Stop()
	}
	return context.Cause(ctx)
}

// serve serves at one place; nil when that was left.
func (m *Mover) serve(ctx context.Context, s *stand) error {
	defer s.stop()
	err := s.door.Serve(ctx, s.conn)
	m.mu.Lock()
	defer m.mu.Unlock()
	if !s.left {
		return err
	}
	if m.left[s.at] == s { // or it was left once more meanwhile, by another one
		delete(m.left, s.at)
	}
	return nil
}

// ErrNoDoor says that there is no door to move.
var ErrNoDoor = errors.New("rmcp: there is no door")

// Try reports what stands against listening on an address.
func (m *Mover) Try(a netip.AddrPort) error {
	done, err := m.Prepare(a)
	if err == nil && done != nil {
		done(false)
	}
	return err
}

// Prepare opens a socket at another address. done(true) moves the door there;
// done(false) lets go of it. At the old address nobody logs in any more, and
// who is logged in has some time to finish.
func (m *Mover) Prepare(to netip.AddrPort) (done func(move bool), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.here == nil || m.ended:
		return nil, ErrNoDoor
	case m.here.at == to:
		return nil, nil
	}
	if old := m.left[to]; old != nil && old.end.Stop() { // back to where it was left not long ago
		return func(move bool) { m.back(old, move) }, nil
	}
	s, err := m.open(to)
	if err != nil {
		return nil, err
	}
	return func(move bool) { m.move(s, move) }, nil
}

func (m *Mover) move(s *stand, move bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !move || m.ended {
		_ = s.conn.Close()
		return
	}
	m.leave(s)
	if m.run != nil {
		m.run(s)
	}
}

// back moves to a door that still serves who is logged in.
func (m *Mover) back(s *stand, move bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !move || m.ended {
		s.end.Reset(s.lingers)
		return
	}
	delete(m.left, s.at)
	s.left = false
	s.door.left.Store(false)
	s.door.SOL.reopen(s.door)
	m.leave(s)
}

// leave lets the door where it is take nobody new, and has it be elsewhere. The
// caller has mu.
func (m *Mover) leave(next *stand) {
	old := m.here
	m.here = next
	if m.run == nil {
		_ = old.conn.Close()
		return
	}
	old.left = true
	old.door.left.Store(true)
	m.left[old.at] = old
	old.lingers = lingerTime
	if covers(next.at, old.at) {
		old.lingers = coveredTime
	}
	old.end = time.AfterFunc(old.lingers, old.stop)
}
