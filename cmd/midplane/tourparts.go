package main

import (
	"context"
	"fmt"
	"time"

	"github.com/midplane-project/midplane/ipmb/sel"
)

// tourParts is the tour.
func tourParts() []part {
	return []part{
		{"A shelf", "Three shelf manager replicas, and a controller and a VM for each slot.", showShelf},
		{"A BMC of its own", "Each guest finds a BMC with its own stock driver.", showLocal},
		{"The other's controller", "A guest's messages reach the other slot's controller over IPMB.", showBridged},
		{"The chassis BMC", "The shelf manager answers at 0x20, whichever replica leads.", showChassis},
		{"Events", "One event goes straight to 0x20; one to the guest's own BMC, which passes it on.\nThe shelf's log has both.", showEvents},
		{"Guest to guest", "Software in one guest asks software in the other: LUN 2 of its controller.", showSoftware},
		{"The leader is killed", "While a program in a guest keeps requests in flight to 0x20, half of which add a\nrecord to the shelf's log, the leading replica is killed by SIGKILL.", showFailover},
	}
}

func showShelf(t *tour, ctx context.Context) error {
	if _, err := t.run(ctx, "up"); err != nil {
		return err
	}
	if err := t.open(); err != nil {
		return err
	}
	if err := t.startKilled(ctx); err != nil {
		return err
	}
	_, err := t.run(ctx, "ps")
	return err
}

// startKilled starts what up leaves down because somebody killed it.
func (t *tour) startKilled(ctx context.Context) error {
	seen, err := lookAt(ctx, t.lab)
	if err != nil {
		return err
	}
	var down []string
	for _, r := range seen.Replicas {
		if r.State == replicaSilent {
			down = append(down, r.Name)
		}
	}
	for _, s := range seen.Slots {
		if s.status == nil && (s.Name == t.one.Name || s.Name == t.two.Name) {
			down = append(down, "node/"+s.Name)
		}
	}
	for _, name := range down {
		if _, err := t.run(ctx, "start", name); err != nil {
			return err
		}
	}
	if len(down) == 0 {
		return nil
	}
	_, err = t.run(ctx, "up")
	return err
}

func showLocal(t *tour, ctx context.Context) error {
	return t.guestAll(ctx, t.one, "ipmitool mc info")
}

func showBridged(t *tour, ctx context.Context) error {
	if err := t.guestAll(ctx, t.one, "ipmitool -b 0 -t "+t.two.Addr().String()+" mc info"); err != nil {
		return err
	}
	return t.guestAll(ctx, t.two, "ipmitool -b 0 -t "+t.one.Addr().String()+" mc info")
}

func showChassis(t *tour, ctx context.Context) error {
	return t.guestAll(ctx, t.one, "ipmitool -b 0 -t 0x20 mc info")
}

// eventsLimit is how long an event may take from a guest's BMC to the shelf.
const eventsLimit = 5 * time.Second

func showEvents(t *tour, ctx context.Context) error {
	log, err := openTourLog(ctx, t)
	if err != nil {
		return err
	}
	defer log.close()
	// The local one last: the guest's driver keeps it for the next ipmitool,
	// which takes it for an answer of its own and grumbles.
	if err := t.guestAll(ctx, t.one, "ipmitool -b 0 -t 0x20 event 1", "ipmitool event 1"); err != nil {
		return err
	}
	mine := func(e eventView) bool {
		return e.Source == t.one.Addr().String() && e.record.Type == sel.TypeSystem && e.record.Event.Sensor == sel.SensorTemperature
	}
	seen := 0
	log.take = func(e eventView) {
		if mine(e) {
			seen++
		}
	}
	if err := log.await(eventsLimit, nil, func() bool { return seen >= 2 }); err != nil {
		return fmt.Errorf("%d of 2 events are in the shelf's log", seen)
	}
	_, err = t.run(ctx, "sel", "shelf", "-n", "2")
	return err
}

// respondCommand answers one request, and returns as soon as it could come.
const respondCommand = `midplane-guest respond --count 1 --for 30s >/tmp/respond 2>&1 & ` +
	`until grep -q answering /tmp/respond; do sleep 0.1; done`

func showSoftware(t *tour, ctx context.Context) error {
	if _, err := t.guest(ctx, t.two, "sh", "-c", respondCommand); err != nil {
		return err
	}
	if err := t.guestAll(ctx, t.one, "midplane-guest send --target "+t.two.Addr().String()+" --lun 2 0x30 0x01 1 2 3"); err != nil {
		return err
	}
	return t.guestAll(ctx, t.two, "cat /tmp/respond")
}
