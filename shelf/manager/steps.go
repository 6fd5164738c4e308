package manager

import (
	"context"
	"fmt"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/state"
)

// cmdSetEventReceiver is Set Event Receiver (IPMI 2.0 §29.1).
const cmdSetEventReceiver ipmb.Cmd = 0x00

// ask asks a controller of the shelf's own accord. A completion code is an error.
func (r *reconciler) ask(ctx context.Context, to ipmb.Addr, n ipmb.NetFn, cmd ipmb.Cmd, data ...byte) ([]byte, error) {
	answer, err := r.t.requester.Do(ctx, to, r.m.request(n, cmd, data...), ipmb.ControllerRhythm)
	if err == nil {
		err = answer.Err()
	}
	return answer.Data, err
}

// request makes a request of the shelf's own accord.
func (m *Manager) request(n ipmb.NetFn, cmd ipmb.Cmd, data ...byte) *ipmb.Request {
	return &ipmb.Request{NetFn: n, Cmd: cmd, Data: data, Origin: ipmb.Origin{
		Speaker: ipmb.SpeakerController, Door: ipmb.DoorInternal, Privilege: ipmb.PrivilegeAdmin, Shelf: m.cfg.Shelf,
	}}
}

// setEventReceiver points a controller's events at 0x20, and commits that it
// did: a node's own setting outlives its restart, but its claim does not.
func (r *reconciler) setEventReceiver(ctx context.Context, sl state.Slot) error {
	_, err := r.ask(ctx, sl.Addr(), ipmb.NetFnSensor, cmdSetEventReceiver, byte(ipmb.AddrShelfManager), byte(ipmb.LUNBMC))
	if err != nil {
		return fmt.Errorf("set the event receiver of %s: %w", sl.Addr(), err)
	}
	return r.commit(ctx, &v1.Command{Kind: &v1.Command_SetEventReceiver{SetEventReceiver: &v1.SetEventReceiver{
		Shelf: r.m.cfg.Shelf, HardwareAddress: uint32(sl.HW), Epoch: sl.Epoch, Done: true,
	}}})
}

// noteLost commits that the holder cannot be reached; its lease begins to run.
func (r *reconciler) noteLost(ctx context.Context, sl state.Slot) error {
	return r.commit(ctx, slotFact(r.m.cfg.Shelf, sl, true))
}

// noteFound commits that the holder is back.
func (r *reconciler) noteFound(ctx context.Context, sl state.Slot) error {
	return r.commit(ctx, slotFact(r.m.cfg.Shelf, sl, false))
}

func slotFact(shelf string, sl state.Slot, lost bool) *v1.Command {
	return &v1.Command{Kind: &v1.Command_SlotFact{SlotFact: &v1.SlotFact{
		Shelf: shelf, HardwareAddress: uint32(sl.HW), Epoch: sl.Epoch, ContactLost: lost,
	}}}
}

// expire ends the claim of a holder whose lease is over.
func (r *reconciler) expire(ctx context.Context, sl state.Slot) error {
	return r.commit(ctx, &v1.Command{Kind: &v1.Command_Release{Release: &v1.Release{
		Shelf: r.m.cfg.Shelf, HardwareAddress: uint32(sl.HW), Epoch: sl.Epoch, Expired: true,
	}}})
}

// commit commits a step. That the slot has meanwhile changed hands is no
// failure: the next look finds what is to be done for its new holder.
func (r *reconciler) commit(ctx context.Context, c *v1.Command) error {
	a, err := r.m.propose(ctx, c)
	switch {
	case err != nil:
		return err
	case a.GetReason() == v1.RefusalReason_REFUSAL_REASON_OLD_EPOCH, a.GetReason() == v1.RefusalReason_REFUSAL_REASON_HELD:
		return nil
	case a.GetCompletionCode() != 0:
		return fmt.Errorf("refused: %s", a.GetRefusal())
	}
	return nil
}
