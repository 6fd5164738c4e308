package lanclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// Commands of payloads (IPMI 2.0 §24.1, §24.2) and what is asked of them.
const (
	cmdActivate   ipmb.Cmd = 0x48
	cmdDeactivate ipmb.Cmd = 0x49
	solInstance            = 1
	solPrivate             = 0xC0 // encrypted and signed
)

// fullPause is how long the client waits before it sends characters again that
// the controller had no room for.
const fullPause = 10 * time.Millisecond

// maxUnread is what may wait for Read while Write waits for the controller.
const maxUnread = 64 << 10

// SOL is a session's serial over LAN. It belongs to one goroutine.
type SOL struct {
	Overruns int // how often the controller said that it lost characters
	Room     int // characters of a packet to it

	c      *Client
	seq    byte
	last   byte // sequence of the last packet with characters from it
	packet []byte
	unread []byte
	err    error // after which nothing comes
}

// ActivateSOL opens the system's serial port. Until it is closed the client is
// not to be used for other things than [Client.Close].
func (c *Client) ActivateSOL(ctx context.Context) (*SOL, error) {
	answer, err := c.Do(ctx, ipmb.NetFnApp, cmdActivate, kindSOL, solInstance, solPrivate, 0, 0, 0)
	if err != nil {
		return nil, fmt.Errorf("activate payload: %w", err)
	}
	room, err := solRoom(answer)
	return &SOL{c: c, Room: room}, err
}

// Close gives the serial port back.
func (s *SOL) Close(ctx context.Context) error {
	_, err := s.c.Do(ctx, ipmb.NetFnApp, cmdDeactivate, kindSOL, solInstance, 0, 0, 0, 0)
	return err
}

// Read waits for characters of the system's, and gives those that are there.
// They are valid until the next call. io.EOF says that somebody deactivated the payload,
// ErrNoAnswer that nothing came for as long as a client asks.
func (s *SOL) Read(ctx context.Context) ([]byte, error) {
	for deadline := time.Now().Add(tries * patience); len(s.unread) == 0 && s.err == nil; {
		p, err := s.receive(deadline)
		switch {
		case errors.Is(err, ErrNoAnswer) && time.Now().Before(deadline): // a Conn may read for less long
		case err != nil:
			return nil, err
		default:
			s.take(p)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	out := s.unread
	if s.unread = s.unread[:0]; len(out) == 0 {
		return nil, s.err
	}
	return out, nil
}

// Write sends characters to the system, and waits until the controller has
// taken them.
func (s *SOL) Write(ctx context.Context, p []byte) (int, error) {
	for n := 0; ; {
		if n == len(p) || s.err != nil {
			return n, s.err
		}
		some := p[n:min(n+s.Room, len(p))]
		took, err := s.put(ctx, some)
		if n += took; err != nil {
			return n, err
		}
		if took > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return n, ctx.Err()
		case <-time.After(fullPause):
		}
	}
}

// put sends one packet, again if need be, and gives how many of its characters
// the controller took.
func (s *SOL) put(ctx context.Context, some []byte) (int, error) {
	s.seq = s.seq%solSeqMask + 1
	for range tries {
		if err := s.send(solPacket{seq: s.seq, data: some}); err != nil {
			return 0, err
		}
		for deadline := time.Now().Add(patience); ; {
			p, err := s.receive(deadline)
			if errors.Is(err, ErrNoAnswer) {
				break
			}
			if err != nil {
				return 0, err
			}
			if s.take(p); p.ack == s.seq {
				return min(int(p.count), len(some)), nil
			}
			if s.err != nil {
				return 0, s.err
			}
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
	return 0, ErrNoAnswer
}

// receive gives the next packet; ErrNoAnswer if none comes until the deadline.
func (s *SOL) receive(deadline time.Time) (p solPacket, err error) {
	if err := s.c.conn.SetReadDeadline(deadline); err != nil {
		return p, err
	}
	found, err := s.c.await(func(b []byte) (bool, error) {
		payload, err := s.c.openKind(b, kindSOL)
		if err != nil {
			return false, nil // another's, or damaged
		}
		p, err = parseSOL(payload)
		return err == nil, nil
	})
	if err == nil && !found {
		err = ErrNoAnswer
	}
	return p, err
}

// take keeps a packet's characters and acknowledges them; those that came
// before are only acknowledged. What there is no room for comes again.
func (s *SOL) take(p solPacket) {
	if p.status&solOverrun != 0 {
		s.Overruns++
	}
	if p.status&solEnded != 0 {
		s.err = io.EOF
	}
	if p.seq == 0 || len(s.unread)+len(p.data) > maxUnread {
		return
	}
	if err := s.send(solPacket{ack: p.seq, count: byte(len(p.data))}); err != nil {
		s.err = err
	}
	if p.seq != s.last {
		s.unread = append(s.unread, p.data...)
	}
	s.last = p.seq
}

func (s *SOL) send(p solPacket) error {
	s.packet = p.append(s.packet[:0])
	s.c.out = s.c.appendKind(s.c.out[:0], kindSOL, s.packet)
	_, err := s.c.conn.Write(s.c.out)
	return err
}
