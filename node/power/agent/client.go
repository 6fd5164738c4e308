package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// DefaultSyncTimeout is how long a new connection waits for the agent's first sign of life.
const DefaultSyncTimeout = 3 * time.Second

const (
	idleLimit    = time.Second      // a link unused for longer is synchronised anew
	replyTimeout = 30 * time.Second // for one request; programs run longer are polled
)

// A Client talks to one VM's agent. It connects when needed and keeps the connection.
// Its methods may be called concurrently: requests take turns, one program's run does not hold up another's.
type Client struct {
	path        string
	syncTimeout time.Duration
	turn        chan *link // holds the one link (nil: not connected); whoever takes it may talk
	closing     sync.Once
	closed      chan struct{} // closed by Close
}

// link is one synchronised connection.
type link struct {
	conn   net.Conn
	in     *reader
	used   time.Time // end of the last exchange
	broken bool      // its deadline has passed, so the stream's place is unknown
}

// New returns a client of the agent socket at path; nothing is dialled yet.
// A syncTimeout of 0 means [DefaultSyncTimeout].
func New(path string, syncTimeout time.Duration) *Client {
	if syncTimeout == 0 {
		syncTimeout = DefaultSyncTimeout
	}
	c := &Client{path: path, syncTimeout: syncTimeout, turn: make(chan *link, 1), closed: make(chan struct{})}
	c.turn <- nil
	return c
}

// Leave fails later calls. What programs their callers leave afterwards goes on in the guest.
func (c *Client) Leave() { c.closing.Do(func() { close(c.closed) }) }

// Close waits for the request in flight, drops the connection and fails later calls.
func (c *Client) Close() error {
	c.Leave()
	l := <-c.turn
	c.turn <- nil
	if l != nil {
		l.conn.Close()
	}
	return nil
}

// Ping reports whether the agent answers.
func (c *Client) Ping(ctx context.Context) error { return c.call(ctx, "guest-ping", nil, nil) }

// call runs one command and decodes its answer into result, which may be nil.
func (c *Client) call(ctx context.Context, name string, arguments, result any) error {
	err := c.exchange(ctx, func(l *link) error {
		if err := l.write(command{name, arguments}); err != nil {
			return err
		}
		return l.answer(result)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// exchange gives talk the connection alone. Unless talk ends well or with the agent's refusal,
// the connection is dropped, because its stream may still bring what talk did not wait for.
func (c *Client) exchange(ctx context.Context, talk func(*link) error) error {
	l, err := c.take(ctx)
	if err != nil {
		return err
	}
	defer func() { c.turn <- l }()
	if l, err = c.ready(ctx, l); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	err = l.bounded(ctx, func() error { return talk(l) })
	l.used = time.Now()
	var refused *Error
	if err != nil && !errors.As(err, &refused) || l.broken {
		l.conn.Close()
		l = nil
	}
	return err
}

// ready returns a link with an agent behind it. One that was idle is proven first: the guest may have rebooted,
// and a request that waits in the pipe would be carried out long after its caller has given up.
func (c *Client) ready(ctx context.Context, l *link) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, c.syncTimeout)
	defer cancel()
	if l != nil {
		if time.Since(l.used) < idleLimit || l.bounded(ctx, l.synchronise) == nil && !l.broken {
			return l, nil
		}
		l.conn.Close()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoAgent, ctx.Err())
		}
	}
	return c.connect(ctx)
}

func (c *Client) take(ctx context.Context) (*link, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.closed:
		return nil, ErrClosed
	case l := <-c.turn:
		select {
		case <-c.closed:
			c.turn <- l
			return nil, ErrClosed
		default:
			return l, nil
		}
	}
}

// connect dials and synchronises.
func (c *Client) connect(ctx context.Context) (*link, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoAgent, err)
	}
	l := &link{conn: conn, in: newReader(conn)}
	if err := l.bounded(ctx, l.synchronise); err != nil {
		conn.Close()
		return nil, fmt.Errorf("%w: %w", ErrNoAgent, err)
	}
	return l, nil
}

// bounded runs talk and breaks its reads and writes when ctx ends.
func (l *link) bounded(ctx context.Context, talk func() error) error {
	stop := context.AfterFunc(ctx, func() { l.conn.SetDeadline(time.Unix(1, 0)) })
	err := talk()
	if !stop() {
		l.broken = true
		if err != nil {
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
	return err
}

// synchronise throws away what earlier clients left in the pipe. The leading sentinel makes the agent
// forget a half sent request; the id tells our answer from that to an earlier synchronisation.
func (l *link) synchronise() error {
	if _, err := l.conn.Write([]byte{sentinel}); err != nil {
		return err
	}
	id, err := l.sendSync()
	for err == nil {
		var r reply
		if r, err = l.in.nextSync(); err == nil && r.syncs(id) {
			return nil
		}
	}
	return err
}

func (l *link) sendSync() (id int64, err error) {
	id = rand.Int64N(1 << 52) // a float64 holds it exactly, whatever JSON library the agent has
	return id, l.write(command{"guest-sync-delimited", map[string]int64{"id": id}})
}

func (l *link) write(cmd command) error {
	line, err := json.Marshal(cmd)
	if err != nil {
		return err
	}
	_, err = l.conn.Write(append(line, '\n'))
	return err
}

func (l *link) answer(result any) error {
	r, err := l.in.next()
	switch {
	case err != nil:
		return err
	case r.Error != nil:
		return r.Error
	case result == nil:
		return nil
	}
	return json.Unmarshal(r.Return, result)
}
