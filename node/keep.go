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
	// cyclePause is how long a power cycle leaves the VM without power, unless
	// Set Power Cycle Interval says otherwise.
	cyclePause = time.Second
	// gracefulWithin is how long a guest may take to power off after its power
	// button was pressed.
	gracefulWithin = 2 * time.Minute
)

// What is done when a guest powers itself off.
const (
	GuestPoweroffStay       = "stay"       // the VM is off, and no more
	GuestPoweroffDeactivate = "deactivate" // the board asks to be deactivated
)

// keeper is the one goroutine that starts and ends the host's VM.
type keeper struct {
	*host
	start   *time.Timer // to start the VM
	order   *time.Timer // to choose what it boots next
	lapse   *time.Timer // to take back boot flags that no boot used
	pause   time.Duration
	started time.Time
}

func newKeeper(h *host) *keeper {
	return &keeper{
		host: h, pause: restartFirst, started: time.Now(),
		start: time.NewTimer(0), lapse: time.NewTimer(0),
		order: time.NewTimer(firmwareTime), // perhaps an earlier process's VM has just booted
	}
}

func (k *keeper) stop() {
	for _, t := range []*time.Timer{k.start, k.order, k.lapse} {
		t.Stop()
	}
}

// run keeps the VM as it should be until ctx ends, and leaves it running then.
func (h *host) run(ctx context.Context) error {
	if h.machine == nil {
		h.countHours(ctx)
		return nil
	}
	events := h.machine.Subscribe(64)
	defer events.Cancel()
	h.adopt(ctx)
	h.watch.vmFound(h.machine.State())
	h.tell(power.Event{State: h.machine.State()})
	h.count(h.life.hours.resume)
	k := newKeeper(h)
	defer k.stop()
	tick := time.NewTicker(hoursEvery)
	defer tick.Stop()
	k.end.Reset(offWithin) // for one that an earlier run was to end
	k.follow(h.machine.State())
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
			k.awaitLapse()
			k.look(ctx)
		case <-k.start.C:
			k.launch(ctx)
		case <-k.end.C:
			k.force(ctx)
		case <-k.grace.C:
			k.overdue(ctx)
		case do := <-k.jobs:
			do(ctx, k)
		case <-k.order.C:
			k.orderDue(ctx)
		case <-k.lapse.C:
			k.lapsed(ctx)
		case <-tick.C:
			k.count(k.life.hours.note)
		case e, ok := <-events.C():
			if !ok {
				return nil
			}
			k.happened(ctx, e)
		}
	}
}

// adopt finds an own VM of an earlier run, or does what is to be done without one.
func (h *host) adopt(ctx context.Context) {
	if h.own == nil {
		return
	}
	if err := h.own.Adopt(ctx); err != nil && !errors.Is(err, power.ErrNotRunning) {
		h.log.Warn("VM of an earlier run not adopted", "err", err)
	}
	if err := h.restore(); err != nil {
		h.log.Error("restore policy not followed", "err", err)
	}
}

// look does what was wished.
func (k *keeper) look(ctx context.Context) {
	switch {
	case k.takeCycle():
		k.powerCycle(ctx)
	case k.own != nil && k.shouldRun() && !k.On():
		k.start.Reset(0)
	}
}

// powerCycle takes the VM's power, and gives it back after a while unless the
// driver does that by itself.
func (k *keeper) powerCycle(ctx context.Context) {
	if c, ok := k.machine.(power.Cycler); ok {
		if err := c.Cycle(ctx); !errors.Is(err, power.ErrUnsupported) {
			k.launched(ctx, k.failed("cycle", err))
			return
		}
	}
	k.setAsked(k.own == nil)
	if err := k.machine.Kill(ctx); err != nil {
		k.log.Error("VM not powered off for a cycle", "err", err)
		k.life.note(func(s *lifeState) { s.Due = 0 })
	}
	k.start.Reset(k.life.cyclePause())
}

// launch starts the VM; one that cannot be started is tried again.
func (k *keeper) launch(ctx context.Context) {
	if k.own == nil {
		if k.isAsked() && k.shouldRun() {
			_ = k.failed("on", k.give(ctx))
		}
		return
	}
	if !k.shouldRun() || k.On() {
		return
	}
	k.setEnding(false)
	k.started = time.Now()
	err := k.release(ctx)
	if err == nil {
		k.bootNext()
		k.listen(ctx, recorder.Over)
		err = k.machine.Start(ctx)
	}
	k.launched(ctx, err)
	if err != nil && ctx.Err() == nil {
		k.log.Error("VM not started", "err", err)
		k.again()
	}
}

// release ends what a crash may have left.
func (k *keeper) release(ctx context.Context) error {
	if k.machine.State() != power.Crashed {
		return nil
	}
	return k.machine.Kill(ctx)
}

// again tries to start the VM after a pause, a longer one each time.
func (k *keeper) again() {
	k.start.Reset(k.pause)
	k.pause = min(2*k.pause, restartLast)
}

// force ends a VM that should be off and is not.
func (k *keeper) force(ctx context.Context) {
	if !k.On() || !k.isEnding() && (k.wants() || k.own == nil) {
		return
	}
	if err := k.machine.Kill(ctx); err != nil {
		k.log.Error("VM not powered off", "err", err)
	}
}

// overdue ends a VM whose guest has not obeyed its power button. While its time
// stands still it cannot.
func (k *keeper) overdue(ctx context.Context) {
	switch {
	case !k.On():
	case k.machine.VMTimePaused():
		k.grace.Reset(gracefulWithin)
	default:
		k.log.Warn("the guest did not power off when its button was pressed, and loses its power", "within", gracefulWithin)
		k.note(false)
		k.setEnding(true)
		k.force(ctx)
	}
}

// happened takes note of an event. A VM that its guest powered off stays off;
// one that crashed is started again.
func (k *keeper) happened(ctx context.Context, e power.Event) {
	k.log.Info("VM", "event", e.Kind, "state", e.State.String(), "guest", e.Guest, "reason", e.Reason)
	k.tell(e)
	k.watch.vmHappened(e, k.isEnding())
	k.count(k.life.hours.note)
	switch e.Kind {
	case power.EventReset:
		if !k.isEnding() { // else it is how an attached VM ends
			k.reset(ctx, e.Guest)
		}
	case power.EventShutdown:
		if e.Guest && !k.isEnding() { // else our own doing, or the host's
			k.guestPoweroff()
		}
	case power.EventStarted:
		if len(k.door.Connected()) > 0 {
			k.connected(ctx)
		}
	case power.EventExited:
		if k.grace.Stop() {
			k.log.Warn("the VM ended before its guest said that it had shut down")
		}
		if k.own != nil {
			k.exited(e.State == power.Crashed)
		}
	}
	if e.Kind != power.EventShutdown { // which comes while the VM still runs
		k.follow(e.State)
	}
}

// guestPoweroff leaves a VM off whose guest powered it off. A board that is
// set to do so asks to be deactivated, if nobody asked its guest.
func (k *keeper) guestPoweroff() {
	k.note(false)
	switch {
	case k.grace.Stop():
		k.log.Info("the guest powered off, as its power button asked it to")
	case k.onGuestPoweroff == GuestPoweroffDeactivate:
		k.log.Warn("the guest powered off by itself: this board is to be deactivated")
		k.leave()
	default:
		k.log.Info("the guest powered off by itself")
	}
}

// tell has those whose time is the VM's know whether it stands still.
func (h *host) tell(e power.Event) {
	paused := h.machine.VMTimePaused()
	h.door.SetPaused(paused)
	h.observe(e, paused)
}

func (k *keeper) exited(crashed bool) {
	ending := k.isEnding()
	k.setEnding(false)
	if crashed && !ending {
		k.life.crashed()
	}
	switch {
	case ending && k.isAsked():
		k.start.Reset(0)
	case ending:
		k.notify() // perhaps it should be on again
	case crashed:
		if time.Since(k.started) > steadyAfter {
			k.pause = restartFirst
		}
		k.again()
	}
}
