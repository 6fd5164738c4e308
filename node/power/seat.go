package power

import (
	"context"
	"sync"
	"time"
)

// A Mode is what a person at a console wants to do there.
type Mode uint8

// Modes. One person types at a time: who comes first does, until he leaves or somebody takes over.
const (
	Watch       Mode = iota
	Type             // or nothing: [ErrWriterBusy] if somebody types
	TypeOrWatch      // only watch if somebody types
	TakeOver         // whoever types only watches from then on
)

// A Seat is one person's place at a console.
type Seat struct {
	console *Console
	out     *outlet
	session string
	packet  uint8  // of its session's packets the last that was acknowledged; under console.mu
	number  uint32 // the last that a packet of its session had; under console.mu
	resumed bool
	hold    time.Duration // that the VM waits for this reader; 0: not at all
	late    bool          // it did not for too long; under console.mu
	taken   chan struct{}
	leave   sync.Once
}

// Join gives a place at the console. Its reader is shown the last replay bytes and then everything that comes. One
// that does not keep up loses bytes.
func (c *Console) Join(mode Mode, replay int) (*Seat, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.join(&Seat{}, mode, questions.ReplaceAll(c.past.last(replay), nil))
}

// Paced is who takes a console over, paces himself, and tells what he has by [Seat.Heard].
type Paced struct {
	Replay int
	// Hold is how long the VM waits for him while he gets nothing; 0: [DefaultHold].
	Hold time.Duration
	// Session is his name; with Resume he is shown what of that name had not been heard when he left, or when
	// he takes the place from himself.
	Session string
	Resume  bool
}

// TakePaced gives the place of the one who types.
func (c *Console) TakePaced(p Paced) (*Seat, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	past, s := questions.ReplaceAll(c.past.last(p.Replay), nil), &Seat{session: p.Session, hold: or(p.Hold, DefaultHold)}
	missing := int64(0)
	if left, ok := c.leftOff(p.Session); p.Resume && ok {
		unheard := c.total - left.at
		past = c.past.last(int(min(unheard, int64(c.past.max))))
		missing = unheard - int64(len(past))
		s.packet, s.number, s.resumed = left.packet, left.number, missing == 0
	}
	s, err := c.join(s, TakeOver, past)
	s.out.skipped = int(missing)
	return s, err
}

// left is where a session stopped.
type left struct {
	session string
	at      int64 // of all that the VM said
	packet  uint8
	number  uint32
}

// leftOff finds how far a session had heard.
func (c *Console) leftOff(session string) (l left, ok bool) {
	if l = c.left; c.writer != nil && c.writer.session == session {
		l = c.writer.left()
	}
	return l, session != "" && l.session == session
}

// left is how far the reader is. The caller has console.mu.
func (s *Seat) left() left {
	return left{s.session, s.console.total - int64(s.out.open()), s.packet, s.number}
}

// join is Join with c.mu held.
func (c *Console) join(s *Seat, mode Mode, past []byte) (*Seat, error) {
	s.console, s.out, s.taken = c, newOutlet(), make(chan struct{})
	busy := c.writer != nil
	switch {
	case mode == Type && busy:
		return nil, ErrWriterBusy
	case mode == TakeOver && busy:
		close(c.writer.taken)
		fallthrough
	case mode == TakeOver, mode == Type, mode == TypeOrWatch && !busy:
		c.writer = s
	}
	s.out.push(past)
	c.readers[s] = struct{}{}
	return s, nil
}

// Types reports whether what this one writes goes to the VM.
func (s *Seat) Types() bool {
	s.console.mu.Lock()
	defer s.console.mu.Unlock()
	return s.console.writer == s
}

// Taken is closed when somebody else took over what this one had.
func (s *Seat) Taken() <-chan struct{} { return s.taken }

// Next waits for bytes; lost says that some were dropped before them.
func (s *Seat) Next(ctx context.Context) (p []byte, lost bool, err error) {
	p, skipped, err := s.out.take(ctx)
	return p, skipped > 0, err
}

// Heard tells that whom the bytes are for has n more of them, or will not have them, and in which of his packets
// the last of them were; and the last number of his session's packets. The VM waits for that.
func (s *Seat) Heard(n int, packet uint8, number uint32) {
	s.console.mu.Lock()
	s.packet, s.number = packet, number
	s.console.mu.Unlock()
	s.out.heard(n)
}

// Resumed gives the last packet of a session that goes on here, and the last number of its packets, 0 if unknown.
func (s *Seat) Resumed() (packet uint8, number uint32, ok bool) {
	s.console.mu.Lock()
	defer s.console.mu.Unlock()
	return s.packet, s.number, s.resumed
}

// Write sends bytes to the VM. Those for a VM that is off are lost as on a real line, as are those of one who
// only watches.
func (s *Seat) Write(p []byte) (int, error) {
	if !s.Types() {
		return 0, ErrWriterBusy
	}
	if err := s.console.send(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Power tells whether there is a VM at the other end; changed is closed when that is not so any more.
func (s *Seat) Power() (on bool, changed <-chan struct{}) {
	s.console.mu.Lock()
	defer s.console.mu.Unlock()
	if s.console.conn != nil {
		return true, s.console.down
	}
	return false, s.console.up
}

// Close leaves the console.
func (s *Seat) Close() error {
	s.leave.Do(func() {
		s.console.mu.Lock()
		defer s.console.mu.Unlock()
		delete(s.console.readers, s)
		if s.console.writer == s {
			s.console.writer = nil
		}
		if s.session != "" {
			s.console.left = s.left()
		}
		post(s.out.room)
	})
	return nil
}

// DefaultHold is how long one reader may hold the VM up without hearing anything.
const DefaultHold = time.Second

// awaitReaders waits for those readers that hold the VM up. One that hears nothing for too long does not any
// more until it has caught up.
func (c *Console) awaitReaders() {
	for {
		s := c.behind()
		if s == nil {
			return
		}
		select {
		case <-s.out.room:
		case <-time.After(s.hold):
			c.mu.Lock()
			s.late = true
			c.mu.Unlock()
		case <-c.closing.Done():
			return
		}
	}
}

// behind gives a reader that the VM waits for, nil if there is none.
func (c *Console) behind() *Seat {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.readers {
		full := s.out.full()
		s.late = s.late && full
		if s.hold > 0 && full && !s.late {
			return s
		}
	}
	return nil
}
