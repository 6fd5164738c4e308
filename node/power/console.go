package power

import (
	"context"
	"errors"
	"fmt"
	"io"
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

// A Console records one VM's serial console and shares it: any number of readers, one writer.
//
// The node records, not QEMU's own logfile option, because that grows without bound and cannot be rotated.
// What a guest prints while no node runs is therefore lost; QEMU throws it away and the guest goes on.
// A reader that does not keep up loses its oldest bytes and is told so; it delays nobody.
type Console struct {
	cfg     ConsoleConfig
	log     *consoleLog
	cancel  context.CancelFunc
	done    sync.WaitGroup
	closing context.Context

	mu      sync.Mutex
	conn    net.Conn      // nil while the VM has no process
	up      chan struct{} // closed while there is a conn
	down    chan struct{} // closed while there is none
	past    ring
	readers map[*Seat]struct{}
	writer  *Seat // nil: nobody types
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
	if err := c.log.write(p); err != nil {
		c.cfg.Logger.Warn("console is not being logged", "error", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.past.add(p)
	for r := range c.readers {
		r.out.push(p)
	}
}

// What people at a console are told.
const (
	noteBusy  = "\r\n[somebody else types here: you only watch]\r\n"
	noteTaken = "\r\n[somebody else took over: you only watch]\r\n"
)

// An Attachment says what somebody wants at a console.
type Attachment struct {
	Mode   Mode
	Replay int // bytes of the past that are shown first
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
	s, err := c.Join(a.Mode, a.Replay, false)
	if err != nil {
		return err
	}
	defer s.Close()
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
		if _, err := rw.Write(p); err != nil {
			return fmt.Errorf("console reader: %w", err)
		}
	}
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
