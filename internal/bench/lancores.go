package main

import (
	"context"
	"fmt"

	"github.com/midplane-project/midplane/internal/lanclient"
)

// lanCores measures what a second processor adds for many sessions: a node that
// may use one is the peer of a node that may use two. The client needs its part
// of both.
func (b *bench) lanCores(ctx context.Context) error {
	var doors []*lanDoor
	defer func() {
		for _, d := range doors {
			d.kill()
		}
	}()
	for procs := range 2 {
		d, err := b.lanNode(place{}, lanclient.Suite3, fmt.Sprintf("GOMAXPROCS=%d", procs+1))
		if err != nil {
			return err
		}
		doors = append(doors, d)
	}
	rates, err := b.lanRates(ctx, place{}, doors)
	if err != nil {
		return err
	}
	b.report.add(&measurement{
		Name: fmt.Sprintf("LAN Get Device ID, %d sessions, GOMAXPROCS=2", manySessions), Unit: "1/s", Guests: "none",
		Midplane: single(rates[1]...), Peer: single(rates[0]...), Required: []bound{atLeast("peer", 1)},
		Note: "the peer is midplane with GOMAXPROCS=1; the client needs its part of two cores",
	})
	return nil
}
