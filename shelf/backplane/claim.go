package backplane

import (
	"context"
	"fmt"
	"time"

	"github.com/midplane-project/midplane/internal/trust"
	"github.com/midplane-project/midplane/internal/wire"
	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

const (
	claimTimeout  = 1500 * time.Millisecond // less than a node waits for its hello
	quorumRetryMS = 200                     // when to try again without a leader
	maxHW         = 0x7F
)

func refusal(code v1.RefusalCode, format string, args ...any) *v1.Refusal {
	r := &v1.Refusal{Code: code, Message: fmt.Sprintf(format, args...)}
	if code == v1.RefusalCode_REFUSAL_CODE_NO_QUORUM {
		r.RetryAfterMs = quorumRetryMS
	}
	return r
}

// admit checks a hello and takes its claim to the leader.
func (s *Switch) admit(ctx context.Context, h *v1.NodeHello) *v1.RelayClaimAnswer {
	r := wellFormed(h)
	if r == nil {
		r = s.certified(ctx, h)
	}
	if r != nil {
		return &v1.RelayClaimAnswer{Refusal: r}
	}
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	return s.claim(ctx, h)
}

func wellFormed(h *v1.NodeHello) *v1.Refusal {
	hw := h.GetHardwareAddress()
	switch {
	case h == nil:
		return refusal(v1.RefusalCode_REFUSAL_CODE_MALFORMED, "the first message is no hello")
	case h.GetProtocol() != Protocol:
		return refusal(v1.RefusalCode_REFUSAL_CODE_VERSION, "protocol %d: this replica speaks %d", h.GetProtocol(), Protocol)
	case h.GetShelf() == "":
		return refusal(v1.RefusalCode_REFUSAL_CODE_UNKNOWN_SHELF, "the hello names no shelf")
	case hw == 0 || hw > maxHW || ipmb.AddrFromHW(uint8(hw)) == ipmb.AddrShelfManager:
		return refusal(v1.RefusalCode_REFUSAL_CODE_UNKNOWN_SLOT, "no slot has hardware address %#x", hw)
	case len(h.GetInstance()) != wire.InstanceLen:
		return refusal(v1.RefusalCode_REFUSAL_CODE_MALFORMED, "the instance is not %d bytes", wire.InstanceLen)
	}
	return nil
}

// certified compares a hello with the certificate of its stream.
func (s *Switch) certified(ctx context.Context, h *v1.NodeHello) *v1.Refusal {
	if s.cfg.Identity == nil {
		return nil
	}
	id, ok := s.cfg.Identity(ctx)
	if ok && id.Role == trust.Node && id.Shelf == h.GetShelf() && uint32(ipmb.SlotAddr(id.Slot).HW()) == h.GetHardwareAddress() {
		return nil
	}
	return refusal(v1.RefusalCode_REFUSAL_CODE_NOT_YOURS, "the certificate is not for shelf %q, hardware address %#x", h.GetShelf(), h.GetHardwareAddress())
}

// claim asks the leader. Without one a claim that is known goes on, and a new
// one must wait.
func (s *Switch) claim(ctx context.Context, h *v1.NodeHello) *v1.RelayClaimAnswer {
	if a := s.askLeader(ctx, h); a != nil {
		return a
	}
	c := s.cfg.Slot(h.GetShelf(), uint8(h.GetHardwareAddress()))
	if c.Held && string(c.Instance[:]) == string(h.GetInstance()) && c.Boot == h.GetBoot() {
		return &v1.RelayClaimAnswer{Epoch: c.Epoch}
	}
	return &v1.RelayClaimAnswer{Refusal: refusal(v1.RefusalCode_REFUSAL_CODE_NO_QUORUM, "no leader can be reached to claim the slot")}
}

// askLeader gives nil when no leader answered.
func (s *Switch) askLeader(ctx context.Context, h *v1.NodeHello) *v1.RelayClaimAnswer {
	var a *v1.RelayClaimAnswer
	if _, leader := s.cfg.Leader(); leader == s.cfg.Replica {
		a = s.cfg.Brain.Claim(ctx, h)
	} else if p := s.peer(leader); p != nil {
		a = p.claim(ctx, &v1.RelayClaim{Hello: h})
	}
	if a.GetRefusal().GetCode() == v1.RefusalCode_REFUSAL_CODE_NO_QUORUM {
		return nil
	}
	return a
}

// release tells the leader that a node left for good.
func (s *Switch) release(ctx context.Context, p *port) {
	if _, leader := s.cfg.Leader(); leader == s.cfg.Replica {
		s.cfg.Brain.Detach(ctx, p.shelf, p.hw, p.epoch)
	} else if peer := s.peer(leader); peer != nil {
		peer.claim(ctx, &v1.RelayClaim{
			Release: true, Epoch: p.epoch,
			Hello: &v1.NodeHello{Shelf: p.shelf, HardwareAddress: uint32(p.hw), Instance: []byte(p.instance)},
		})
	}
}
