package manager

import (
	"context"
	"time"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Claim commits the claim of a hello whose certificate was checked. Without
// a quorum it is refused with NO_QUORUM: the node tries again.
func (m *Manager) Claim(ctx context.Context, h *v1.NodeHello) *v1.RelayClaimAnswer {
	a, err := m.propose(ctx, &v1.Command{Kind: &v1.Command_Claim{Claim: &v1.Claim{
		Shelf: m.cfg.Shelf, HardwareAddress: h.GetHardwareAddress(), Instance: h.GetInstance(), Boot: h.GetBoot(),
		Name: h.GetName(), Profile: h.GetProfile(), Api: h.GetApi(), DeviceId: h.GetDeviceId(), Outbox: h.GetOutbox(),
	}}})
	if err != nil {
		m.cfg.Logger.Debug("claim not committed", "shelf", m.cfg.Shelf, "hw", h.GetHardwareAddress(), "err", err)
		return &v1.RelayClaimAnswer{Refusal: &v1.Refusal{
			Code: v1.RefusalCode_REFUSAL_CODE_NO_QUORUM, Message: "the claim could not be committed: " + err.Error(),
		}}
	}
	if a.GetCompletionCode() != 0 {
		return &v1.RelayClaimAnswer{Refusal: claimRefusal(a, time.Now())}
	}
	m.kick()
	return &v1.RelayClaimAnswer{
		Epoch:     a.GetValue(),
		LastEvent: m.cfg.State.LastEvent(m.cfg.Shelf, uint8(h.GetHardwareAddress()), h.GetOutbox()),
	}
}

// refusalCodes says for which reason of the state a stream ends how.
var refusalCodes = map[v1.RefusalReason]v1.RefusalCode{
	v1.RefusalReason_REFUSAL_REASON_HELD:          v1.RefusalCode_REFUSAL_CODE_CLAIMED,
	v1.RefusalReason_REFUSAL_REASON_OLD_BOOT:      v1.RefusalCode_REFUSAL_CODE_SUPERSEDED,
	v1.RefusalReason_REFUSAL_REASON_UNKNOWN_SHELF: v1.RefusalCode_REFUSAL_CODE_UNKNOWN_SHELF,
	v1.RefusalReason_REFUSAL_REASON_UNKNOWN_SLOT:  v1.RefusalCode_REFUSAL_CODE_UNKNOWN_SLOT,
}

func claimRefusal(a *v1.Answer, now time.Time) *v1.Refusal {
	code, ok := refusalCodes[a.GetReason()]
	if !ok {
		code = v1.RefusalCode_REFUSAL_CODE_MALFORMED
	}
	r := &v1.Refusal{Code: code, Message: a.GetRefusal()}
	if code == v1.RefusalCode_REFUSAL_CODE_CLAIMED {
		wait := time.Unix(0, a.GetUntil()).Sub(now)
		r.RetryAfterMs = uint32(min(max(wait.Milliseconds(), 1), int64(time.Hour/time.Millisecond)))
	}
	return r
}

// Detach releases a claim: the node left for good. Where that cannot be
// committed, the claim ends with its lease.
func (m *Manager) Detach(ctx context.Context, hw uint8, epoch uint64) {
	_, err := m.propose(ctx, &v1.Command{Kind: &v1.Command_Release{Release: &v1.Release{
		Shelf: m.cfg.Shelf, HardwareAddress: uint32(hw), Epoch: epoch,
	}}})
	if err != nil {
		m.cfg.Logger.Info("release not committed", "shelf", m.cfg.Shelf, "hw", hw, "epoch", epoch, "err", err)
	}
}

// Events commits a run of a node's outbox. Nil: it could not, or the claim is
// over; the node tries again on its next stream.
func (m *Manager) Events(ctx context.Context, e *v1.RelayEvents) *v1.EventAck {
	a, err := m.propose(ctx, &v1.Command{Kind: &v1.Command_AppendEvents{AppendEvents: &v1.AppendEvents{
		Shelf: m.cfg.Shelf, HardwareAddress: e.GetHardwareAddress(), Outbox: e.GetOutbox(), Epoch: e.GetEpoch(), Events: e.GetEvents(),
	}}})
	switch {
	case err != nil:
		m.cfg.Logger.Debug("events not committed", "shelf", m.cfg.Shelf, "hw", e.GetHardwareAddress(), "err", err)
		return nil
	case a.GetReason() == v1.RefusalReason_REFUSAL_REASON_GAP:
		return &v1.EventAck{Last: a.GetValue(), ResendFrom: a.GetValue() + 1}
	case a.GetCompletionCode() != 0:
		m.cfg.Logger.Warn("events refused", "shelf", m.cfg.Shelf, "hw", e.GetHardwareAddress(), "why", a.GetRefusal())
		return nil
	}
	m.hear(e)
	return &v1.EventAck{Last: a.GetValue()}
}

// Attached tells that a slot's first stream to any replica came, or its last
// one went. What follows from it is the reconciler's business.
func (m *Manager) Attached(hw uint8, epoch uint64, attached bool) {
	m.cfg.Logger.Debug("attachment", "shelf", m.cfg.Shelf, "hw", hw, "epoch", epoch, "attached", attached)
	m.kick()
}
