package node

import (
	"context"
	"time"

	"github.com/midplane-project/midplane/node/vm"
)

// supply is the payload that commands act on: the host, with the cause of each
// start and reset noted.
type supply struct{ *host }

// PowerOn implements payload. A VM that is on already does not restart.
func (s supply) PowerOn(ctx context.Context) error {
	if s.On() && !s.isEnding() {
		return s.host.PowerOn(ctx)
	}
	return s.life.restarts(ctx, forever, func() error { return s.host.PowerOn(ctx) })
}

// PowerOff implements payload. A start that was asked for before is off.
func (s supply) PowerOff(ctx context.Context) error {
	if err := s.life.update(func(l *lifeState) { l.Due = 0 }); err != nil {
		return err
	}
	return s.host.PowerOff(ctx)
}

// Cycle implements payload.
func (s supply) Cycle(ctx context.Context) error {
	return s.life.restarts(ctx, forever, func() error { return s.host.Cycle(ctx) })
}

// Press implements payload.
func (s supply) Press(ctx context.Context, c vm.Command) error {
	if c != vm.CommandReset {
		return s.host.Press(ctx, c)
	}
	due := time.Now().Add(resetWithin).UnixNano()
	return s.life.restarts(ctx, due, func() error { return s.host.Press(ctx, c) })
}
