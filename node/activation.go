package node

import (
	"context"
	"errors"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/picmg"
)

// Get Power Level (Wireshark packet-ipmi-picmg.c).
const (
	powerTypes = 4 // steady, desired steady, early, desired early

	powerWatts      = 100 // what a board asks for, in units of
	powerMultiplier = 10  // tenths of a watt
)

// activationCommands are the rows of a board's hot swap. They are the shelf's
// and its operators': a guest neither activates its own board nor locks it.
func (c *carrier) activationCommands() []ipmb.Command {
	acts := func(r ipmb.Command) ipmb.Command {
		r.Effect, r.Access = true, ipmb.NotGuest
		return r
	}
	setPower := picmgRow("Set Power Level", picmgSetPower, ipmb.PrivilegeOperator, ipmb.Exactly(3), c.setPower)
	setPower.Effect = true
	return []ipmb.Command{
		acts(picmgRow("Set FRU Activation Policy", picmg.CmdSetActivationPolicy, ipmb.PrivilegeOperator, ipmb.Exactly(3), c.setPolicy)),
		picmgRow("Get FRU Activation Policy", picmg.CmdGetActivationPolicy, ipmb.PrivilegeUser, ipmb.Exactly(1), c.policy),
		acts(picmgRow("Set FRU Activation", picmg.CmdSetActivation, ipmb.PrivilegeOperator, ipmb.Exactly(2), c.activate)),
		picmgRow("Get Power Level", picmg.CmdGetPowerLevel, ipmb.PrivilegeUser, ipmb.Exactly(2), c.powerLevel),
		setPower,
	}
}

func (c *carrier) setPolicy(_ context.Context, req *ipmb.Request) ([]byte, error) {
	p, err := picmg.ParseActivationPolicy(req.Data)
	switch {
	case err != nil:
		return nil, err
	case p.FRU != picmg.ThisFRU:
		return nil, ipmb.ErrNotPresent
	}
	return nil, c.swap.setPolicy(p)
}

func (c *carrier) policy(_ context.Context, req *ipmb.Request) ([]byte, error) {
	if req.Data[0] != picmg.ThisFRU {
		return nil, ipmb.ErrNotPresent
	}
	return []byte{c.swap.get().Policy()}, nil
}

// activate is the shelf's decision. It is answered before the guest has ended.
func (c *carrier) activate(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	a, err := picmg.ParseActivation(req.Data)
	switch {
	case err != nil:
		return nil, err
	case a.FRU != picmg.ThisFRU:
		return nil, ipmb.ErrNotPresent
	case a.Active:
		return nil, c.swap.do(ctx, picmg.SetActive)
	}
	return nil, c.swap.do(ctx, picmg.SetInactive)
}

// powerLevel: a board has one level, steady and early alike. The level is what
// the shelf has granted, the desired one what it would like.
//
//	level  delay to stable power  multiplier  draw at level 1
func (c *carrier) powerLevel(_ context.Context, req *ipmb.Request) ([]byte, error) {
	fru, kind := req.Data[0], req.Data[1]
	switch {
	case fru != picmg.ThisFRU:
		return nil, ipmb.ErrNotPresent
	case kind >= powerTypes:
		return nil, ipmb.ErrInvalidField
	}
	level, desired := byte(levelOff), kind&1 != 0
	if s := c.swap.get().State; desired || s >= picmg.M4 && s <= picmg.M6 {
		level = levelOn
	}
	return []byte{level, 0, powerMultiplier, powerWatts}, nil
}

// activated is the power of a board's VM, as chassis commands use it: within
// the shelf's grant. Without one, who wants power has the board ask for it, and
// is answered that there is none yet.
type activated struct {
	payload
	swap *hotSwap
}

// PowerOn implements payload.
func (p activated) PowerOn(ctx context.Context) error {
	if _, err := p.swap.step(picmg.WantOn); err != nil {
		return err
	}
	return p.payload.PowerOn(ctx)
}

// Cycle implements payload. A board that is being deactivated does not come back.
func (p activated) Cycle(ctx context.Context) error {
	if p.swap.get().State == picmg.M6 {
		return ErrNotGranted
	}
	return p.payload.Cycle(ctx)
}

// button is the power button of a board's front panel: that a board asks for
// its activation is all that it can do.
func (s *hotSwap) button(ctx context.Context, vm payload) error {
	err := activated{vm, s}.PowerOn(ctx)
	if errors.Is(err, ErrNotGranted) {
		return nil
	}
	return err
}
