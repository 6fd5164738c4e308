package sim_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/internal/sim"
)

// What a seed runs.
const (
	nodes     = 3
	chaosTime = 40 * time.Second
)

// seeds are those to run: MIDPLANE_SEED=N that one, MIDPLANE_SEEDS=N so many,
// or else as many as the test does by default.
func seeds(t *testing.T, byDefault uint64) (from, to uint64) {
	number := func(name string) (uint64, bool) {
		s := os.Getenv(name)
		if s == "" {
			return 0, false
		}
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return n, true
	}
	if n, ok := number("MIDPLANE_SEED"); ok {
		return n, n + 1
	}
	if n, ok := number("MIDPLANE_SEEDS"); ok {
		return 1, n + 1
	}
	return 1, byDefault + 1
}

// TestSimulation runs whole shelves in virtual time under seeded faults.
func TestSimulation(t *testing.T) {
	from, to := seeds(t, defaultSeeds)
	for seed := from; seed < to; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { simulate(t, seed) })
			if t.Failed() {
				t.Logf("again: MIDPLANE_SEED=%d go test -run Simulation ./internal/sim/", seed)
			}
		})
	}
}

func simulate(t *testing.T, seed uint64) {
	w := sim.NewWorld(t, seed, nodes)
	defer w.Stop()
	var names []string
	var guests []*sim.Guest
	for slot := 1; slot <= nodes; slot++ {
		names = append(names, fmt.Sprintf("blade%d", slot))
		guests = append(guests, sim.NewGuest(w, slot, nodes))
	}
	for _, g := range guests {
		defer g.Boot()()
	}
	if !w.Settle(names) {
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	for _, g := range guests {
		work.Go(func() { g.Run(ctx) })
	}
	sim.NewChaos(w, names).Run(ctx, chaosTime)
	time.Sleep(2 * time.Second) // some work on a shelf that heals
	cancel()
	work.Wait()
	if !w.Settle(names) {
		return
	}
	for _, g := range guests {
		g.Probe(t.Context())
	}
	done, lost := w.Ledger.Requests()
	t.Logf("%d requests done, %d failed with an excuse", done, lost)
	for _, wrong := range w.Ledger.Check(w.Leader().State().Log(sim.Shelf, 0, 0)) {
		t.Error(wrong)
	}
}
