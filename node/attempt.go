package node

import (
	"context"
	"fmt"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// answerWithin bounds the wait for what somebody else is to do to the VM: a
// guest is answered within four seconds.
const answerWithin = 2 * time.Second

// A job is something for the keeper, which alone starts and ends VMs.
type job func(context.Context, *keeper)

// attempt has the keeper do something and waits a moment for it: what fails at
// once is told to who asked, what takes longer is under way. A keeper that
// cannot even begin is busy.
func (h *host) attempt(ctx context.Context, what string, do func(context.Context, *keeper) error) error {
	wait := time.NewTimer(answerWithin)
	defer wait.Stop()
	result := make(chan error, 1)
	select {
	case h.jobs <- func(ctx context.Context, k *keeper) { result <- h.failed(what, do(ctx, k)) }:
	case <-wait.C:
		return ipmb.ErrBusy
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-result:
		return err
	case <-wait.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// failed logs what the VM's driver could not do; the driver's reason is D5h.
func (h *host) failed(what string, err error) error {
	if err == nil {
		return nil
	}
	h.log.Error("VM", "could not", what, "err", err)
	return stateError(fmt.Sprintf("power %s: %v", what, err))
}
