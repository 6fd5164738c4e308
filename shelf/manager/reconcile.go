package manager

import (
	"context"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/state"
)

// Rhythm of the reconciler.
const (
	lookAgain = 500 * time.Millisecond // leases end by themselves
	// lossGrace is how long a slot must be without any stream before it counts
	// as lost: a node that restarts or changes replica is sooner back, and a new
	// leader needs to hear from the other replicas first.
	lossGrace  = 2 * time.Second
	retryAfter = time.Second
)

// reconciler compares what is with what should be, slot by slot, and closes
// one gap at a time. It remembers nothing that a new leader would need: each
// step is found in the replicated state, and doing it twice does no harm.
type reconciler struct {
	m  *Manager
	t  *tenure
	wg sync.WaitGroup

	sdrs    sdrChecks
	missing map[uint8]absence   // held slots without stream; the loop's own
	retryAt map[uint8]time.Time // slots whose last step failed; the loop's own
	busy    map[uint8]bool      // slots with a step under way; the loop's own
	ended   chan stepEnd
}

// absence is since when the holder of an epoch has no stream.
type absence struct {
	epoch uint64
	since time.Time
}

type stepEnd struct {
	hw  uint8
	err error
}

// step brings one slot nearer to what it should be.
type step func(ctx context.Context, sl state.Slot) error

func newReconciler(m *Manager, t *tenure) *reconciler {
	return &reconciler{
		m: m, t: t, sdrs: sdrChecks{of: make(map[uint8]sdrCheck)}, missing: make(map[uint8]absence), retryAt: make(map[uint8]time.Time),
		busy: make(map[uint8]bool), ended: make(chan stepEnd),
	}
}

// run looks at the slots whenever something may have changed, until ctx ends;
// then it waits for the steps under way.
func (r *reconciler) run(ctx context.Context) {
	defer r.wg.Wait()
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		r.look(ctx, time.Now())
		select {
		case <-ctx.Done():
			return
		case <-r.m.kicked:
		case <-tick.C:
		case e := <-r.ended:
			r.end(e, time.Now())
		}
	}
}

// look starts the next step of each slot that needs one.
func (r *reconciler) look(ctx context.Context, now time.Time) {
	present := r.present()
	if own := ipmb.AddrShelfManager.HW(); r.m.sdrs.stale() {
		r.start(ctx, state.Slot{HW: own}, r.publishSDRs, now)
	}
	if !now.Before(r.m.senses.next) {
		r.m.senses.next = now.Add(lookAgain)
		r.start(ctx, state.Slot{}, r.m.senses.sense, now) // hardware address 0 is no slot's
	}
	order, err := r.m.order()
	if err != nil {
		r.m.cfg.Logger.Error("order not read", "shelf", r.m.cfg.Shelf, "err", err)
		order = noOrder
	}
	for _, sl := range r.m.cfg.State.Slots(r.m.cfg.Shelf) {
		attached := present[sl.HW] == sl.Epoch && sl.Epoch != 0
		do := r.next(sl, attached, now)
		if first := r.orderFor(order, sl, attached, now); first != nil {
			do = first
		}
		if do != nil {
			r.start(ctx, sl, do, now)
		}
	}
}

// start starts a step of a slot, or of 0x20 itself under its own hardware
// address, unless one is under way or has just failed.
func (r *reconciler) start(ctx context.Context, sl state.Slot, do step, now time.Time) {
	if r.busy[sl.HW] || now.Before(r.retryAt[sl.HW]) {
		return
	}
	r.busy[sl.HW] = true
	r.wg.Go(func() {
		err := do(ctx, sl)
		select {
		case r.ended <- stepEnd{sl.HW, err}:
		case <-ctx.Done():
		}
	})
}

// present gives the claim epochs of the slots that have a stream.
func (r *reconciler) present() map[uint8]uint64 {
	out := make(map[uint8]uint64)
	for _, p := range r.m.cfg.Presence(r.m.cfg.Shelf) {
		if p.GetState() == v1.PresenceState_PRESENCE_STATE_PRESENT {
			out[ipmb.Addr(p.GetAddress()).HW()] = p.GetEpoch()
		}
	}
	return out
}

// next says what a slot needs, nil for nothing.
func (r *reconciler) next(sl state.Slot, attached bool, now time.Time) step {
	if !sl.Held {
		delete(r.missing, sl.HW)
		return nil
	}
	if attached {
		delete(r.missing, sl.HW)
		switch {
		case sl.ContactLost:
			return r.noteFound
		case !sl.EventReceiverSet:
			return r.setEventReceiver
		case r.m.swaps.due(sl, now):
			return r.followHotSwap
		case r.sdrs.due(sl, now):
			return r.checkSDRs
		}
		return nil
	}
	r.sdrs.again(sl.HW)
	r.m.swaps.again(sl.HW)
	since := r.missingSince(sl, now)
	switch {
	case !sl.ContactLost && now.Sub(since) >= lossGrace:
		return r.noteLost
	case sl.ContactLost && now.UnixNano() >= sl.LeaseEnd(r.m.cfg.State.Lease()):
		return r.expire
	}
	return nil
}

func (r *reconciler) missingSince(sl state.Slot, now time.Time) time.Time {
	a, ok := r.missing[sl.HW]
	if !ok || a.epoch != sl.Epoch {
		a = absence{sl.Epoch, now}
		r.missing[sl.HW] = a
	}
	return a.since
}

func (r *reconciler) end(e stepEnd, now time.Time) {
	delete(r.busy, e.hw)
	delete(r.retryAt, e.hw)
	if e.err != nil {
		r.retryAt[e.hw] = now.Add(retryAfter)
		r.m.cfg.Logger.Info("slot not yet as it should be", "shelf", r.m.cfg.Shelf, "addr", ipmb.AddrFromHW(e.hw), "err", e.err)
	}
}
