package manager

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/shelf/state"
)

// Rhythm of looking after the controllers' device SDRs.
const (
	sdrPoll  = time.Minute // whether they have changed
	sdrRetry = 5 * time.Second
)

// sdrChecks is what the reconciler knows of the controllers' device SDRs. A new
// leader knows nothing, and reads them all.
type sdrChecks struct {
	mu sync.Mutex
	of map[uint8]sdrCheck
}

// sdrCheck is the last look at a slot's device SDRs.
type sdrCheck struct {
	epoch uint64
	read  bool
	info  string // what Get Device SDR Info said before they were read
	next  time.Time
}

// due reports whether to look at a slot's device SDRs.
func (c *sdrChecks) due(sl state.Slot, now time.Time) bool {
	last := c.last(sl.HW)
	return last.epoch != sl.Epoch || !now.Before(last.next)
}

func (c *sdrChecks) last(hw uint8) sdrCheck {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of[hw]
}

func (c *sdrChecks) set(hw uint8, last sdrCheck) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of[hw] = last
}

// again makes a slot due as soon as it can be asked: it was away.
func (c *sdrChecks) again(hw uint8) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last, ok := c.of[hw]; ok {
		last.next = time.Time{}
		c.of[hw] = last
	}
}

// publishSDRs is the repository's own step.
func (r *reconciler) publishSDRs(ctx context.Context, _ state.Slot) error {
	if err := r.m.sdrs.publish(ctx); err != nil {
		return fmt.Errorf("publish the SDR repository: %w", err)
	}
	return nil
}

// checkSDRs asks a controller whether its device SDRs are those that were read,
// and reads them if not. A failure has its own time to wait: it holds up no
// other step of the slot.
func (r *reconciler) checkSDRs(ctx context.Context, sl state.Slot) error {
	last := sdrCheck{epoch: sl.Epoch, next: time.Now().Add(sdrRetry)}
	info, err := r.readSDRs(ctx, sl)
	if err == nil {
		last = sdrCheck{epoch: sl.Epoch, read: true, info: info, next: time.Now().Add(sdrPoll)}
	}
	r.sdrs.set(sl.HW, last)
	if err != nil && ctx.Err() == nil {
		r.m.cfg.Logger.Info("device SDRs not read", "shelf", r.m.cfg.Shelf, "addr", sl.Addr(), "err", err)
	}
	return nil
}

func (r *reconciler) readSDRs(ctx context.Context, sl state.Slot) (info string, err error) {
	ask := func(ctx context.Context, cmd ipmb.Cmd, data ...byte) ([]byte, error) {
		return r.ask(ctx, sl.Addr(), ipmb.NetFnSensor, cmd, data...)
	}
	last := r.sdrs.last(sl.HW)
	info, err = deviceSDRInfo(ctx, ask)
	switch {
	case err != nil:
		return "", err
	case last.read && last.epoch == sl.Epoch && last.info == info:
		return info, nil
	case info == "":
		return info, r.m.sdrs.keep(ctx, sl, nil)
	}
	records, err := deviceSDRs(ctx, ask)
	if err != nil {
		return "", err
	}
	return info, r.m.sdrs.keep(ctx, sl, records)
}
