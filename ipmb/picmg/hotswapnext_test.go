package picmg_test

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/picmg"
)

// step is one input and what it leads to; M0 stands for a refusal.
type step struct {
	in     picmg.HotSwapInput
	to     picmg.State
	effect picmg.HotSwapEffect
}

func TestHotSwap(t *testing.T) {
	for _, c := range []struct {
		name  string
		from  picmg.HotSwap
		steps []step
	}{
		{"activation", picmg.HotSwap{State: picmg.M1}, []step{
			{picmg.WantOn, picmg.M2, 0},
			{picmg.WantOn, picmg.M2, 0},
			{picmg.SetActive, picmg.M3, 0},
			{picmg.SetActive, picmg.M3, 0},
			{picmg.PowerUp, picmg.M4, 0},
			{picmg.PowerUp, picmg.M4, 0},
			{picmg.SetActive, picmg.M4, 0},
		}},
		{"deactivation", picmg.HotSwap{State: picmg.M4}, []step{
			{picmg.WantOff, picmg.M5, 0},
			{picmg.WantOff, picmg.M5, 0},
			{picmg.SetInactive, picmg.M6, picmg.Quiesce},
			{picmg.SetInactive, picmg.M6, 0},
			{picmg.Quiesced, picmg.M1, 0},
			{picmg.SetInactive, picmg.M1, 0},
			{picmg.WantOff, picmg.M1, 0},
		}},
		{"forced", picmg.HotSwap{State: picmg.M4}, []step{{picmg.SetInactive, picmg.M6, picmg.Quiesce}}},
		{"without power", picmg.HotSwap{State: picmg.M4}, []step{
			{picmg.PowerDown, picmg.M6, picmg.CutPower},
			{picmg.PowerDown, picmg.M6, picmg.CutPower},
			{picmg.Quiesced, picmg.M1, 0},
			{picmg.PowerUp, 0, 0},
			{picmg.PowerDown, picmg.M1, 0},
		}},
		{"leaving refused", picmg.HotSwap{State: picmg.M5}, []step{{picmg.SetActive, picmg.M4, 0}}},
		{"no longer leaving", picmg.HotSwap{State: picmg.M5}, []step{{picmg.WantOn, picmg.M4, 0}}},
		{"activation refused", picmg.HotSwap{State: picmg.M2}, []step{{picmg.SetInactive, picmg.M1, 0}}},
		{"no longer wanted", picmg.HotSwap{State: picmg.M2}, []step{{picmg.WantOff, picmg.M1, 0}}},
		{"on its way", picmg.HotSwap{State: picmg.M3}, []step{{picmg.SetInactive, picmg.M6, picmg.Quiesce}}},
		{"not asked for", picmg.HotSwap{State: picmg.M1}, []step{{picmg.SetActive, 0, 0}, {picmg.PowerUp, 0, 0}, {picmg.Quiesced, 0, 0}}},
		{"too late", picmg.HotSwap{State: picmg.M6}, []step{{picmg.WantOn, 0, 0}, {picmg.SetActive, 0, 0}, {picmg.PowerUp, 0, 0}}},
		{"locked", picmg.HotSwap{State: picmg.M1, Locked: true}, []step{{picmg.WantOn, 0, 0}}},
		{"unlocked", picmg.HotSwap{State: picmg.M1}, []step{{picmg.Unlock, picmg.M2, 0}}},
		{"kept active", picmg.HotSwap{State: picmg.M4, DeactivationLocked: true}, []step{
			{picmg.WantOff, 0, 0}, {picmg.Unlock, picmg.M4, 0}, {picmg.SetInactive, picmg.M6, picmg.Quiesce},
		}},
		{"not a FRU's own", picmg.HotSwap{State: picmg.M7}, []step{{picmg.WantOn, 0, 0}}},
		{"not there", picmg.HotSwap{}, []step{{picmg.WantOn, 0, 0}}},
		{"no such input", picmg.HotSwap{State: picmg.M4}, []step{{0xEE, 0, 0}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i, s := range c.steps {
				to, effect, err := c.from.Next(s.in)
				refused := s.to == picmg.M0
				if refused != errors.Is(err, ipmb.ErrState) || !refused && to != s.to || refused && to != c.from.State || effect != s.effect {
					t.Fatalf("step %d: %v, effect %d, %v", i, to, effect, err)
				}
				c.from.State = to
			}
		})
	}
}

// The events that the transitions make, byte for byte.
func TestHotSwapCauses(t *testing.T) {
	for in, want := range map[picmg.HotSwapInput]picmg.Cause{
		picmg.WantOn: picmg.CauseProgram, picmg.WantOff: picmg.CauseProgram, picmg.SetActive: picmg.CauseCommanded,
		picmg.SetInactive: picmg.CauseCommanded, picmg.Unlock: picmg.CauseCommanded, picmg.PowerUp: picmg.CauseNormal,
		picmg.PowerDown: picmg.CauseCommanded, picmg.Quiesced: picmg.CauseNormal,
	} {
		if got := in.Cause(); got != want {
			t.Errorf("input %d: %v, want %v", in, got, want)
		}
	}
}

// From wherever a FRU is, a shelf manager that answers what it asks for brings
// it to M4 when it is wanted, and to M1 when it wants to leave.
func TestHotSwapArrives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := picmg.HotSwap{State: picmg.M1}
		move := func(in picmg.HotSwapInput) {
			to, _, err := h.Next(in)
			if err == nil {
				h.State = to
			}
			if h.State < picmg.M1 || h.State > picmg.M6 {
				t.Fatalf("input %d led to %v", in, h.State)
			}
		}
		for _, in := range rapid.SliceOf(rapid.Uint8Range(0, uint8(picmg.Quiesced))).Draw(t, "inputs") {
			move(picmg.HotSwapInput(in))
		}
		on := rapid.Bool().Draw(t, "on")
		for range 8 {
			if on {
				move(picmg.WantOn)
			} else {
				move(picmg.WantOff)
			}
			switch h.State {
			case picmg.M2:
				move(picmg.SetActive)
			case picmg.M3:
				move(picmg.PowerUp)
			case picmg.M5:
				move(picmg.SetInactive)
			case picmg.M6:
				move(picmg.Quiesced)
			}
		}
		if want := map[bool]picmg.State{true: picmg.M4, false: picmg.M1}[on]; h.State != want {
			t.Fatalf("it stays in %v, wanted on: %v", h.State, on)
		}
	})
}

func TestActivationPolicy(t *testing.T) {
	h := picmg.HotSwap{State: picmg.M1}
	for _, c := range []struct {
		mask, bits, want uint8
	}{{0x03, 0x03, 0x03}, {0x01, 0x00, 0x02}, {0x00, 0x01, 0x02}, {0x02, 0x00, 0x00}} {
		if h = h.WithPolicy(picmg.ActivationPolicy{Mask: c.mask, Bits: c.bits}); h.Policy() != c.want {
			t.Errorf("%s: %02x", fmt.Sprint(c), h.Policy())
		}
	}
}
