package pef

import (
	"context"
	"encoding/binary"
	"net/netip"
	"time"
)

// deliver sends an alert to a destination, as often as that says.
func (p *PEF) deliver(ctx context.Context, d Destination, e Event, s Severity, text string) error {
	to, err := p.allowed(d)
	if err != nil {
		return err
	}
	t := &trap{event: e, severity: s, source: &p.Source, text: text}
	if t.guid, t.sequence, err = p.stamp(); err != nil {
		return err
	}
	send := func() error { return p.send(ctx, to, d.Community, t) }
	if d.Acknowledged {
		return p.untilAcknowledged(ctx, d, t.acknowledgement(), send)
	}
	return repeat(ctx, d, send)
}

// allowed gives the address and port of a destination, if alerts may go there.
func (p *PEF) allowed(d Destination) (netip.AddrPort, error) {
	if d.Kind != KindPET {
		return netip.AddrPort{}, errKind
	}
	for _, a := range p.Network.Allowed {
		if a.Addr() == d.Addr {
			return a, nil
		}
	}
	return netip.AddrPort{}, errNotAllowed
}

// stamp gives a trap the GUID that it says it comes from, and the next
// sequence number, which is kept: receivers take a number for a repeat when
// they have seen it.
func (p *PEF) stamp() (g [16]byte, sequence uint16, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g = p.Source.GUID // in the order of RFC 4122, in which FreeIPMI reads it
	if p.guid.used() {
		g = [16]byte(p.guid[1:])
	}
	sequence = max(p.sequence+1, 1) // 0 is unspecified
	if err := p.Records.Put(recordSequence, binary.LittleEndian.AppendUint16(nil, sequence)); err != nil {
		return g, 0, err
	}
	p.sequence = sequence
	return g, sequence, nil
}

func (p *PEF) takeSequence(v []byte) error {
	p.sequence = binary.LittleEndian.Uint16(v)
	return nil
}

func (p *PEF) send(ctx context.Context, to netip.AddrPort, community string, t *trap) error {
	c, err := p.Network.Dial(ctx, to)
	if err != nil {
		return err
	}
	defer c.Close()
	var agent netip.Addr
	if own, err := netip.ParseAddrPort(c.LocalAddr().String()); err == nil {
		agent = own.Addr()
	}
	_, err = c.Write(t.appendMessage(nil, community, agent, time.Since(p.begun)))
	return err
}

// repeat sends an alert that nobody acknowledges, once and as many times again
// as the destination wishes. It has success when one of them left.
func repeat(ctx context.Context, d Destination, send func() error) error {
	err := send()
	for range d.Retries {
		if !pause(ctx, d.Interval) {
			return ctx.Err()
		}
		if again := send(); err != nil {
			err = again
		}
	}
	return err
}

// untilAcknowledged sends an alert again until it is acknowledged.
func (p *PEF) untilAcknowledged(ctx context.Context, d Destination, key acknowledgement, send func() error) (err error) {
	done := p.await(key)
	defer p.forget(key)
	for range d.Retries + 1 {
		if err = send(); err == nil {
			err = errUnacknowledged
		}
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d.Interval):
		}
	}
	return err
}

// await gives a channel that is closed when a trap is acknowledged.
func (p *PEF) await(key acknowledgement) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	done := make(chan struct{})
	p.awaited[key] = done
	return done
}

func (p *PEF) forget(key acknowledgement) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.awaited, key)
}

// acknowledge ends the repeats of a trap.
func (p *PEF) acknowledge(key acknowledgement) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if done, ok := p.awaited[key]; ok {
		close(done)
		delete(p.awaited, key)
	}
}
