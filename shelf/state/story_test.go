package state

import (
	"math/rand/v2"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// story makes n commands that often hit one another: few slots, few
// instances, few outboxes, small numbers, repeated request ids.
func story(seed uint64, n int) []*v1.Command {
	r := rand.New(rand.NewPCG(seed, seed))
	now := second
	out := []*v1.Command{at(now, &v1.SetShelf{Shelf: "lab", Guid: id16(1), HardwareAddresses: []uint32{0x41, 0x42}})}
	for range n {
		now += r.Int64N(3 * second)
		c := at(now, chapter(r))
		if r.IntN(3) == 0 {
			once(c, string(rune('a'+r.IntN(3))), r.Uint64N(40))
		}
		out = append(out, c)
	}
	return out
}

func chapter(r *rand.Rand) any {
	hw, epoch := 0x41+r.Uint32N(3), r.Uint64N(6)
	instance, outbox := byte('a'+r.IntN(3)), byte('o'+r.IntN(2))
	speaker := v1.Speaker(r.Int32N(5))
	switch r.IntN(13) {
	case 0, 1:
		return claimBy(hw, instance, r.Uint64N(4))
	case 2:
		return &v1.Release{Shelf: "lab", HardwareAddress: hw, Epoch: epoch, Expired: r.IntN(2) == 0}
	case 3, 4, 5:
		first := 1 + r.Uint64N(12)
		return events(hw, outbox, epoch, first, first+r.Uint64N(4))
	case 6, 7:
		return addSEL(2*hw, speaker, oemRecord(byte(r.Uint32())))
	case 8:
		return &v1.DeleteSEL{Shelf: "lab", Record: r.Uint32N(40)}
	case 9:
		if r.IntN(8) == 0 {
			return &v1.ClearSEL{Shelf: "lab"}
		}
		return &v1.SetEventReceiver{Shelf: "lab", HardwareAddress: hw, Epoch: epoch, Done: true}
	case 10:
		return &v1.SlotFact{Shelf: "lab", HardwareAddress: hw, Epoch: epoch, ContactLost: r.IntN(2) == 0}
	}
	if r.IntN(3) == 0 {
		name := string(rune('r' + r.IntN(5)))
		return &v1.PutRecords{
			Shelf: "lab", Delete: []string{name}, Response: oemRecord(name[0])[:r.IntN(2)],
			Put: []*v1.NamedRecord{{Name: string(rune('r' + r.IntN(5))), Value: oemRecord(byte(r.IntN(9)))[:r.IntN(9)]}},
		}
	}
	return &v1.SetConfig{Key: string(rune('k' + r.IntN(4))), Value: oemRecord(byte(r.IntN(4)))[:r.IntN(3)]}
}
