package state

import (
	"bytes"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

const (
	instanceLen  = 16
	maxClaimText = 255 // bytes of a name, an API address and the like
)

// Slot is a position of a shelf and the instance that claimed it last.
type Slot struct {
	HW       uint8
	Instance string // UUID of the node's state directory, 16 bytes; empty: never claimed
	Boot     uint64
	Epoch    uint64 // counts the slot's claims; frames and events of older ones are refused
	Held     bool
	// ContactLost says that no stream of the holder is left; Since is when that
	// began, or else when the holder came, in the leader's nanoseconds since 1970.
	ContactLost      bool
	Since            int64
	Name             string
	Profile          string
	API              string
	DeviceID         []byte // Get Device ID answer without completion code; never changed in place
	EventReceiverSet bool
}

// Addr is the slot's IPMB address.
func (s *Slot) Addr() ipmb.Addr { return ipmb.AddrFromHW(s.HW) }

// LeaseEnd is when a lost holder's claim ends, in nanoseconds since 1970.
func (s *Slot) LeaseEnd(lease time.Duration) int64 { return s.Since + int64(lease) }

// claim gives the slot to an instance, or says why not:
//
//	slot free or released          → new epoch, unless an older boot of the last holder asks
//	same instance, higher boot     → new epoch: the old process is gone or will be fenced
//	same instance, same boot       → same epoch: the answer to the first claim was lost
//	same instance, lower boot      → OLD_BOOT
//	other instance, holder present → HELD
//	other instance, holder lost    → HELD until its lease has ended, then new epoch
func (s *shelf) claim(now int64, lease time.Duration, c *v1.Claim) *v1.Answer {
	if a := checkClaim(c); a != nil {
		return a
	}
	sl, refusal := s.openSlot(c.GetHardwareAddress())
	if refusal != nil {
		return refusal
	}
	same := sl.Instance == string(c.GetInstance())
	switch {
	case same && c.GetBoot() < sl.Boot:
		return refuse(v1.RefusalReason_REFUSAL_REASON_OLD_BOOT, "boot %d of %s is older than boot %d, which holds the slot", c.GetBoot(), sl.Addr(), sl.Boot)
	case sl.Held && same && c.GetBoot() == sl.Boot:
		sl.regain(now)
	case sl.Held && !same && !sl.leaseOver(now, lease):
		return held(now, lease, sl)
	default:
		sl.Epoch++
		*sl = Slot{HW: sl.HW, Epoch: sl.Epoch, Held: true, Since: now}
	}
	sl.describe(c)
	return &v1.Answer{Value: sl.Epoch}
}

// checkClaim gives the answer to a claim that makes no sense, or says more of
// itself than the shelf will keep; nil if it is well formed.
func checkClaim(c *v1.Claim) *v1.Answer {
	longest := max(len(c.GetName()), len(c.GetProfile()), len(c.GetApi()), len(c.GetDeviceId()))
	switch {
	case len(c.GetInstance()) != instanceLen:
		return invalid("an instance id has %d bytes, not %d", instanceLen, len(c.GetInstance()))
	case longest > maxClaimText:
		return invalid("a claim with a text of %d bytes, more than %d", longest, maxClaimText)
	}
	return nil
}

// describe notes what the instance says of itself.
func (s *Slot) describe(c *v1.Claim) {
	s.Instance, s.Boot = string(c.GetInstance()), c.GetBoot()
	s.Name, s.Profile, s.API, s.DeviceID = c.GetName(), c.GetProfile(), c.GetApi(), bytes.Clone(c.GetDeviceId())
}

func (s *Slot) regain(now int64) {
	if s.ContactLost {
		s.ContactLost, s.Since = false, now
	}
}

func (s *Slot) leaseOver(now int64, lease time.Duration) bool {
	return s.ContactLost && now >= s.LeaseEnd(lease)
}

// held refuses a claim; while the holder is present its lease ends at the
// earliest a whole lease from now.
func held(now int64, lease time.Duration, sl *Slot) *v1.Answer {
	a := refuse(v1.RefusalReason_REFUSAL_REASON_HELD, "%s is held by another instance", sl.Addr())
	a.Until = now + int64(lease)
	if sl.ContactLost {
		a.Until = sl.LeaseEnd(lease)
	}
	return a
}

// release ends a claim. One that is said to have run out must have done so:
// the holder may have come back since the leader looked.
func (s *shelf) release(now int64, lease time.Duration, c *v1.Release) *v1.Answer {
	sl, refusal := s.slotOf(c.GetHardwareAddress(), c.GetEpoch())
	switch {
	case refusal != nil:
		return refusal
	case !sl.Held:
		return &v1.Answer{Value: sl.Epoch}
	case c.GetExpired() && !sl.leaseOver(now, lease):
		return held(now, lease, sl)
	}
	sl.Held, sl.ContactLost, sl.EventReceiverSet, sl.Since = false, false, false, now
	return &v1.Answer{Value: sl.Epoch}
}

// slotFact notes whether the holder can be reached.
func (s *shelf) slotFact(now int64, c *v1.SlotFact) *v1.Answer {
	sl, refusal := s.holder(c.GetHardwareAddress(), c.GetEpoch())
	if refusal != nil {
		return refusal
	}
	if sl.ContactLost != c.GetContactLost() {
		sl.ContactLost, sl.Since = c.GetContactLost(), now
	}
	return &v1.Answer{Value: sl.Epoch}
}

// setEventReceiver notes whether the holder sends its events to 0x20.
func (s *shelf) setEventReceiver(c *v1.SetEventReceiver) *v1.Answer {
	sl, refusal := s.holder(c.GetHardwareAddress(), c.GetEpoch())
	if refusal != nil {
		return refusal
	}
	sl.EventReceiverSet = c.GetDone()
	return &v1.Answer{Value: sl.Epoch}
}
