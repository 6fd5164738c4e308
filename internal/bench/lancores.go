package main

import (
	"context"
	"fmt"

	"github.com/midplane-project/midplane/internal/lanclient"
)

// lanCores measures what more processors add for many sessions: a node and its
// client that share one are the peer of those that may use all.
func (b *bench) lanCores(ctx context.Context) error {
	rates := make(map[place][]float64)
	for _, p := range places {
		d, err := b.lanNode(p, lanclient.Suite3)
		if err != nil {
			return err
		}
		got, err := b.lanRates(ctx, p, []*lanDoor{d})
		d.kill()
		if err != nil {
			return err
		}
		rates[p] = got[0]
	}
	b.report.add(&measurement{
		Name: fmt.Sprintf("LAN Get Device ID, %d sessions, all cores", manySessions), Unit: "1/s", Guests: "none",
		Midplane: single(rates[place{}]...), Peer: single(rates[place{pinned: true}]...), Required: []bound{atLeast("peer", 1)},
		Note: "the peer is midplane and its client on one core",
	})
	return nil
}
