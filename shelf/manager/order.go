package manager

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/shelf/state"
)

// Chassis Control's actions (IPMI 2.0 §28.3). A diagnostic interrupt is for one
// VM; a shelf has none.
const (
	chassisDown  = 0
	chassisUp    = 1
	chassisCycle = 2
	chassisReset = 3
	chassisSoft  = 5

	chassisActionMask = 0x0F
)

const (
	// orderPatience is how long an order waits for a holder that cannot be
	// reached or is busy. Later nobody expects it any more.
	orderPatience = 30 * time.Second
	orderAgain    = time.Second // for one that is busy
)

// order is a Chassis Control of the whole shelf that is being carried out. It
// is committed before anything is done and then ticked off slot by slot, so
// that a new leader goes on where the old one stopped.
type order struct {
	number  uint64 // counts the orders
	action  byte
	given   int64 // nanoseconds since 1970
	pending []orderSlot
}

// orderSlot is a slot whose holder has still to be told.
type orderSlot struct {
	hw    uint8
	epoch uint64
}

// orderRecord keeps the newest order, big-endian:
//
//	number 8  action  given 8, then for each slot: hardware address, epoch 8
const (
	orderRecord  = "chassis/order"
	orderLen     = 17
	orderSlotLen = 9
)

func (o *order) append(b []byte) []byte {
	b = append(binary.BigEndian.AppendUint64(b, o.number), o.action)
	b = binary.BigEndian.AppendUint64(b, uint64(o.given))
	for _, s := range o.pending {
		b = binary.BigEndian.AppendUint64(append(b, s.hw), s.epoch)
	}
	return b
}

func parseOrder(b []byte) (*order, error) {
	if len(b) < orderLen || (len(b)-orderLen)%orderSlotLen != 0 {
		return nil, fmt.Errorf("an order of %d bytes", len(b))
	}
	o := &order{number: binary.BigEndian.Uint64(b), action: b[8], given: int64(binary.BigEndian.Uint64(b[9:]))}
	for b = b[orderLen:]; len(b) > 0; b = b[orderSlotLen:] {
		o.pending = append(o.pending, orderSlot{b[0], binary.BigEndian.Uint64(b[1:])})
	}
	return o, nil
}

// find gives what is pending for a slot.
func (o *order) find(hw uint8) (s orderSlot, ok bool) {
	i := slices.IndexFunc(o.pending, func(s orderSlot) bool { return s.hw == hw })
	if i < 0 {
		return orderSlot{}, false
	}
	return o.pending[i], true
}

func (o *order) over(now time.Time) bool { return now.UnixNano() > o.given+int64(orderPatience) }

// noOrder is what there is before the first.
var noOrder = &order{}

// order gives the newest order.
func (m *Manager) order() (*order, error) {
	b := m.cfg.State.Record(m.cfg.Shelf, orderRecord)
	if b == nil {
		return noOrder, nil
	}
	return parseOrder(b)
}

// chassisControl gives every holder of a slot the same order. It is answered
// when that is committed; the reconciler carries it out. A newer order takes
// the place of one that is still under way.
func (m *Manager) chassisControl(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	action := req.Data[0] & chassisActionMask
	if !slices.Contains([]byte{chassisDown, chassisUp, chassisCycle, chassisReset, chassisSoft}, action) {
		return nil, ipmb.ErrInvalidField
	}
	if err := m.orders.take(ctx); err != nil {
		return nil, ipmb.ErrNoResponse
	}
	defer m.orders.release()
	last, err := m.order()
	if err != nil {
		return nil, err
	}
	o := &order{number: last.number + 1, action: action, given: time.Now().UnixNano()}
	for _, sl := range m.cfg.State.Slots(m.cfg.Shelf) {
		if sl.Held {
			o.pending = append(o.pending, orderSlot{sl.HW, sl.Epoch})
		}
	}
	if _, err := m.commit(ctx, req, putCommand(m.cfg.Shelf, orderRecord, o.append(nil))); err != nil {
		return nil, err
	}
	m.cfg.Logger.Warn("chassis control of the whole shelf", "shelf", m.cfg.Shelf, "action", action,
		"speaker", req.Origin.Speaker, "slots", len(o.pending))
	m.kick()
	return nil, nil
}

// orderFor gives the step that the newest order needs at a slot, nil for none.
func (r *reconciler) orderFor(o *order, sl state.Slot, attached bool, now time.Time) step {
	s, ok := o.find(sl.HW)
	switch {
	case !ok:
		return nil
	case !sl.Held || sl.Epoch != s.epoch || o.over(now):
		return func(ctx context.Context, sl state.Slot) error {
			r.m.cfg.Logger.Warn("chassis control not done", "shelf", r.m.cfg.Shelf, "addr", sl.Addr(), "action", o.action, "why", "its holder was gone")
			return r.settle(ctx, o, sl)
		}
	case attached:
		return func(ctx context.Context, sl state.Slot) error { return r.carryOut(ctx, o, sl) }
	}
	return nil
}

// carryOut tells a slot's holder the order, until it has an answer.
func (r *reconciler) carryOut(ctx context.Context, o *order, sl state.Slot) error {
	err := r.control(ctx, o, sl)
	switch {
	case errors.Is(err, ipmb.ErrDestination), errors.Is(err, ipmb.ErrTimeout), ctx.Err() != nil:
		return fmt.Errorf("chassis control of %s: %w", sl.Addr(), err)
	case err != nil:
		r.m.cfg.Logger.Warn("chassis control not done", "shelf", r.m.cfg.Shelf, "addr", sl.Addr(), "action", o.action, "why", err)
	}
	return r.settle(ctx, o, sl)
}

// control sends the order under a name that is the same in every tenure: a node
// that has done it, and whose answer was lost with the old leader, answers as
// it did then. One that was busy is asked anew.
func (r *reconciler) control(ctx context.Context, o *order, sl state.Slot) error {
	again := time.NewTicker(orderAgain)
	defer again.Stop()
	for id := uint64(1); ; id++ {
		answer, err := r.t.doNamed(ctx, r.m.orderName(o, sl), id, sl.Addr(), r.m.request(ipmb.NetFnChassis, cmdChassisControl, o.action))
		if err == nil {
			err = answer.Err()
		}
		if !errors.Is(err, ipmb.ErrBusy) || o.over(time.Now()) {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// orderName is the instance that an order is sent under.
func (m *Manager) orderName(o *order, sl state.Slot) string {
	b := append([]byte("order"), m.cfg.Identity.DeviceGUID[:]...)
	b = binary.BigEndian.AppendUint64(b, o.number)
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(append(b, sl.HW), sl.Epoch))
	return string(sum[:instanceLen])
}

// settle ticks a slot off, unless there is a newer order.
func (r *reconciler) settle(ctx context.Context, o *order, sl state.Slot) error {
	if err := r.m.orders.take(ctx); err != nil {
		return err
	}
	defer r.m.orders.release()
	now, err := r.m.order()
	if err != nil || now.number != o.number {
		return err
	}
	now.pending = slices.DeleteFunc(now.pending, func(s orderSlot) bool { return s.hw == sl.HW })
	return r.commit(ctx, putCommand(r.m.cfg.Shelf, orderRecord, now.append(nil)))
}
