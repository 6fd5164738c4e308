package manager

import (
	"context"
	"encoding"
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/picmg"
	"github.com/midplane-project/midplane/ipmb/sel"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/state"
)

// Rhythm of following the boards' hot swap.
const (
	hotSwapPoll  = time.Minute // nobody may have told of a change
	hotSwapRetry = 2 * time.Second
	// hotSwapSteps is how many steps are done in one go: M2 to M4 has three, and
	// the last look.
	hotSwapSteps = 4
)

// profileATCA is the profile of nodes that have a FRU state.
const profileATCA = "atca"

// cmdSensorReading is Get Sensor Reading (IPMI 2.0 §35.14).
const (
	cmdSensorReading ipmb.Cmd = 0x2D

	readingUnavailable = 0x20
	readingScanning    = 0x40
)

// hotSwaps is what the reconciler knows of the boards' hot swap: when to look
// again. What a board says by its events only makes it look; what it does
// follows from the sensor alone. A new leader knows nothing, and looks at all.
type hotSwaps struct {
	mu sync.Mutex
	of map[uint8]hotSwapCheck
}

// hotSwapCheck is the last look at a slot's FRU state.
type hotSwapCheck struct {
	epoch uint64
	next  time.Time
}

// due reports whether to look at a slot's FRU state.
func (h *hotSwaps) due(sl state.Slot, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := h.of[sl.HW]
	return sl.Profile == profileATCA && (last.epoch != sl.Epoch || !now.Before(last.next))
}

func (h *hotSwaps) set(sl state.Slot, next time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.of[sl.HW] = hotSwapCheck{sl.Epoch, next}
}

// again makes a slot due: its FRU state has changed, or it was away.
func (h *hotSwaps) again(hw uint8) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.of, hw)
}

// hear looks for hot-swap events of a controller. Guests can send what they
// like: theirs move nothing.
func (m *Manager) hear(e *v1.RelayEvents) {
	for _, ev := range e.GetEvents() {
		event, err := sel.ParseBus(ev.GetBody())
		if err == nil && event.Sensor == sel.SensorHotSwap && ev.GetSpeaker() == v1.Speaker_SPEAKER_CONTROLLER {
			m.swaps.again(uint8(e.GetHardwareAddress()))
			m.kick()
			return
		}
	}
}

// followHotSwap gives a board what it asks for, as its sensor says: activation,
// power, deactivation. Each step may be done twice, and a new leader goes on
// where the sensor says that the old one stopped. A failure has its own time to
// wait: it holds up no other step of the slot.
func (r *reconciler) followHotSwap(ctx context.Context, sl state.Slot) error {
	r.m.swaps.set(sl, time.Now().Add(hotSwapPoll)) // what it tells from now on makes it due
	for range hotSwapSteps {
		s, err := r.fruState(ctx, sl)
		var done bool
		if err == nil {
			done, err = r.answerState(ctx, sl, s)
		}
		switch {
		case err != nil && ctx.Err() == nil:
			r.m.cfg.Logger.Info("FRU state not followed", "shelf", r.m.cfg.Shelf, "addr", sl.Addr(), "err", err)
			r.m.swaps.set(sl, time.Now().Add(hotSwapRetry))
			return nil
		case err != nil || done:
			return nil
		}
	}
	return nil
}

// fruState reads a board's hot-swap sensor; M7 says that it tells nothing.
func (r *reconciler) fruState(ctx context.Context, sl state.Slot) (picmg.State, error) {
	b, err := r.ask(ctx, sl.Addr(), ipmb.NetFnSensor, cmdSensorReading, picmg.SensorFRUState)
	switch {
	case errors.Is(err, ipmb.ErrNotPresent), errors.Is(err, ipmb.ErrInvalidCommand):
		return picmg.M7, nil
	case err != nil:
		return picmg.M7, fmt.Errorf("read the FRU state: %w", err)
	case len(b) < 3 || b[1]&readingUnavailable != 0 || b[1]&readingScanning == 0 || b[2] == 0:
		return picmg.M7, nil
	}
	return picmg.State(bits.TrailingZeros8(b[2])), nil
}

// answerState does what a board in a state waits for. done: it waits for nothing.
func (r *reconciler) answerState(ctx context.Context, sl state.Slot, s picmg.State) (done bool, err error) {
	switch s {
	case picmg.M2:
		return false, r.tellFRU(ctx, sl, s, picmg.CmdSetActivation, picmg.Activation{Active: true})
	case picmg.M3:
		return false, r.tellFRU(ctx, sl, s, picmg.CmdSetPowerLevel, picmg.PowerLevel{Level: 1, Copy: true})
	case picmg.M5:
		return false, r.tellFRU(ctx, sl, s, picmg.CmdSetActivation, picmg.Activation{})
	}
	return true, nil
}

// tellFRU sends a PICMG command about a controller's FRU 0.
func (r *reconciler) tellFRU(ctx context.Context, sl state.Slot, s picmg.State, cmd ipmb.Cmd, body encoding.BinaryAppender) error {
	data, err := body.AppendBinary(ipmb.AppendBody(nil, ipmb.NetFnGroup, ipmb.BodyPICMG))
	if err != nil {
		return err
	}
	r.m.cfg.Logger.Info("FRU state followed", "shelf", r.m.cfg.Shelf, "addr", sl.Addr(), "state", s.String(), "cmd", uint8(cmd))
	if _, err := r.ask(ctx, sl.Addr(), ipmb.NetFnGroup, cmd, data...); err != nil {
		return fmt.Errorf("PICMG command %02x in %s: %w", uint8(cmd), s, err)
	}
	return nil
}
