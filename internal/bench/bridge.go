package main

import (
	"context"

	"github.com/midplane-project/midplane/ipmb"
)

// bridge measures Send Message to another controller until its answer is
// fetched by Get Message, one outstanding.
func (b *bench) bridge(ctx context.Context) error {
	for _, p := range places {
		if err := b.bridgeIn(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) bridgeIn(ctx context.Context, p place) error {
	var sides []side
	defer func() { endAll(sides) }()
	orders := []order{{place: p, replicas: 1, nodes: 2}, {place: p, replicas: 3, nodes: 2}, {place: p, replicas: 1, nodes: 2, compact: true}}
	for _, start := range []func() (side, error){
		func() (side, error) { return b.simBridge(ctx, p) },
		func() (side, error) { return b.standBridge(ctx, orders[0]) },
		func() (side, error) { return b.standBridge(ctx, orders[1]) },
		func() (side, error) { return b.standBridge(ctx, orders[2]) },
	} {
		s, err := start()
		if err != nil {
			return err
		}
		sides = append(sides, s)
	}
	got, err := b.turns(p, b.requests/4, sides...)
	if err != nil {
		return err
	}
	peer := summarise(micros, got[0]...)
	b.addBridge(p, "Bridged request, --compact", got[3], peer, []bound{atMost("peer", 1.5)}, []bound{atMost("peer", 1)})
	b.addBridge(p, "Bridged request, three processes with TLS", got[1], peer,
		[]bound{atMost("peer", 4), atMost("p99", 2000)}, []bound{atMost("peer", 3), atMost("p99", 1000)})
	b.addBridge(p, "Bridged request, two nodes and three replicas", got[2], peer, nil, nil)
	return nil
}

func (b *bench) addBridge(p place, name string, got []sample, peer *summary, required, stretch []bound) {
	b.report.add(&measurement{
		Name: name, Unit: micros, Guests: "fake", Pinned: p.pinned,
		Midplane: summarise(micros, got...), Peer: peer, Required: required, Stretch: stretch,
		Note: "the peer is ipmi_sim within one process, from its BMC to 82h",
	})
}

// simBridge asks ipmi_sim's controller at 82h from the guest of its BMC.
func (b *bench) simBridge(ctx context.Context, p place) (side, error) {
	s, err := b.startSim(p, 1)
	if err != nil {
		return side{}, err
	}
	g, err := s.guest(ctx, s.addr)
	if err != nil {
		s.kill()
		return side{}, err
	}
	return side{s.name, func() error { return g.bridged(ipmb.SlotAddr(1)) }, func() { g.close(); s.kill() }}, nil
}

// standBridge asks slot 2's controller from slot 1's guest.
func (b *bench) standBridge(ctx context.Context, o order) (side, error) {
	s, err := b.stand(ctx, o)
	if err != nil {
		return side{}, err
	}
	to := ipmb.SlotAddr(2)
	g, err := s.bridges(ctx, 1, to)
	if err != nil {
		s.close()
		return side{}, err
	}
	return side{"shelf", func() error { return g.bridged(to) }, func() { g.close(); s.close() }}, nil
}
