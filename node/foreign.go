package node

import (
	"context"
	"errors"

	"github.com/midplane-project/midplane/node/power"
)

// A VM that others may start and end too is taken for what it is: the node
// neither starts it when the node itself starts, nor after a crash.

// askStart gives such a VM power. One that is about to end has it when it has
// ended.
func (h *host) askStart(ctx context.Context) error {
	h.setAsked(true)
	if h.isEnding() {
		return nil
	}
	return h.attempt(ctx, "on", func(ctx context.Context, k *keeper) error { return k.give(ctx) })
}

// give starts it, once: why it failed is for its owner to mend.
func (k *keeper) give(ctx context.Context) error {
	defer k.setAsked(false)
	err := k.release(ctx)
	if err == nil {
		k.bootNext()
		err = k.machine.Start(ctx)
	}
	if err == nil && k.machine.State() == power.Prelaunch {
		err = k.machine.Cont(ctx)
	}
	switch {
	case errors.Is(err, power.ErrRunning) && k.On():
		return nil
	case err != nil:
		err = errors.Join(err, k.want(false))
	}
	k.launched(ctx, err)
	return err
}

// follow takes note of where it is: who else starts or ends it means it.
func (k *keeper) follow(s power.State) {
	if k.own != nil {
		return
	}
	on := s == power.Running || s == power.Paused || s == power.Suspended
	switch {
	case k.isEnding():
		if !on && s != power.Unknown {
			k.exited(false)
		}
	case k.isAsked():
	case on:
		if !k.wants() {
			k.life.started(nil) // by another hand
		}
		k.note(true)
	case s == power.Off || s == power.Shutdown || s == power.Crashed:
		if s == power.Crashed && k.wants() {
			k.life.crashed()
		}
		k.note(false)
	}
}

// note stores what the VM's power should be, since it is so.
func (k *keeper) note(on bool) {
	if err := k.want(on); err != nil {
		k.log.Error("VM's power state not stored", "err", err)
	}
}
