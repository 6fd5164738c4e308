package main

import (
	"context"
	"fmt"

	"github.com/midplane-project/midplane/ipmb"
)

// idleDoors have 63 sessions each, and 1,008 in all.
const idleDoors = crowdSize

// lanIdle measures what sessions that say nothing take: a thousand of them, at
// the doors of so many controllers in one process.
func (b *bench) lanIdle(ctx context.Context) error {
	s, err := b.stand(ctx, order{replicas: 1, nodes: idleDoors, compact: true, lan: true})
	if err != nil {
		return err
	}
	defer s.close()
	var ours []*lanDoor
	for slot := range idleDoors {
		d, err := s.door(ctx, slot+1)
		if err != nil {
			return err
		}
		ours = append(ours, d)
	}
	sim, err := b.startSim(place{}, idleDoors-1)
	if err != nil {
		return err
	}
	defer sim.kill()
	var theirs []*lanDoor
	for _, addr := range sim.lans {
		theirs = append(theirs, sim.door(addr))
	}
	mine, each, err := idle(ctx, ours)
	if err != nil {
		return err
	}
	peer, eachPeer, err := idle(ctx, theirs)
	if err != nil {
		return err
	}
	b.report.add(&measurement{
		Name: fmt.Sprintf("Memory with %d idle LAN sessions at %d doors (RSS)", manySessions*idleDoors, idleDoors), Unit: "MB", Guests: "none",
		Midplane: single(mine), Peer: single(peer),
		Note: fmt.Sprintf("at most %s KB a session, the peer's %s; midplane is 16 nodes and a replica in one process", number(each), number(eachPeer)),
	})
	return nil
}

// idle fills all doors of a process and gives its memory in MB, and in KB how
// much of it is each session's at most: what is left of the logins is counted.
func idle(ctx context.Context, doors []*lanDoor) (total, each float64, err error) {
	before, err := doors[0].rss()
	if err != nil {
		return 0, 0, err
	}
	total, err = filled(ctx, doors)
	return total, (total - before) * 1024 / float64(manySessions*len(doors)), err
}

// filled gives the memory of a process while all its doors are full.
func filled(ctx context.Context, doors []*lanDoor) (float64, error) {
	crowds, leave, err := atAll(ctx, doors)
	defer leave()
	if err != nil {
		return 0, err
	}
	for _, c := range crowds { // all of them are there
		if _, err := c.Ask(ctx, 1, ipmb.NetFnApp, ipmb.CmdGetDeviceID); err != nil {
			return 0, err
		}
	}
	return doors[0].rss()
}
