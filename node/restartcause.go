package node

import (
	"context"
	"errors"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// restartCause is why a system started (IPMI 2.0 §28.11).
type restartCause uint8

// Causes. The watchdog and the event filters pass theirs with because.
const (
	causeUnknown     restartCause = 0x0
	causeControl     restartCause = 0x1 // Chassis Control
	causeResetButton restartCause = 0x2
	causePowerButton restartCause = 0x3
	causeWatchdog    restartCause = 0x4
	causeAlwaysOn    restartCause = 0x6 // restore policy
	causePrevious    restartCause = 0x7 // likewise
	causePEFReset    restartCause = 0x8
	causePEFCycle    restartCause = 0x9
	causeSoft        restartCause = 0xA // the guest reset itself
)

// resetWithin is how long a reset that was asked for may take to show.
const resetWithin = 10 * time.Second

// reason gives the cause as "boot flag valid bit clearing" knows it.
func (c restartCause) reason() mc.BootReason {
	switch c {
	case causePowerButton:
		return mc.BootByPowerButton
	case causeResetButton, causeSoft:
		return mc.BootByReset
	case causeWatchdog:
		return mc.BootByWatchdog
	case causePEFReset, causePEFCycle:
		return mc.BootByPEF
	}
	return mc.BootByCommand
}

// restart is what Get System Restart Cause tells.
type restart struct {
	Cause   restartCause
	Channel uint8 // by which the command came
}

type restartKey struct{}

// because marks what is done to the VM in ctx with its cause. It goes by the
// context since it passes through everything that has a payload to act on, and
// nothing of that goes by it.
func because(ctx context.Context, c restartCause, channel uint8) context.Context {
	return context.WithValue(ctx, restartKey{}, restart{c, channel})
}

// byCommand is because for a command.
func byCommand(ctx context.Context, req *ipmb.Request) context.Context {
	return because(ctx, causeControl, req.Origin.Channel)
}

// restarts does what makes the VM start or reset, and has noted the cause
// before: the VM may be quicker than the answer, and the node may be killed.
func (l *life) restarts(ctx context.Context, due int64, act func() error) error {
	cause, _ := ctx.Value(restartKey{}).(restart)
	before := l.get()
	if err := l.update(func(s *lifeState) { s.Cause, s.Due = cause, due }); err != nil {
		return err
	}
	if err := act(); err != nil {
		return errors.Join(err, l.update(func(s *lifeState) { s.Cause, s.Due = before.Cause, before.Due }))
	}
	return nil
}

// reset notes a reset of the VM and gives its cause. One that nobody asked for
// is the guest's own, or that of somebody at QEMU's monitor.
func (l *life) reset(guest bool) restartCause {
	now := time.Now().UnixNano()
	l.note(func(s *lifeState) {
		if now > s.Due {
			s.Cause = restart{}
			if guest {
				s.Cause.Cause = causeSoft
			}
		}
		s.Due = 0
	})
	return l.get().Cause.Cause
}
