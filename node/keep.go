package node

import (
	"context"
	"errors"
	"time"

	"github.com/midplane-project/midplane/node/power"
)

// Times of keeping a VM as it should be.
const (
	// A crashed VM is started again after a pause, doubled from first to last.
	restartFirst = time.Second
	restartLast  = time.Minute
	// steadyAfter is how long a VM must run for its earlier crashes to be forgotten.
	steadyAfter = time.Minute
	// offWithin is how long a VM may take to obey the VM protocol's power off.
	offWithin = 3 * time.Second
	// cyclePause is how long a power cycle leaves the VM without power.
	cyclePause = time.Second
)

// keeper is the one goroutine that starts and ends the host's VM.
type keeper struct {
	*host
	start   *time.Timer // to start the VM
	end     *time.Timer // to end it if it has not obeyed
	pause   time.Duration
	started time.Time
}

// run keeps the VM as it should be until ctx ends, and leaves it running then.
func (h *host) run(ctx context.Context) error {
	if h.machine == nil {
		<-ctx.Done()
		return nil
	}
	events := h.machine.Subscribe(64)
	defer events.Cancel()
	if err := h.machine.Adopt(ctx); err != nil && !errors.Is(err, power.ErrNotRunning) {
		h.log.Warn("VM of an earlier run not adopted", "err", err)
	}
	h.door.SetPaused(h.machine.VMTimePaused())
	k := &keeper{host: h, start: time.NewTimer(0), end: time.NewTimer(offWithin), pause: restartFirst, started: time.Now()}
	defer k.start.Stop()
	defer k.end.Stop()
	for {
		select { // what has happened comes before what is to be done about it
		case e, ok := <-events.C():
			if !ok {
				return nil
			}
			k.happened(ctx, e)
			continue
		default:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-h.changed:
			k.look(ctx)
		case <-k.start.C:
			k.launch(ctx)
		case <-k.end.C:
			k.force(ctx)
		case e, ok := <-events.C():
			if !ok {
				return nil
			}
			k.happened(ctx, e)
		}
	}
}

// look does what was wished.
func (k *keeper) look(ctx context.Context) {
	switch {
	case k.takeCycle():
		if err := k.machine.Kill(ctx); err != nil {
			k.log.Error("VM not powered off for a cycle", "err", err)
		}
		k.start.Reset(cyclePause)
	case k.shouldRun() && !k.On():
		k.start.Reset(0)
	case !k.wants() && k.On():
		k.end.Reset(offWithin)
	}
}

// launch starts the VM; one that cannot be started is tried again.
func (k *keeper) launch(ctx context.Context) {
	if !k.shouldRun() || k.On() {
		return
	}
	k.setEnding(false)
	k.started = time.Now()
	var err error
	if k.machine.State() == power.Crashed {
		err = k.machine.Kill(ctx) // its process may be there still
	}
	if err == nil {
		err = k.machine.Start(ctx)
	}
	if err != nil && ctx.Err() == nil {
		k.log.Error("VM not started", "err", err)
		k.again()
	}
	if err == nil {
		k.system(true)
	}
}

// again tries to start the VM after a pause, a longer one each time.
func (k *keeper) again() {
	k.start.Reset(k.pause)
	k.pause = min(2*k.pause, restartLast)
}

// force ends a VM that should be off and is not.
func (k *keeper) force(ctx context.Context) {
	if !k.On() || k.wants() && !k.isEnding() {
		return
	}
	if err := k.machine.Kill(ctx); err != nil {
		k.log.Error("VM not powered off", "err", err)
	}
}

// happened takes note of an event. A VM that its guest powered off stays off;
// one that crashed is started again.
func (k *keeper) happened(ctx context.Context, e power.Event) {
	k.log.Info("VM", "event", e.Kind, "state", e.State.String(), "guest", e.Guest, "reason", e.Reason)
	k.door.SetPaused(k.machine.VMTimePaused())
	switch e.Kind {
	case power.EventShutdown:
		if !e.Guest || k.isEnding() {
			return // our own doing, or the host's
		}
		if err := k.want(false); err != nil {
			k.log.Error("VM's power state not stored", "err", err)
		}
	case power.EventStarted:
		if len(k.door.Connected()) > 0 {
			k.connected(ctx)
		}
	case power.EventReset:
		k.system(true)
	case power.EventExited:
		k.system(false)
		k.exited(e.State == power.Crashed)
	}
}

func (k *keeper) exited(crashed bool) {
	ending := k.isEnding()
	k.setEnding(false)
	switch {
	case ending:
		k.notify() // perhaps it should be on again
	case crashed:
		if time.Since(k.started) > steadyAfter {
			k.pause = restartFirst
		}
		k.again()
	}
}
