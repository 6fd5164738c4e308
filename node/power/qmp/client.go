package qmp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/midplane-project/midplane/node/power/internal/feed"
)

// writeLimit is how long a command may wait for room in the socket: only a stopped QEMU leaves none.
const writeLimit = 5 * time.Second

// An Event is something that QEMU reports of itself.
type Event struct {
	Name string          // SHUTDOWN, RESET, STOP, …
	Time time.Time       // QEMU's clock when it happened
	Data json.RawMessage // the event's own fields, nil if it has none
}

// Events is a subscriber's bounded queue. When it is full the oldest event is dropped and counted in Missed.
type Events = feed.Subscription[Event]

// A Client is one QMP connection in command mode. Its methods may be called concurrently.
type Client struct {
	conn    net.Conn
	version Version
	events  feed.Feed[Event]
	writing sync.Mutex    // one command line at a time
	done    chan struct{} // closed when the reader has ended

	mu      sync.Mutex
	pending map[uint64]chan message // nil once the reader has ended
	lastID  uint64
	err     error // why the connection ended
}

// Dial connects to the QMP server at a Unix socket path.
//
// QEMU serves one QMP client at a time and leaves a second one waiting without a greeting,
// so give ctx a deadline: when it passes, another program holds the monitor.
func Dial(ctx context.Context, path string) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("qmp: connect: %w", err)
	}
	c, err := New(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("%w (socket %s)", err, path)
	}
	return c, nil
}

// New performs the handshake on conn, which it owns from then on, also on error.
func New(ctx context.Context, conn net.Conn) (*Client, error) {
	lines := newLineReader(conn)
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	hello, err := handshake(lines, conn)
	if !stop() || err != nil {
		conn.Close()
		return nil, fmt.Errorf("qmp: handshake: %w", errors.Join(err, ctx.Err()))
	}
	c := &Client{
		conn:    conn,
		version: hello.Version.QEMU,
		done:    make(chan struct{}),
		pending: make(map[uint64]chan message),
	}
	go c.read(lines)
	return c, nil
}

// handshake reads the greeting and leaves capabilities negotiation mode.
// Events may come before the reply and are of no use to anybody yet.
func handshake(lines *lineReader, conn net.Conn) (*greeting, error) {
	hello, err := lines.next()
	if err != nil {
		return nil, err
	}
	if hello.Greeting == nil {
		return nil, errors.New("the peer did not greet as a QMP server does")
	}
	if _, err := conn.Write([]byte("{\"execute\":\"qmp_capabilities\",\"id\":0}\n")); err != nil {
		return nil, err
	}
	for {
		m, err := lines.next()
		switch {
		case err != nil:
			return nil, err
		case m.Error != nil:
			return nil, m.Error
		case m.Return != nil:
			return hello.Greeting, nil
		}
	}
}

// read owns the receiving side until the connection ends.
func (c *Client) read(lines *lineReader) {
	defer close(c.done)
	for {
		m, err := lines.next()
		if err != nil {
			c.end(err)
			return
		}
		if m.Event != "" {
			c.events.Publish(Event{Name: m.Event, Time: m.Timestamp.time(), Data: m.Data})
			continue
		}
		c.deliver(m)
	}
}

// deliver hands a reply to its caller; a reply whose caller has given up is dropped.
func (c *Client) deliver(m message) {
	if m.ID == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if reply, ok := c.pending[*m.ID]; ok {
		delete(c.pending, *m.ID)
		reply <- m
	}
}

// end records the first reason and releases every caller and subscriber.
func (c *Client) end(reason error) {
	c.conn.Close()
	c.mu.Lock()
	if c.err == nil {
		c.err = fmt.Errorf("%w: %w", ErrClosed, reason)
	}
	for _, reply := range c.pending {
		close(reply)
	}
	c.pending = nil
	c.mu.Unlock()
	c.events.Close()
}

// Execute runs one command. Arguments may be nil, result may be nil or a pointer that the reply is decoded into.
// A refusal is an *[Error]; once the connection has ended every call returns [ErrClosed] with the reason.
func (c *Client) Execute(ctx context.Context, name string, arguments, result any) error {
	id, reply, err := c.register()
	if err != nil {
		return err
	}
	defer c.forget(id)
	if err := c.write(command{Execute: name, Arguments: arguments, ID: id}); err != nil {
		return fmt.Errorf("qmp: %s: %w", name, err)
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("qmp: %s: %w", name, ctx.Err())
	case m, ok := <-reply:
		if !ok {
			return c.Err()
		}
		return decode(name, m, result)
	}
}

func decode(name string, m message, result any) error {
	if m.Error != nil {
		return fmt.Errorf("qmp: %s: %w", name, m.Error)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(m.Return, result); err != nil {
		return fmt.Errorf("qmp: %s: unexpected reply: %w", name, err)
	}
	return nil
}

func (c *Client) register() (uint64, chan message, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending == nil {
		return 0, nil, c.err
	}
	c.lastID++
	reply := make(chan message, 1)
	c.pending[c.lastID] = reply
	return c.lastID, reply, nil
}

func (c *Client) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
}

// write sends one line. A partly written line cannot be mended, so failure ends the connection.
func (c *Client) write(cmd command) error {
	line, err := json.Marshal(cmd)
	if err != nil {
		return err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	c.conn.SetWriteDeadline(time.Now().Add(writeLimit))
	if _, err := c.conn.Write(append(line, '\n')); err != nil {
		c.conn.Close()
		return err
	}
	return nil
}

// Subscribe returns a queue of size events, filled from now on and closed with the connection.
func (c *Client) Subscribe(size int) *Events { return c.events.Subscribe(size) }

// Version is the release that QEMU named in its greeting.
func (c *Client) Version() Version { return c.version }

// Done is closed when the connection has ended.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err tells why the connection ended; nil while it lives.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the connection and waits for the reader. QEMU itself goes on and accepts the next client.
func (c *Client) Close() error {
	c.mu.Lock()
	if c.err == nil {
		c.err = ErrClosed
	}
	c.mu.Unlock()
	c.conn.Close()
	<-c.done
	return nil
}

// PeerPID is the process that listens at the other end of a Unix socket: QEMU itself, as the kernel vouches.
func (c *Client) PeerPID() (int, error) {
	conn, ok := c.conn.(*net.UnixConn)
	if !ok {
		return 0, errors.New("qmp: peer process is known only over a unix socket")
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("qmp: peer process: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, fmt.Errorf("qmp: peer process: %w", err)
	}
	if credErr != nil {
		return 0, fmt.Errorf("qmp: peer process: %w", credErr)
	}
	return int(cred.Pid), nil
}
