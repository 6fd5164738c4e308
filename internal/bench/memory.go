package main

import (
	"context"
	"fmt"

	"github.com/midplane-project/midplane/ipmb"
)

// memory measures what daemons take (VmRSS) after work: each node of a shelf
// of 16, and each of its replicas. ipmi_sim with as many controllers is beside
// it for scale: it is one process that does less.
func (b *bench) memory(ctx context.Context) error {
	s, err := b.stand(ctx, order{replicas: 3, nodes: crowdSize})
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.work(ctx); err != nil {
		return err
	}
	peer, err := b.simMemory(ctx)
	if err != nil {
		return err
	}
	for _, of := range []struct {
		name    string
		daemons []*daemon
	}{{"Memory of a node (RSS)", s.nodes}, {"Memory of a replica with 16 nodes (RSS)", s.replicas}} {
		var all []float64
		for _, d := range of.daemons {
			mb, err := d.rss()
			if err != nil {
				return err
			}
			all = append(all, mb)
		}
		m := single(all...)
		b.report.add(&measurement{
			Name: of.name, Unit: "MB", Guests: "fake", Midplane: m, Peer: peer,
			Required: []bound{atMost("max", 30)}, Stretch: []bound{atMost("max", 20)},
			Note: fmt.Sprintf("largest of %d: %s MB; the peer is all of ipmi_sim with 17 controllers", len(all), number(m.Max)),
		})
	}
	return nil
}

// work lets every guest ask the next controller and the shelf manager.
func (s *stand) work(ctx context.Context) error {
	guests, err := s.all(ctx)
	if err != nil {
		return err
	}
	defer closeAll(guests)
	for i, g := range guests {
		to := ipmb.SlotAddr((i+1)%len(guests) + 1)
		if _, err := timed(s.b.requests/8, func() error { return g.bridged(to) }); err != nil {
			return err
		}
		if err := newLoad(g, ipmb.AddrShelfManager, mixed, 8).run(ctx, s.b.requests/8); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) simMemory(ctx context.Context) (*summary, error) {
	s, err := b.startSim(place{}, crowdSize)
	if err != nil {
		return nil, err
	}
	defer s.kill()
	g, err := s.guest(ctx, s.addr)
	if err != nil {
		return nil, err
	}
	defer g.close()
	if _, err := timed(b.requests, g.deviceID); err != nil {
		return nil, err
	}
	mb, err := s.rss()
	if err != nil {
		return nil, err
	}
	return single(mb), nil
}
