package backplane

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/midplane-project/midplane/internal/trust"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

func TestHelloRefused(t *testing.T) {
	change := func(f func(*v1.NodeHello)) *v1.NodeHello {
		h := hello(hw1, instanceA, 1)
		f(h)
		return h
	}
	tests := map[string]struct {
		hello *v1.NodeHello
		want  v1.RefusalCode
	}{
		"none":           {nil, v1.RefusalCode_REFUSAL_CODE_MALFORMED},
		"protocol":       {change(func(h *v1.NodeHello) { h.Protocol = 2 }), v1.RefusalCode_REFUSAL_CODE_VERSION},
		"no shelf":       {change(func(h *v1.NodeHello) { h.Shelf = "" }), v1.RefusalCode_REFUSAL_CODE_UNKNOWN_SHELF},
		"address 0":      {hello(0, instanceA, 1), v1.RefusalCode_REFUSAL_CODE_UNKNOWN_SLOT},
		"0x20":           {hello(0x10, instanceA, 1), v1.RefusalCode_REFUSAL_CODE_UNKNOWN_SLOT},
		"address 0x80":   {hello(0x80, instanceA, 1), v1.RefusalCode_REFUSAL_CODE_UNKNOWN_SLOT},
		"address 0x141":  {hello(0x141, instanceA, 1), v1.RefusalCode_REFUSAL_CODE_UNKNOWN_SLOT},
		"short instance": {hello(hw1, "a", 1), v1.RefusalCode_REFUSAL_CODE_MALFORMED},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				m := &v1.AttachRequest{Kind: &v1.AttachRequest_Hello{Hello: tt.hello}}
				if tt.hello == nil {
					m = &v1.AttachRequest{Kind: &v1.AttachRequest_Batch{Batch: &v1.Batch{}}}
				}
				if _, answer := r.open(m); answer.GetRefusal().GetCode() != tt.want {
					t.Errorf("answer %v, want %v", answer, tt.want)
				}
			})
		})
	}
}

func TestCertificateMustMatchHello(t *testing.T) {
	node := trust.Identity{Role: trust.Node, Shelf: "lab", Slot: 1}
	tests := map[string]struct {
		id *trust.Identity
		ok bool
	}{
		"own slot":       {&node, true},
		"no certificate": {nil, false},
		"another slot":   {&trust.Identity{Role: trust.Node, Shelf: "lab", Slot: 2}, false},
		"another shelf":  {&trust.Identity{Role: trust.Node, Shelf: "lab2", Slot: 1}, false},
		"another role":   {&trust.Identity{Role: trust.Admin, Shelf: "lab", Slot: 1}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(c *Config) {
					c.Identity = func(context.Context) (trust.Identity, bool) {
						if tt.id == nil {
							return trust.Identity{}, false
						}
						return *tt.id, true
					}
				})
				_, answer := r.attach(hello(hw1, instanceA, 1))
				if got := answer.GetHello() != nil; got != tt.ok {
					t.Errorf("accepted: %v (%v)", got, answer)
				}
				if !tt.ok && answer.GetRefusal().GetCode() != v1.RefusalCode_REFUSAL_CODE_NOT_YOURS {
					t.Errorf("refusal %v", answer)
				}
			})
		})
	}
}

func TestSecondClaimantIsRefusedAndDisturbsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		first, _ := r.attach(hello(hw1, instanceA, 1))
		if _, answer := r.attach(hello(hw1, instanceB, 1)); answer.GetRefusal().GetCode() != v1.RefusalCode_REFUSAL_CODE_CLAIMED {
			t.Fatalf("second claimant: %v", answer)
		}
		first.send(first.request(addr2, 0, deviceID))
		if got := first.refused(); got != nil || r.sw.Stats()[Absent] != 1 {
			t.Errorf("first claimant: %v, %v", got, r.sw.Stats())
		}
	})
}

func TestLaterStartSupersedes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		old, _ := r.attach(hello(hw1, instanceA, 1))
		if _, answer := r.attach(hello(hw1, instanceA, 2)); answer.GetHello().GetEpoch() != old.epoch+1 {
			t.Fatalf("later start: %v", answer)
		}
		if got := old.refused(); got.GetCode() != v1.RefusalCode_REFUSAL_CODE_SUPERSEDED {
			t.Errorf("earlier start is told %v", got)
		}
	})
}

// lateBrain gives its answers to a claim late: something comes between.
type lateBrain struct {
	Brain
	between func(*v1.NodeHello)
}

func (b lateBrain) Claim(ctx context.Context, h *v1.NodeHello) *v1.RelayClaimAnswer {
	a := b.Brain.Claim(ctx, h)
	b.between(h)
	return a
}

// A claim that was given, and superseded before its stream is connected, has
// had its epoch; its claimant is told that it is over, and the later start's
// stream goes on.
func TestClaimSupersededBeforeItsStreamIsConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r *rig
		var later *wired
		r = newRig(t, func(c *Config) {
			c.Brain = lateBrain{c.Brain, func(h *v1.NodeHello) {
				if h.GetBoot() == 1 {
					later, _ = r.attach(hello(hw1, instanceA, 2))
				}
			}}
		})
		_, answer := r.attach(hello(hw1, instanceA, 1))
		if answer.GetRefusal().GetCode() != v1.RefusalCode_REFUSAL_CODE_SUPERSEDED {
			t.Errorf("the earlier start is told %v", answer)
		}
		if got := later.refused(); got != nil || later.epoch != 2 {
			t.Errorf("the later start has epoch %d, and is told %v", later.epoch, got)
		}
		if got := r.sw.port(slotKey{"lab", hw1}); got == nil || got.epoch != 2 {
			t.Errorf("connected: %+v", got)
		}
	})
}

// The same start greets anew, as after a broken stream that the replica has
// not noticed yet: nothing is superseded.
func TestSameStartReplacesItsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		old, _ := r.attach(hello(hw1, instanceA, 1))
		fresh, _ := r.attach(hello(hw1, instanceA, 1))
		if got := old.refused(); got != nil {
			t.Errorf("old stream is told %v", got)
		}
		<-old.ended
		fresh.send(fresh.request(addr2, 0, deviceID))
		if got := fresh.frames(); len(got) != 1 {
			t.Errorf("new stream gets %d answers", len(got))
		}
	})
}

// A claim that another replica committed ends the stream of the one before.
func TestRefreshEndsOldClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		old, _ := r.attach(hello(hw1, instanceA, 1))
		synctest.Wait() // the switch has looked at the state as it is
		r.brain.mu.Lock()
		r.brain.slots[slotKey{"lab", hw1}] = Slot{Held: true, Instance: [16]byte([]byte(instanceB)), Boot: 1, Epoch: 2}
		r.brain.mu.Unlock()
		old.send(old.request(addr2, 0, deviceID))
		if got := old.frames(); len(got) != 0 || r.sw.Stats()[OldEpoch] != 1 {
			t.Errorf("frame of an old claim: answers %v, %v", got, r.sw.Stats())
		}
		r.sw.Refresh()
		if got := old.refused(); got.GetCode() != v1.RefusalCode_REFUSAL_CODE_CLAIMED {
			t.Errorf("old claimant is told %v", got)
		}
	})
}

func TestWithoutLeaderOldClaimsGoOnAndNewOnesWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.brain.slots[slotKey{"lab", hw1}] = Slot{Held: true, Instance: [16]byte([]byte(instanceA)), Boot: 3, Epoch: 7}
		r.leads.Store(&reign{5, ""})
		if _, answer := r.attach(hello(hw1, instanceA, 3)); answer.GetHello().GetEpoch() != 7 {
			t.Errorf("known claim: %v", answer)
		}
		for _, h := range []*v1.NodeHello{hello(hw1, instanceA, 4), hello(hw1, instanceB, 3), hello(hw2, instanceA, 1)} {
			_, answer := r.attach(h)
			if got := answer.GetRefusal(); got.GetCode() != v1.RefusalCode_REFUSAL_CODE_NO_QUORUM || got.GetRetryAfterMs() == 0 {
				t.Errorf("new claim: %v", answer)
			}
		}
	})
}

func TestDetachReleasesTheClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		w, _ := r.attach(hello(hw1, instanceA, 1))
		if err := w.stream.Send(&v1.AttachRequest{Kind: &v1.AttachRequest_Detach{Detach: &v1.Detach{}}}); err != nil {
			t.Fatal(err)
		}
		<-w.ended
		if r.brain.slot("lab", hw1).Held {
			t.Error("the claim goes on")
		}
		if _, answer := r.attach(hello(hw1, instanceB, 1)); answer.GetHello() == nil {
			t.Errorf("another node: %v", answer)
		}
	})
}
