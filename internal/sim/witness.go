package sim

import (
	"context"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// Witness looks on while the shelf works.
type Witness struct {
	w *World

	mu      sync.Mutex
	starts  map[string]int       // of nodes
	holders map[holding]claimant // who ever held a slot
	leaders map[uint64]string    // who acted in a term
}

// holding is a claim's name: no two may have the same.
type holding struct {
	hw    uint8
	epoch uint64
}

type claimant struct {
	instance string
	boot     uint64
}

func newWitness(w *World) *Witness {
	return &Witness{w: w, starts: make(map[string]int), holders: make(map[holding]claimant), leaders: make(map[uint64]string)}
}

func (t *Witness) startsOf(node string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.starts[node]
}

// nodeTap looks at what a run of a node takes from 20h: the terms of those
// frames must never fall.
func (t *Witness) nodeTap(addr string) func(ipmb.Message, bool) {
	t.mu.Lock()
	t.starts[addr]++
	t.mu.Unlock()
	var mu sync.Mutex
	var highest uint64
	return func(m ipmb.Message, arrives bool) {
		if !arrives || m.Frame.From != ipmb.AddrShelfManager {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if m.Term < highest {
			t.w.Ledger.Failf("%s acted upon a frame of term %d after one of term %d: %s", addr, m.Term, highest, m.Frame)
		}
		highest = max(highest, m.Term)
	}
}

// watch looks at the claims and the role of a replica at every change of its
// state, and every 50 ms.
func (t *Witness) watch(r *replicaRun) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		if err := r.Wait(ctx); err != nil {
			t.w.Ledger.Failf("%s stopped by itself: %v", r.Name(), err)
		}
	}()
	go func() {
		defer close(ended)
		defer cancel()
		epochs := make(map[uint8]uint64) // as this run has seen them
		for {
			changed := r.State().Watch()
			t.look(r, epochs)
			select {
			case <-changed:
			case <-time.After(50 * time.Millisecond):
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

func (t *Witness) look(r *replicaRun, epochs map[uint8]uint64) {
	term := r.Term()
	slots := r.State().Slots(Shelf)
	t.mu.Lock()
	defer t.mu.Unlock()
	if other := t.leaders[term]; term > 0 && other != "" && other != r.Name() {
		t.w.Ledger.Failf("%s and %s both lead in term %d", other, r.Name(), term)
	}
	t.leaders[term] = r.Name()
	for _, sl := range slots {
		if sl.Epoch < epochs[sl.HW] {
			t.w.Ledger.Failf("%s: epoch %d of slot %#02x after epoch %d", r.Name(), sl.Epoch, sl.HW, epochs[sl.HW])
		}
		epochs[sl.HW] = sl.Epoch
		k, c := holding{sl.HW, sl.Epoch}, claimant{sl.Instance, sl.Boot}
		if first, ok := t.holders[k]; ok && first != c {
			t.w.Ledger.Failf("two holders of slot %#02x, epoch %d: %x boot %d and %x boot %d", sl.HW, sl.Epoch, first.instance, first.boot, c.instance, c.boot)
		}
		t.holders[k] = c
	}
}
