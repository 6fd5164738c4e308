package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

// side is one of those that take turns in a measurement.
type side struct {
	name string
	do   func() error // one request
	end  func()
}

// turns lets the sides take turns, each doing so many requests in a round,
// and gives what each took, in the order of the sides.
func (b *bench) turns(p place, requests int, sides ...side) ([][]sample, error) {
	out := make([][]sample, len(sides))
	err := p.on(func() error {
		for round := range b.rounds + 1 {
			for i, s := range sides {
				got, err := timed(requests, s.do)
				if err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
				if round > 0 { // the first one warms up
					out[i] = append(out[i], got)
				}
			}
		}
		return nil
	})
	return out, err
}

func endAll(sides []side) {
	for _, s := range sides {
		s.end()
	}
}

// local measures Get Device ID at the own controller, one outstanding.
func (b *bench) local(ctx context.Context) error {
	for _, p := range places {
		if err := b.localIn(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) localIn(ctx context.Context, p place) error {
	var sides []side
	defer func() { endAll(sides) }()
	for _, start := range []func(context.Context, place) (side, error){
		b.nodeOver("tcp"), b.nodeOver("unix"), b.simSide, b.echoOver("tcp"), b.echoOver("unix"),
	} {
		s, err := start(ctx, p)
		if err != nil {
			return err
		}
		sides = append(sides, s)
	}
	got, err := b.turns(p, b.requests, sides...)
	if err != nil {
		return err
	}
	peer := summarise(micros, got[2]...)
	b.report.add(&measurement{
		Name: "Get Device ID, TCP", Unit: micros, Guests: "fake", Pinned: p.pinned,
		Midplane: summarise(micros, got[0]...), Peer: peer, Limit: summarise(micros, got[3]...),
		Required: []bound{atMost("peer", 1.3)}, Stretch: []bound{atMost("peer", 1)},
	})
	b.report.add(&measurement{
		Name: "Get Device ID, Unix", Unit: micros, Guests: "fake", Pinned: p.pinned,
		Midplane: summarise(micros, got[1]...), Peer: peer, Limit: summarise(micros, got[4]...),
		Required: []bound{atMost("peer", 1)},
	})
	return nil
}

// address is a free one of the kind.
func (b *bench) address(kind, name string) (string, error) {
	if kind == "unix" {
		return "unix:" + filepath.Join(b.dir, fmt.Sprintf("%s-%d.sock", name, time.Now().UnixNano())), nil
	}
	port, err := freePort()
	return "tcp:" + port, err
}

// nodeOver starts a standalone node that listens for its VM on such a socket.
func (b *bench) nodeOver(kind string) func(context.Context, place) (side, error) {
	return func(ctx context.Context, p place) (side, error) {
		addr, err := b.address(kind, "bmc")
		if err != nil {
			return side{}, err
		}
		dir := filepath.Join(b.dir, fmt.Sprintf("lone-%s-%v", kind, p.pinned))
		pr, err := b.start(p, "node-"+kind, nil, b.bin, "node", "--standalone", "--vm", addr, "--dir", dir)
		if err != nil {
			return side{}, err
		}
		return guestSide(ctx, pr, addr)
	}
}

func (b *bench) simSide(ctx context.Context, p place) (side, error) {
	s, err := b.startSim(p, 1)
	if err != nil {
		return side{}, err
	}
	return guestSide(ctx, s.process, s.addr)
}

// guestSide asks the controller that pr is for its Device ID.
func guestSide(ctx context.Context, pr *process, addr string) (side, error) {
	g, err := pr.guest(ctx, addr)
	if err != nil {
		pr.kill()
		return side{}, err
	}
	return side{pr.name, g.deviceID, func() { g.close(); pr.kill() }}, nil
}

// echoOver sends as many bytes as a Get Device ID response has through the echo.
func (b *bench) echoOver(kind string) func(context.Context, place) (side, error) {
	return func(ctx context.Context, p place) (side, error) {
		addr, err := b.address(kind, "echo")
		if err != nil {
			return side{}, err
		}
		pr, err := b.startEcho(p, addr)
		if err != nil {
			return side{}, err
		}
		var s *socket
		if err := pr.until(ctx, startPatience, func() (err error) { s, err = dial(addr); return err }); err != nil {
			pr.kill()
			return side{}, err
		}
		const responseLen = 21
		buf := make([]byte, responseLen)
		do := func() error {
			if err := s.write(buf); err != nil {
				return err
			}
			_, err := s.read(buf)
			return err
		}
		return side{pr.name, do, func() { s.close(); pr.kill() }}, nil
	}
}
