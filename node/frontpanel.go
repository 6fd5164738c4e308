package node

import (
	"context"
	"math"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	midplanev1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Buttons of the front panel that can be disabled (IPMI 2.0 §28.6). A VM has
// none for standby.
const (
	buttonPower      = 0x01 // for power off only: it always powers on
	buttonReset      = 0x02
	buttonDiagnostic = 0x04
	buttonsAll       = buttonPower | buttonReset | buttonDiagnostic

	allowedShift = 4 // in Get Chassis Status, which ones can be disabled
)

// ErrButton says that a button of the front panel was disabled by
// Set Front Panel Button Enables.
var ErrButton error = stateError("this button of the front panel is disabled")

// buttons are what the verbs of a node's own API press. A cycle is none.
var buttons = map[midplanev1.PowerAction]struct {
	disabled byte // by this bit
	cause    restartCause
}{
	midplanev1.PowerAction_POWER_ACTION_ON:       {0, causePowerButton},
	midplanev1.PowerAction_POWER_ACTION_OFF:      {buttonPower, causePowerButton},
	midplanev1.PowerAction_POWER_ACTION_SOFT_OFF: {buttonPower, causePowerButton},
	midplanev1.PowerAction_POWER_ACTION_RESET:    {buttonReset, causeResetButton},
	midplanev1.PowerAction_POWER_ACTION_NMI:      {buttonDiagnostic, causeUnknown},
	midplanev1.PowerAction_POWER_ACTION_CYCLE:    {0, causeControl},
}

// press marks what follows as done by a button, if that is enabled.
func (l *life) press(ctx context.Context, a midplanev1.PowerAction) (context.Context, error) {
	b := buttons[a]
	if l.get().Panel&b.disabled != 0 {
		return nil, ErrButton
	}
	return because(ctx, b.cause, ipmb.ChannelPresent), nil
}

// setPanel is Set Front Panel Button Enables.
func (c *chassis) setPanel(_ context.Context, req *ipmb.Request) ([]byte, error) {
	disabled := req.Data[0]
	if disabled&^buttonsAll != 0 {
		return nil, ipmb.ErrInvalidField
	}
	return nil, c.life.update(func(s *lifeState) { s.Panel = disabled })
}

// Chassis Identify (IPMI 2.0 §28.5).
const (
	identifyDefault = 15 // seconds
	identifyForce   = 0x01

	identifyOff        = 0
	identifyTemporary  = 1
	identifyIndefinite = 2
)

// identify asks the chassis to show itself. A VM has no lamp: the state is in
// Get Chassis Status, and whoever watches the log sees it.
func (c *chassis) identify(_ context.Context, req *ipmb.Request) ([]byte, error) {
	seconds, force := byte(identifyDefault), false
	if len(req.Data) > 0 {
		seconds = req.Data[0]
	}
	if len(req.Data) > 1 {
		if req.Data[1]&^identifyForce != 0 {
			return nil, ipmb.ErrInvalidField
		}
		force = req.Data[1] == identifyForce
	}
	until := int64(0)
	switch {
	case force:
		until = forever
	case seconds > 0:
		until = time.Now().Add(time.Duration(seconds) * time.Second).UnixNano()
	}
	if err := c.life.update(func(s *lifeState) { s.Identify = until }); err != nil {
		return nil, err
	}
	c.log.Info("chassis identify", "on", until != 0, "seconds", seconds, "indefinitely", force)
	return nil, nil
}

// identifying is the state of Chassis Identify.
func (s *lifeState) identifying(now time.Time) byte {
	switch {
	case s.Identify == math.MaxInt64:
		return identifyIndefinite
	case s.Identify > now.UnixNano():
		return identifyTemporary
	}
	return identifyOff
}

// cyclePause is how long a power cycle leaves the VM without power.
func (l *life) cyclePause() time.Duration { return time.Duration(l.get().CyclePause) * time.Second }
