package serial

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/midplane-project/midplane/internal/port"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// Limits of a line.
const (
	readSize  = 1024
	stuckLate = 2 * time.Second // how long a write may take before the other end counts as gone
	redial    = 50 * time.Millisecond
	// plugWithin is how long a line waits for the one before it to end: whoever
	// connects again at once may be quicker than the end of his first line.
	plugWithin = 200 * time.Millisecond
)

// Config is what a [Door] needs.
type Config struct {
	Mode    Mode
	Handler ipmb.Handler
	// Origin is what requests carry: Speaker, Channel, Shelf, Source and
	// Instance. Its Privilege is what who speaks may without a session.
	Origin ipmb.Origin

	// Account finds who may log in under a name (mc.Users.Account on the
	// channel); nil: nobody. The password that it gives is wiped after use.
	Account func(name string, atLeast ipmb.Privilege) (mc.Account, error)
	// Standing tells what a user may who has logged in (mc.Users.Standing); nil:
	// users do not change.
	Standing func(id uint8) (mc.Standing, bool)
	// Users reports whether any user with a name, and the null user, may log in.
	Users func() (named, null bool)
	// Sensors are those that the health is told from.
	Sensors []Sensor
	// Deliver gives a message for LUN 2 to system management software, and
	// reports whether there was room for it.
	Deliver func(privilege ipmb.Privilege, handle uint8, f ipmb.Frame) bool
	// Limit is the highest privilege on the channel, and whether it takes
	// messages; nil: it is as the Origin says.
	Limit func() (ipmb.Privilege, bool)
	// Settings are those of the channel; nil: the mode's defaults.
	Settings func() mc.SerialSettings
	// Style is how answers come back over the bridge; empty: split in
	// terminal mode, else embedded.
	Style ipmb.BridgeStyle

	Logger *slog.Logger
}

// Door serves one serial port: one line at a time, one request after the other.
type Door struct {
	cfg    Config
	logins logins

	plug chan struct{} // full while there is a line from Serve

	mu      sync.Mutex
	line    *line
	session *session // nil: nobody has logged in
	last    uint8    // number of the last session's handle
}

// Errors of Send, which are completion codes of Send Message.
var (
	ErrNoLine    error = ipmb.ErrNAK
	ErrNoSession error = ipmb.ErrHandle // the handle is not the session's
)

// New gives the door of a port.
func New(cfg Config) (*Door, error) {
	if _, err := NewCodec(cfg.Mode); err != nil {
		return nil, err
	}
	cfg.Origin.Door = ipmb.DoorSerial
	return &Door{cfg: cfg, plug: make(chan struct{}, 1)}, nil
}

// Send sends a message of system management software to who is on the line. Its
// handle is the one that came with what the line sent: 0 without a session.
func (d *Door) Send(handle uint8, f ipmb.Frame) error {
	d.mu.Lock()
	l := d.line
	d.mu.Unlock()
	_, open := d.opens()
	switch {
	case l == nil || !open:
		return ErrNoLine
	case d.handle() != handle:
		return ErrNoSession
	}
	return l.send(f)
}

// setLine notes the line that is plugged in, nil for none.
func (d *Door) setLine(l *line) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.line = l
}

// Serve takes lines from ln until ctx ends. A port has one plug: another line
// is closed unless the one there is ends soon.
func (d *Door) Serve(ctx context.Context, ln net.Listener) error {
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	var lines sync.WaitGroup
	defer lines.Wait()
	for {
		conn, err := port.Accept(ctx, ln)
		if err != nil {
			return cmp.Or(ctx.Err(), err)
		}
		lines.Go(func() { d.plugIn(ctx, conn) })
	}
}

func (d *Door) plugIn(ctx context.Context, conn net.Conn) {
	select {
	case d.plug <- struct{}{}:
		defer func() { <-d.plug }()
		d.Line(ctx, conn)
	case <-time.After(plugWithin):
		_ = conn.Close()
	case <-ctx.Done():
		_ = conn.Close()
	}
}

// Dial keeps a line to a Unix socket, at which QEMU has the guest's port, until
// ctx ends.
func (d *Door) Dial(ctx context.Context, path string) error {
	var dialer net.Dialer
	for {
		if conn, err := dialer.DialContext(ctx, "unix", path); err == nil {
			d.Line(ctx, conn)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(redial):
		}
	}
}

// Conn is the near end of a line.
type Conn interface {
	io.ReadWriteCloser
	SetWriteDeadline(time.Time) error
}

// Line serves one line until it ends or ctx does, and closes it.
func (d *Door) Line(ctx context.Context, conn Conn) {
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	codec, err := NewCodec(d.cfg.Mode)
	if err != nil {
		return // New has checked it
	}
	l := &line{door: d, codec: codec, conn: conn}
	d.setLine(l)
	defer d.lineLost()
	if err := l.serve(ctx); ctx.Err() == nil && !errors.Is(err, io.EOF) {
		d.log().Info("serial line lost", "err", err)
	}
}

// lineLost ends the session with its line, unless the channel is set otherwise.
func (d *Door) lineLost() {
	d.setLine(nil)
	if d.settings().EndsWithLine {
		d.logout()
	}
}

// settings are those of the channel that hold now.
func (d *Door) settings() mc.SerialSettings {
	if d.cfg.Settings == nil {
		return d.cfg.Mode.defaults()
	}
	return d.cfg.Settings()
}

func (d *Door) log() *slog.Logger {
	if d.cfg.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return d.cfg.Logger.With("serial", d.cfg.Origin.Channel)
}

// opens reports whether the channel takes messages, and up to which privilege.
func (d *Door) opens() (ipmb.Privilege, bool) {
	if d.cfg.Limit == nil {
		return ipmb.PrivilegeAdmin, true
	}
	return d.cfg.Limit()
}
