package state

import (
	"strings"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

const (
	wantHeld      = v1.RefusalReason_REFUSAL_REASON_HELD
	wantOldBoot   = v1.RefusalReason_REFUSAL_REASON_OLD_BOOT
	wantOldEpoch  = v1.RefusalReason_REFUSAL_REASON_OLD_EPOCH
	wantGap       = v1.RefusalReason_REFUSAL_REASON_GAP
	wantNoSlot    = v1.RefusalReason_REFUSAL_REASON_UNKNOWN_SLOT
	wantNoShelf   = v1.RefusalReason_REFUSAL_REASON_UNKNOWN_SHELF
	stateRefusal  = uint32(ipmb.ErrState)
	fieldRefusal  = uint32(ipmb.ErrInvalidField)
	slotFactLost  = true
	slotFactFound = false
)

func fact(epoch uint64, lost bool) *v1.SlotFact {
	return &v1.SlotFact{Shelf: "lab", HardwareAddress: 0x41, Epoch: epoch, ContactLost: lost}
}

func refused(reason v1.RefusalReason, until int64) *v1.Answer {
	return &v1.Answer{CompletionCode: stateRefusal, Reason: reason, Until: until}
}

// A story of one slot, each step with its answer.
func TestClaims(t *testing.T) {
	lease := int64(10 * time.Second)
	granted := func(epoch uint64) *v1.Answer { return &v1.Answer{Value: epoch} }
	steps := []struct {
		what string
		now  int64
		kind any
		want *v1.Answer
	}{
		{"first claim", 10 * second, claimBy(0x41, 'a', 1), granted(1)},
		{"the same again", 11 * second, claimBy(0x41, 'a', 1), granted(1)},
		{"a higher boot supersedes at once", 12 * second, claimBy(0x41, 'a', 3), granted(2)},
		{"a lower boot", 13 * second, claimBy(0x41, 'a', 2), refused(wantOldBoot, 0)},
		{"another instance while the holder is there", 14 * second, claimBy(0x41, 'b', 9), refused(wantHeld, 14*second+lease)},
		{"fact with an old epoch", 15 * second, fact(1, slotFactLost), refused(wantOldEpoch, 0)},
		{"contact lost", 20 * second, fact(2, slotFactLost), granted(2)},
		{"lost again moves nothing", 25 * second, fact(2, slotFactLost), granted(2)},
		{"another instance before the lease ends", 29 * second, claimBy(0x41, 'b', 1), refused(wantHeld, 30*second)},
		{"expiry before the lease ends", 29 * second, &v1.Release{Shelf: "lab", HardwareAddress: 0x41, Epoch: 2, Expired: true}, refused(wantHeld, 30*second)},
		{"the holder comes back", 29 * second, claimBy(0x41, 'a', 3), granted(2)},
		{"the lease is whole again", 31 * second, claimBy(0x41, 'b', 1), refused(wantHeld, 31*second+lease)},
		{"lost for good", 40 * second, fact(2, slotFactLost), granted(2)},
		{"another instance after the lease", 50 * second, claimBy(0x41, 'b', 1), granted(3)},
		{"the old holder, whatever its boot", 51 * second, claimBy(0x41, 'a', 9), refused(wantHeld, 51*second+lease)},
		{"release with an old epoch", 52 * second, &v1.Release{Shelf: "lab", HardwareAddress: 0x41, Epoch: 2}, refused(wantOldEpoch, 0)},
		{"release", 53 * second, &v1.Release{Shelf: "lab", HardwareAddress: 0x41, Epoch: 3}, granted(3)},
		{"release again", 53 * second, &v1.Release{Shelf: "lab", HardwareAddress: 0x41, Epoch: 3}, granted(3)},
		{"fact about a released slot", 54 * second, fact(3, slotFactFound), refused(wantOldEpoch, 0)},
		{"a late start of the released instance", 55 * second, claimBy(0x41, 'b', 0), refused(wantOldBoot, 0)},
		{"the released instance, same boot", 56 * second, claimBy(0x41, 'b', 1), granted(4)},
		{"unknown slot", 57 * second, claimBy(0x43, 'a', 1), refused(wantNoSlot, 0)},
		{"the shelf manager's own address", 57 * second, claimBy(0x10, 'a', 1), refused(wantNoSlot, 0)},
		{"an address that does not fit", 57 * second, claimBy(0x141, 'a', 1), refused(wantNoSlot, 0)},
		{"unknown shelf", 58 * second, &v1.Claim{Shelf: "attic", HardwareAddress: 0x41, Instance: id16('a')}, refused(wantNoShelf, 0)},
		{"a long name", 59 * second, &v1.Claim{Shelf: "lab", HardwareAddress: 0x41, Instance: id16('a'), Name: strings.Repeat("x", 256)}, &v1.Answer{CompletionCode: fieldRefusal}},
		{"a short instance id", 59 * second, &v1.Claim{Shelf: "lab", HardwareAddress: 0x41, Instance: []byte("a")}, &v1.Answer{CompletionCode: fieldRefusal}},
	}
	s := lab(t, Config{Lease: time.Duration(lease)})
	for _, step := range steps {
		diffAnswer(t, step.what, apply(t, s, at(step.now, step.kind)), step.want)
	}
}

func TestClaimForgetsWhatTheOldHolderHad(t *testing.T) {
	s := lab(t, Config{})
	epoch := mustClaim(t, s, second, claimBy(0x41, 'a', 1))
	apply(t, s, at(second, &v1.SetEventReceiver{Shelf: "lab", HardwareAddress: 0x41, Epoch: epoch, Done: true}))
	if !s.shelf("lab").slots[0x41].EventReceiverSet {
		t.Fatal("event receiver not noted")
	}
	mustClaim(t, s, 2*second, claimBy(0x41, 'a', 2))
	if s.shelf("lab").slots[0x41].EventReceiverSet {
		t.Error("a new boot must get its event receiver set again")
	}
}

func TestLeaseSetting(t *testing.T) {
	s := lab(t, Config{Lease: time.Minute})
	set := func(value string) *v1.Answer {
		return apply(t, s, at(second, &v1.SetConfig{Key: ConfigLease, Value: []byte(value)}))
	}
	for _, bad := range []string{"soon", "-1s", "0s"} {
		diffAnswer(t, bad, set(bad), &v1.Answer{CompletionCode: fieldRefusal})
	}
	if set("3s"); s.lease != 3*time.Second {
		t.Errorf("lease %v, want 3s", s.lease)
	}
	if set(""); s.lease != time.Minute {
		t.Errorf("lease %v, want the default of 1m", s.lease)
	}
}
