package sim_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/midplane-project/midplane/internal/sim"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/state"
)

// TestLinearizableClaims lets three nodes claim one slot at any replica. None
// is away for as long as a lease: who has the slot keeps it.
func TestLinearizableClaims(t *testing.T) {
	linearizable(t, trial{
		model: claimModel, clients: clients, span: linearTime, patience: checkPatience,
		own:     func(_ *sim.World, h *sim.History) { addLostClaims(h) },
		program: func() step { return claims(2*time.Second, 0) },
	})
}

// TestLinearizableHandover lets the leases of nodes end that are away, so that
// the slot goes from one to another.
func TestLinearizableHandover(t *testing.T) {
	const enough = 30 // seeds of which one at least must have a handover
	var handovers atomic.Int64
	if from, to := seeds(t, linearSeeds); to-from >= enough {
		t.Cleanup(func() {
			t.Logf("%d handovers", handovers.Load())
			if !t.Failed() && handovers.Load() == 0 {
				t.Error("no slot went from one node to another")
			}
		})
	}
	linearizable(t, trial{
		model: claimModel, clients: 3, span: 15 * time.Second, patience: checkPatience, begin: shortenLease,
		own: func(_ *sim.World, h *sim.History) {
			handovers.Add(countHandovers(h))
			addLostClaims(h)
			addConfirmedClaims(h)
		},
		program: func() step { return claims(time.Second, 8*time.Second) },
	})
}

// claims is a client that claims the slot, stays attached for a while and is
// away for another.
func claims(stay, away time.Duration) step {
	return func(w *sim.World, h *sim.History, r *rand.Rand, client int) {
		o := claimOp{instance: client % 3, boot: 1 + r.IntN(3)}
		to := fmt.Sprintf("shm%d", 1+r.IntN(3))
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		h.Do(client, o, false, func() (any, bool) { return o.ask(ctx, w, to) })
		time.Sleep(time.Duration(r.Int64N(int64(stay))))
		cancel()
		time.Sleep(time.Duration(r.Int64N(int64(away) + 1)))
	}
}

// shortenLease makes handovers frequent, and has no message come twice: a claim
// that does might take the slot when the first has long been refused.
func shortenLease(t *testing.T, w *sim.World) {
	w.Net.Disturb(nil)
	lease := &v1.SetConfig{Key: state.ConfigLease, Value: []byte("500ms")}
	if _, err := w.Leader().Propose(t.Context(), &v1.Command{Kind: &v1.Command_SetConfig{SetConfig: lease}}); err != nil {
		t.Errorf("lease not set: %v", err)
	}
}

// addLostClaims adds what a claimant that is told of a later start does not
// learn: it may have had the slot, and lost it before its stream was connected.
func addLostClaims(h *sim.History) {
	for _, op := range h.Operations() {
		if op.Output == (claimResult{refusal: v1.RefusalCode_REFUSAL_CODE_SUPERSEDED}) {
			h.Perhaps(clients, op)
		}
	}
}

// addConfirmedClaims adds that a replica without a quorum confirms a claim that
// holds, as far as it knows, while the claim itself may yet reach the log.
func addConfirmedClaims(h *sim.History) {
	for _, op := range h.Operations() {
		if out, ok := op.Output.(claimResult); ok && out.epoch > 0 {
			h.Perhaps(clients, op)
		}
	}
}

// countHandovers counts the epochs that followed one of another instance.
func countHandovers(h *sim.History) (n int64) {
	holder := make(map[uint64]int)
	for _, op := range h.Operations() {
		if out, ok := op.Output.(claimResult); ok && out.epoch > 0 {
			holder[out.epoch] = op.Input.(claimOp).instance
		}
	}
	for epoch, instance := range holder {
		if before, ok := holder[epoch-1]; ok && before != instance {
			n++
		}
	}
	return n
}
