package power

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"time"
)

// What people at a console are told.
const (
	noteBusy  = "\r\n[somebody else types here: you only watch]\r\n"
	noteTaken = "\r\n[somebody else took over: you only watch]\r\n"
)

// An Attachment says what somebody wants at a console.
type Attachment struct {
	Mode   Mode
	Replay int       // bytes of the past that are shown first
	Log    bool      // all that the log has instead,
	Since  time.Time // or, of that, what came from then on
	Times  bool      // each line begins with the time when it came
	Leave  bool      // after what is past
	// Joined, if set, is told of the place at the console.
	Joined func(*Seat)
}

// Attach shows the past that is wanted and then everything that comes on rw, until ctx ends, rw fails or the
// console is closed. Of one who types what is read from rw goes to the VM; the end of that input ends the
// attachment too, and input for a VM that is off is lost as on a real line.
//
// A Read of rw that is under way when Attach returns stays behind until rw is closed by its owner.
func (c *Console) Attach(ctx context.Context, rw io.ReadWriter, a Attachment) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(c.closing, func() { cancel(net.ErrClosed) })
	defer stop()
	s, old, err := c.attach(a)
	if err != nil {
		return err
	}
	defer s.Close()
	defer old.Close()
	if a.Joined != nil {
		a.Joined(s)
	}
	out := &stamper{w: rw, on: a.Times, start: true}
	if err := out.showPast(ctx, old); err != nil || a.Leave {
		return err
	}
	if a.Mode != Watch {
		if !s.Types() {
			s.out.push([]byte(noteBusy))
		}
		go func() { cancel(forward(s, rw)) }()
		go s.tellTaken(ctx)
	}
	for {
		p, err := s.out.next(ctx)
		if err != nil {
			return endOf(ctx)
		}
		if err := out.show(p, time.Now()); err != nil {
			return fmt.Errorf("console reader: %w", err)
		}
	}
}

// attach joins, with what the log has up to what the reader gets by itself.
func (c *Console) attach(a Attachment) (*Seat, *past, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old, recent := &past{}, questions.ReplaceAll(c.past.last(a.Replay), nil)
	if a.Log {
		var err error
		if old, err = c.log.past(a.Since); err != nil {
			return nil, nil, fmt.Errorf("console log: %w", err)
		}
		recent = nil
	}
	s, err := c.join(&Seat{}, a.Mode, recent)
	if err != nil {
		return nil, nil, errors.Join(err, old.Close())
	}
	return s, old, nil
}

// questions are what a terminal answers by typing: where its cursor is, and what it is. Of the past nobody waits
// for the answer any more, and what is there now would take it for a command.
var questions = regexp.MustCompile(`\x1b(\[[?>=]?[0-9;]*[nc]|Z)`)

// stamper shows bytes to a person, with times if that is wished.
type stamper struct {
	w     io.Writer
	on    bool
	start bool // of a line
}

const stampLayout = "2006-01-02 15:04:05.000"

func (o *stamper) showPast(ctx context.Context, old *past) error {
	for {
		piece, err := old.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && ctx.Err() != nil {
			return endOf(ctx)
		}
		if err == nil {
			err = o.show(questions.ReplaceAll(piece.data, nil), piece.at)
		}
		if err != nil {
			return fmt.Errorf("console log: %w", err)
		}
	}
}

// show writes bytes that came at a time.
func (o *stamper) show(p []byte, at time.Time) error {
	if o.on {
		p = o.stamp(p, at)
	}
	_, err := o.w.Write(p)
	return err
}

// stamp puts a time in front of each line.
func (o *stamper) stamp(p []byte, at time.Time) (out []byte) {
	mark := fmt.Sprintf("[%*s] ", len(stampLayout), "")
	if !at.IsZero() {
		mark = "[" + at.Format(stampLayout) + "] "
	}
	for len(p) > 0 {
		if o.start {
			out = append(out, mark...)
		}
		line, rest, ended := bytes.Cut(p, []byte("\n"))
		if out = append(out, line...); ended {
			out = append(out, '\n')
		}
		p, o.start = rest, ended
	}
	return out
}

// tellTaken tells one who typed that he does not any more.
func (s *Seat) tellTaken(ctx context.Context) {
	select {
	case <-s.taken:
		s.out.push([]byte(noteTaken))
	case <-ctx.Done():
	}
}

// errInputEnded is the ordinary end of an attachment by its person.
var errInputEnded = errors.New("console input ended")

// endOf tells why an attachment ended; nil if its person wished it.
func endOf(ctx context.Context) error {
	if err := context.Cause(ctx); !errors.Is(err, errInputEnded) {
		return err
	}
	return nil
}

// forward sends input to the VM, and throws away that of one who only watches.
func forward(s *Seat, r io.Reader) error {
	buf := make([]byte, 1<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if _, err := s.Write(buf[:n]); err != nil {
				s.console.cfg.Logger.Debug("console input lost", "error", err)
			}
		}
		if err != nil {
			return errInputEnded
		}
	}
}
