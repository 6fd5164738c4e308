package main

import (
	"context"
	"fmt"

	"github.com/midplane-project/midplane/internal/lanclient"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node"
)

// lanBridgeIn measures a question to another controller through a LAN door,
// as `ipmitool -t` puts it: for ours slot 1's door and slot 2's controller,
// for ipmi_sim the controller beside its BMC.
func (b *bench) lanBridgeIn(ctx context.Context, p place) error {
	var doors []*lanDoor
	for _, o := range []order{{place: p, replicas: 1, nodes: 2, lan: true}, {place: p, replicas: 1, nodes: 2, lan: true, compact: true}} {
		s, err := b.stand(ctx, o)
		if err != nil {
			return err
		}
		defer s.close()
		d, err := s.door(ctx, 1)
		if err != nil {
			return err
		}
		doors = append(doors, d)
	}
	sim, err := b.lanSim(p)
	if err != nil {
		return err
	}
	defer sim.kill()
	got, err := b.lanTurns(ctx, p, b.requests/4, bridged, append(doors, sim))
	if err != nil {
		return err
	}
	peer := summarise(micros, got[2]...)
	const name = "LAN bridged request"
	b.addBridge(p, name+", --compact", got[1], peer, []bound{atMost("peer", 1.5)}, []bound{atMost("peer", 1)})
	b.addBridge(p, name+", three processes with TLS", got[0], peer, []bound{atMost("p99", 2000)}, []bound{atMost("p99", 1000)})
	return nil
}

// bridged asks for the Device ID of a door's other controller.
func bridged(ctx context.Context, d *lanDoor) (side, error) {
	c, err := d.dial(ctx)
	if err != nil {
		return side{}, err
	}
	ask := func() error {
		_, err := c.Bridge(ctx, d.other, ipmb.NetFnApp, ipmb.CmdGetDeviceID)
		return err
	}
	return side{d.name, ask, func() { _ = c.Close(ctx) }}, d.until(ctx, startPatience, ask)
}

// door is the LAN door of the node in a slot, which bridges to slot 2.
func (s *stand) door(ctx context.Context, slot int) (*lanDoor, error) {
	d := s.nodes[slot-1]
	pr := d.process
	if pr == nil {
		pr = s.whole
	}
	password, err := passwordOf(ctx, pr, s.path(fmt.Sprintf("node%d", slot)))
	who := lanclient.Credentials{Suite: lanclient.Suite3, User: node.LANUser, Password: password}
	return &lanDoor{pr, d.lan, who, ipmb.SlotAddr(2)}, err
}
