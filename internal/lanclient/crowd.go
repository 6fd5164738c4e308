package lanclient

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// Crowd is many sessions over one socket, each with one request outstanding.
// It belongs to one goroutine, and starts none.
type Crowd struct {
	conn  Conn
	seats map[uint32]*seat // by the console's session id
	buf   [maxDatagram]byte
}

// seat is one session of a crowd's.
type seat struct {
	*Session
	left    int
	message []byte
	out     []byte
	at      time.Time // when it was sent first
	tries   int
}

// NewCrowd logs n sessions in over a socket that is connected. The crowd
// closes it.
func NewCrowd(ctx context.Context, conn Conn, who Credentials, n int) (*Crowd, error) {
	c := &Crowd{conn: conn, seats: make(map[uint32]*seat, n)}
	for i := range n {
		cl := &Client{conn: conn}
		if err := cl.login(ctx, who, consoleID+uint32(i)); err != nil {
			return nil, errors.Join(fmt.Errorf("session %d: %w", i+1, err), c.Close(ctx))
		}
		c.seats[cl.console] = &seat{Session: cl.Session}
	}
	return c, nil
}

// Ask lets each session put the same question so many times, and gives how long
// each took. Any completion code but 00h is an error.
func (c *Crowd) Ask(ctx context.Context, times int, n ipmb.NetFn, cmd ipmb.Cmd, data ...byte) ([]time.Duration, error) {
	took := make([]time.Duration, 0, times*len(c.seats))
	for _, s := range c.seats {
		s.left = times
		if err := c.next(s, n, cmd, data); err != nil {
			return nil, err
		}
	}
	for len(took) < cap(took) {
		s, f, err := c.receive(ctx)
		if err != nil {
			return nil, err
		}
		if s == nil || s.left == 0 || f.Seq != s.rqSeq || f.Cmd != cmd || f.NetFn != n.Response() {
			continue
		}
		if r, _ := f.Response(); r.Code != ipmb.OK {
			return nil, r.Code
		}
		took = append(took, time.Since(s.at))
		if s.left--; s.left == 0 {
			continue
		}
		if err := c.next(s, n, cmd, data); err != nil {
			return nil, err
		}
	}
	return took, nil
}

// next sends a session's next request.
func (c *Crowd) next(s *seat, n ipmb.NetFn, cmd ipmb.Cmd, data []byte) (err error) {
	if s.message, err = s.AppendFrame(s.message[:0], n, cmd, data); err != nil {
		return err
	}
	s.at, s.tries = time.Now(), 0
	return c.send(s)
}

func (c *Crowd) send(s *seat) error {
	s.tries++
	s.out = s.AppendSealed(s.out[:0], s.message)
	_, err := c.conn.Write(s.out)
	return err
}

// receive gives a frame and the session that it is for; none if what came was
// for nobody. When nothing comes, all that is unanswered is sent again.
func (c *Crowd) receive(ctx context.Context) (*seat, ipmb.Frame, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, ipmb.Frame{}, err
	}
	n, err := c.conn.Read(c.buf[:])
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, ipmb.Frame{}, errors.Join(ctx.Err(), c.resend())
	}
	if err != nil || n < headerLen {
		return nil, ipmb.Frame{}, err
	}
	s := c.seats[binary.LittleEndian.Uint32(c.buf[idAt:])]
	if s == nil {
		return nil, ipmb.Frame{}, nil
	}
	f, err := s.Open(c.buf[:n])
	if err != nil {
		s = nil // forged, or damaged
	}
	return s, f, nil
}

func (c *Crowd) resend() error {
	for _, s := range c.seats {
		if s.left == 0 {
			continue
		}
		if s.tries == tries {
			return ErrNoAnswer
		}
		if err := c.send(s); err != nil {
			return err
		}
	}
	return nil
}

// Close logs out and closes the socket.
func (c *Crowd) Close(ctx context.Context) error {
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(c.seats)) {
		errs = append(errs, (&Client{Session: c.seats[id].Session, conn: c.conn}).logout(ctx))
	}
	return errors.Join(append(errs, c.conn.Close())...)
}
