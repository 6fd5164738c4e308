package power

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/digitalocean/go-libvirt"
)

// libvirtLimit bounds one question to libvirt.
const libvirtLimit = 20 * time.Second

// A LibvirtConfig names a domain of a libvirt on this machine.
type LibvirtConfig struct {
	URI    string `json:"uri" yaml:"uri"` // qemu:///system, qemu:///session, perhaps with ?socket=PATH
	Domain string `json:"domain" yaml:"domain"`
}

func (c *LibvirtConfig) check() error {
	u, err := url.Parse(c.URI)
	switch {
	case err != nil:
		return fmt.Errorf("libvirt.uri: %w", err)
	case u.Scheme != "qemu" || u.Host != "" || u.Path != "/system" && u.Path != "/session":
		return fmt.Errorf("libvirt.uri: %q is neither qemu:///system nor qemu:///session", c.URI)
	case c.Domain == "":
		return errors.New("libvirt.domain: is missing")
	}
	return nil
}

// A Domain commands a domain of libvirt's, which others may command too.
type Domain struct {
	tracker
	cfg    LibvirtConfig
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup

	// Under mu as well.
	conn   *libvirtConn // nil while libvirt is away
	resets resetFilter
	reset  bool // the next reboot event is our own doing
}

var (
	_ Driver  = (*Domain)(nil)
	_ Metered = (*Domain)(nil)
)

// NewDomain follows a domain, which need not be defined yet. A nil log is quiet.
func NewDomain(cfg LibvirtConfig, log *slog.Logger) *Domain {
	d := &Domain{cfg: cfg}
	d.log = quietUnless(log).With("domain", cfg.Domain)
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.done.Go(d.run)
	return d
}

// run keeps a connection to libvirt.
func (d *Domain) run() {
	wait, last := redialFirst, ""
	for {
		err := d.serve()
		switch {
		case err == nil:
			wait, last = redialFirst, ""
		case d.ctx.Err() == nil && err.Error() != last:
			last = err.Error()
			d.log.Warn("libvirt or its domain is away", "error", err)
		}
		select {
		case <-d.ctx.Done():
			return
		case <-time.After(wait):
			wait = min(2*wait, redialLast)
		}
	}
}

// serve follows the domain over one connection. It gives an error when there was none.
func (d *Domain) serve() error {
	ctx, cancel := context.WithTimeout(d.ctx, libvirtLimit)
	defer cancel()
	c, err := dialLibvirt(ctx, d.cfg)
	if err != nil {
		return err
	}
	defer c.close()
	stop := context.AfterFunc(d.ctx, func() { c.conn.Close() })
	defer stop()
	feeds, err := c.subscribe(ctx)
	if err == nil {
		err = d.connected(ctx, c)
	}
	if err == nil {
		d.follow(feeds)
	}
	d.mu.Lock()
	d.conn = nil
	d.mu.Unlock()
	d.enter(Unknown, Event{Kind: EventLost})
	return err
}

// connected takes a connection into use, and asks for the state after it has subscribed.
func (d *Domain) connected(ctx context.Context, c *libvirtConn) error {
	var state, reason int32
	err := c.call(ctx, func() (err error) {
		state, reason, err = c.DomainGetState(c.domain, 0)
		return err
	})
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.conn, d.resets = c, resetFilter{burst: relayedBurst}
	d.mu.Unlock()
	s := domainState(state, reason)
	kind := EventStarted
	if s == Off {
		kind = EventExited
	}
	d.enter(s, Event{Kind: kind, Reason: "found"})
	return nil
}

// command runs one of the domain's commands.
func (d *Domain) command(ctx context.Context, verb string, f func(*libvirtConn) error) error {
	d.mu.Lock()
	c := d.conn
	d.mu.Unlock()
	if c == nil {
		return fmt.Errorf("cannot %s the VM: libvirt is away: %w", verb, ErrNotRunning)
	}
	ctx, cancel := context.WithTimeout(ctx, libvirtLimit)
	defer cancel()
	err := c.call(ctx, func() error { return f(c) })
	if err != nil {
		return fmt.Errorf("cannot %s the VM: %w", verb, err)
	}
	return nil
}

// living is command for a domain that must be active.
func (d *Domain) living(ctx context.Context, verb string, f func(*libvirtConn) error) error {
	err := d.command(ctx, verb, f)
	if refused(err) {
		return fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	return err
}

// Start implements [Driver].
func (d *Domain) Start(ctx context.Context) error {
	err := d.command(ctx, "start", func(c *libvirtConn) error {
		_, err := c.DomainCreateWithFlags(c.domain, 0)
		return err
	})
	if refused(err) {
		return fmt.Errorf("%w: %w", ErrRunning, err)
	}
	return err
}

// Kill implements [Driver].
func (d *Domain) Kill(ctx context.Context) error {
	err := d.command(ctx, "end", func(c *libvirtConn) error { return c.DomainDestroyFlags(c.domain, 0) })
	if refused(err) {
		return nil // it has ended
	}
	return err
}

// Cont implements [Driver].
func (d *Domain) Cont(ctx context.Context) error {
	if d.State() == Running {
		return nil
	}
	return d.living(ctx, "resume", func(c *libvirtConn) error { return c.DomainResume(c.domain) })
}

// Reset implements [Driver].
func (d *Domain) Reset(ctx context.Context) error {
	d.mu.Lock()
	d.reset = true
	d.mu.Unlock()
	err := d.living(ctx, "reset", func(c *libvirtConn) error { return c.DomainReset(c.domain, 0) })
	if err != nil {
		d.mu.Lock()
		d.reset = false
		d.mu.Unlock()
	}
	return err
}

// PowerDown implements [Driver].
func (d *Domain) PowerDown(ctx context.Context) error {
	err := d.living(ctx, "press the power button of", func(c *libvirtConn) error {
		return c.DomainShutdownFlags(c.domain, libvirt.DomainShutdownAcpiPowerBtn)
	})
	if err == nil {
		d.publish(Event{Kind: EventPowerDown})
	}
	return err
}

// NMI implements [Driver].
func (d *Domain) NMI(ctx context.Context) error {
	return d.living(ctx, "interrupt", func(c *libvirtConn) error { return c.DomainInjectNmi(c.domain, 0) })
}

// CPUTime implements [Metered].
func (d *Domain) CPUTime(ctx context.Context) (used time.Duration, cpus int, err error) {
	err = d.living(ctx, "meter", func(c *libvirtConn) error {
		_, _, _, n, ns, err := c.DomainGetInfo(c.domain)
		used, cpus = time.Duration(ns), int(n)
		return err
	})
	return used, cpus, err
}

// Close implements [Driver].
func (d *Domain) Close() error {
	d.cancel()
	d.done.Wait()
	d.feed.Close()
	return nil
}
