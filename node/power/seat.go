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
	holds   bool // the VM waits for this reader
	late    bool // it did not for too long; under console.mu
	taken   chan struct{}
	leave   sync.Once
}

// Join gives a place at the console. Its reader is shown the last replay bytes and then everything that comes.
// With hold set the VM is held up, for a while, when its reader does not keep up; else bytes are dropped.
func (c *Console) Join(mode Mode, replay int, hold bool) (*Seat, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.join(mode, hold, questions.ReplaceAll(c.past.last(replay), nil))
}

// join is Join with c.mu held.
func (c *Console) join(mode Mode, hold bool, past []byte) (*Seat, error) {
	s := &Seat{console: c, out: newOutlet(), holds: hold, taken: make(chan struct{})}
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
		post(s.out.room)
	})
	return nil
}

// holdLimit is how long one reader may hold the VM up without reading anything.
const holdLimit = time.Second

// awaitReaders waits for those readers that hold the VM up. One that reads nothing for too long does not any
// more until it has caught up.
func (c *Console) awaitReaders() {
	for {
		s := c.behind()
		if s == nil {
			return
		}
		select {
		case <-s.out.room:
		case <-time.After(holdLimit):
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
		if s.holds && full && !s.late {
			return s
		}
	}
	return nil
}
