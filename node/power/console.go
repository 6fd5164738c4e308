package power

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Defaults of a ConsoleConfig.
const (
	DefaultLogBytes    = 1 << 20
	DefaultLogFiles    = 2
	DefaultReplayBytes = 64 << 10
)

// consoleRedial is the rhythm of looking for a VM: short, because a guest's first words wait for nobody.
const consoleRedial = 50 * time.Millisecond

// ErrWriterBusy is returned to a second writer: two people typing on one console help nobody.
var ErrWriterBusy = errors.New("somebody else types on this console: attach read-only")

// A ConsoleConfig says where a console is and what is kept of it. Zero numbers mean the defaults.
type ConsoleConfig struct {
	Socket      string // QEMU's chardev, which listens
	Log         string // the newest log file; older ones get .1, .2, …
	LogBytes    int64  // per file
	LogFiles    int    // older files that are kept
	ReplayBytes int    // what a new reader is shown of the past
	Logger      *slog.Logger
}

// A Console records one VM's serial console, with times, and shares it: any number of readers, one writer, who is
// the one that came first until he leaves or somebody takes over; a session of serial over LAN does so.
//
// The node records, not QEMU's own logfile option, because that grows without bound and cannot be rotated.
// What a guest prints while no node runs is therefore lost; QEMU throws it away and the guest goes on.
// A reader that does not keep up loses its oldest bytes and is told so; it delays nobody. Only for serial over
// LAN, which paces itself, the VM is held up: see [Console.TakePaced].
type Console struct {
	cfg     ConsoleConfig
	log     *consoleLog
	cancel  context.CancelFunc
	done    sync.WaitGroup
	closing context.Context

	mu       sync.Mutex
	conn     net.Conn      // nil while the VM has no process
	up       chan struct{} // closed while there is a conn
	down     chan struct{} // closed while there is none
	past     ring
	total    int64 // bytes that ever came
	unlogged int64 // bytes since the log could not be written; 0: it can
	left     left
	readers  map[*Seat]struct{}
	writer   *Seat // nil: nobody types
}

// NewConsole starts recording. The socket need not exist yet; it is dialled until [Console.Close].
func NewConsole(cfg ConsoleConfig) (*Console, error) {
	cfg.LogBytes = or(cfg.LogBytes, DefaultLogBytes)
	cfg.LogFiles = or(cfg.LogFiles, DefaultLogFiles)
	cfg.ReplayBytes = or(cfg.ReplayBytes, DefaultReplayBytes)
	cfg.Logger = quietUnless(cfg.Logger)
	log, err := openConsoleLog(cfg.Log, cfg.LogBytes, cfg.LogFiles)
	if err != nil {
		return nil, fmt.Errorf("console log: %w", err)
	}
	c := &Console{cfg: cfg, log: log, past: ring{max: cfg.ReplayBytes}, readers: make(map[*Seat]struct{})}
	c.up, c.down = make(chan struct{}), make(chan struct{})
	close(c.down)
	c.past.add(log.tail(cfg.ReplayBytes))
	c.closing, c.cancel = context.WithCancel(context.Background())
	c.done.Go(c.record)
	return c, nil
}

// Close ends the recording and every attachment.
func (c *Console) Close() error {
	c.cancel()
	c.done.Wait()
	return c.log.close()
}

// Ready waits until there is a VM at the other end. Wait for it between Start and Cont, or the first
// words of the firmware are lost.
func (c *Console) Ready(ctx context.Context) error { return c.until(ctx, true) }

// Over waits until what a process that has ended said is recorded. Wait for it before the next one is
// started, or Ready may take the old process for the new one.
func (c *Console) Over(ctx context.Context) error { return c.until(ctx, false) }

func (c *Console) until(ctx context.Context, connected bool) error {
	c.mu.Lock()
	reached := c.down
	if connected {
		reached = c.up
	}
	c.mu.Unlock()
	select {
	case <-reached:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("console: %w", ctx.Err())
	case <-c.closing.Done():
		return fmt.Errorf("console: %w", net.ErrClosed)
	}
}

// record dials and reads until the console is closed.
func (c *Console) record() {
	var d net.Dialer
	for c.closing.Err() == nil {
		if conn, err := d.DialContext(c.closing, "unix", c.cfg.Socket); err == nil {
			c.receive(conn)
		}
		select {
		case <-c.closing.Done():
		case <-time.After(consoleRedial):
		}
	}
}

func (c *Console) receive(conn net.Conn) {
	stop := context.AfterFunc(c.closing, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	c.setConn(conn)
	defer c.setConn(nil)
	buf := make([]byte, 16<<10)
	for {
		n, err := conn.Read(buf)
		if n > 0 {
			c.take(buf[:n])
			c.awaitReaders()
		}
		if err != nil {
			return
		}
	}
}

// enter logs a piece of output. That it cannot is said once, and once that it can again. The caller has mu.
func (c *Console) enter(p []byte) {
	err := c.log.write(p, time.Now())
	switch {
	case err != nil:
		if c.unlogged == 0 {
			c.cfg.Logger.Warn("console is not being logged", "error", err)
		}
		c.unlogged += int64(len(p))
	case c.unlogged > 0:
		c.cfg.Logger.Warn("console is being logged again", "lost_bytes", c.unlogged)
		c.unlogged = 0
	}
}

func (c *Console) setConn(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn = conn; conn != nil {
		close(c.up)
		c.down = make(chan struct{})
	} else {
		close(c.down)
		c.up = make(chan struct{})
	}
}

// take records a piece of output and hands it to every reader. A full disk ends the log, not the console.
func (c *Console) take(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.enter(p) // under the lock: who joins gets the log up to what he is sent
	c.past.add(p)
	c.total += int64(len(p))
	for r := range c.readers {
		r.out.push(p)
	}
}

// sendLimit is how long a guest may leave its serial port unread before input is thrown away.
const sendLimit = 2 * time.Second

func (c *Console) send(p []byte) error {
	c.mu.Lock()
	conn := c.conn
	c.mu.Unlock()
	if conn == nil {
		return ErrNotRunning
	}
	conn.SetWriteDeadline(time.Now().Add(sendLimit))
	_, err := conn.Write(p)
	return err
}
