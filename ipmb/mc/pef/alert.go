package pef

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// Destination is where a channel's alert goes (LAN parameters 18 and 19 of
// IPMI 2.0 table 23-4).
type Destination struct {
	Addr         netip.Addr
	Kind         uint8 // type of destination; 0: platform event trap
	Acknowledged bool  // success is what the destination acknowledges, not what was sent
	Interval     time.Duration
	Retries      int
	Community    string
}

// KindPET is the type of destination that gets platform event traps.
const KindPET = 0

// Network is how alerts leave.
type Network struct {
	// Destination looks a channel's destination up; false: there is none.
	Destination func(ctx context.Context, channel, number uint8) (Destination, bool)
	// Allowed is what the operator lets alerts go to, with the port for each
	// address. Everything else is refused.
	Allowed []netip.AddrPort
	// Dial opens a UDP socket to an address.
	Dial func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
}

// alertLimit is how many policy sets are gone through at once. More are
// refused: whoever has so many alerts unacknowledged knows already.
const alertLimit = 64

// DefaultCommunity is the community of traps that nobody set.
const DefaultCommunity = "public"

// Errors of an alert.
var (
	errNoDestination  = errors.New("no such destination")
	errNotAllowed     = errors.New("destination is not one that alerts may go to")
	errKind           = errors.New("type of destination that gets no platform event traps")
	errUnacknowledged = errors.New("not acknowledged")
	errTooManyAlerts  = errors.New("too many alerts under way")
)

// start goes through a policy set for an event, in a goroutine of its own.
func (p *PEF) start(e Event, a alert) {
	log := p.Logger.With("filter", a.Filter, "policy", a.Policy, "record", e.ID)
	if err := p.claim(); err != nil {
		log.Warn("alert not sent", "err", err)
		return
	}
	p.Spawn(func(ctx context.Context) {
		defer p.release()
		set := p.policySet(a.Policy)
		if len(set) == 0 {
			log.Warn("alert not sent: the policy set has no entry that is enabled")
		}
		if p.awaitStart(ctx) {
			p.goThrough(ctx, set, e, a, log)
		}
	})
}

// goThrough alerts the destinations of a policy set, as its rules have it.
func (p *PEF) goThrough(ctx context.Context, set []Policy, e Event, a alert, log *slog.Logger) {
	var w walk
	for _, entry := range set {
		d, ok := p.Network.Destination(ctx, entry.Channel, entry.Destination)
		if !w.sends(entry, d.Kind) {
			continue
		}
		err := errNoDestination
		if ok {
			err = p.deliver(ctx, d, e, a.Severity, p.textFor(entry, a.Filter))
		}
		if err != nil {
			log.Warn("alert not delivered", "channel", entry.Channel, "destination", entry.Destination, "address", d.Addr, "err", err)
		}
		w.result(err == nil)
	}
}

func (p *PEF) claim() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.alerts >= alertLimit {
		return errTooManyAlerts
	}
	p.alerts++
	return nil
}

func (p *PEF) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.alerts--
}

// awaitStart waits for the end of the alert startup delay.
func (p *PEF) awaitStart(ctx context.Context) bool {
	p.mu.Lock()
	wait := time.Until(p.alertTill)
	p.mu.Unlock()
	return wait <= 0 || pause(ctx, wait)
}

// pause waits, and reports false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func (p *PEF) policySet(number uint8) (out []Policy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.policies {
		if e.Enabled && e.Number == number {
			out = append(out, e)
		}
	}
	return out
}

// textFor gives the alert string of a policy entry: the one it names, or of a
// set the one for the filter.
func (p *PEF) textFor(e Policy, filter int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !e.EventSpecific {
		if e.String == 0 || int(e.String) >= len(p.strings) {
			return ""
		}
		return p.strings[e.String].String()
	}
	for i := 1; i < len(p.strings); i++ {
		if s := &p.strings[i]; int(s.filter) == filter && s.set == e.String {
			return s.String()
		}
	}
	return ""
}
