package sim_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/midplane-project/midplane/internal/sim"
	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf"
	"github.com/midplane-project/midplane/shelf/state"
)

const (
	linearTime    = 4 * time.Second
	checkPatience = 20 * time.Second
	clients       = 5
)

// step is one operation of a client.
type step func(w *sim.World, h *sim.History, r *rand.Rand, client int)

// TestLinearizableSEL lets several users work on the SEL at 20h while the
// replicas are parted from each other. They share the reservation that one of
// them got last, and so are in each other's way.
func TestLinearizableSEL(t *testing.T) {
	linearizable(t, selModel, ownEvents, func() step {
		var reserved atomic.Uint32
		return func(w *sim.World, h *sim.History, r *rand.Rand, client int) {
			defer time.Sleep(rand.N(60 * time.Millisecond))
			replica := w.Replica(fmt.Sprintf("shm%d", 1+r.IntN(3)))
			if replica == nil || replica.Term() == 0 {
				return
			}
			o := drawSEL(r, uint16(reserved.Load()))
			h.Do(client, o, o.reads(), func() (any, bool) { return o.ask(replica, &reserved) })
		}
	})
}

// ownEvents adds the events of 0x20's own sensors to the history. Every replica
// that anybody has read still runs: the longest of their logs has all of them.
func ownEvents(w *sim.World, h *sim.History) {
	var log []state.Event
	for _, name := range []string{"shm1", "shm2", "shm3"} {
		if l := w.Replica(name).State().Log(sim.Shelf, 0, 0); len(l) > len(log) {
			log = l
		}
	}
	for _, e := range log {
		payload := binary.LittleEndian.Uint32(e.Record[12:])
		if e.Source == ipmb.AddrShelfManager && e.Speaker == v1.Speaker_SPEAKER_CONTROLLER && payload != clearedMark {
			h.Happened(clients, selOp{kind: "add", payload: payload}, selResult{value: e.Record.ID()})
		}
	}
}

// ask does an operation at a replica that leads, or believes that it does.
func (o selOp) ask(replica *shelf.Replica, reserved *atomic.Uint32) (any, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	answer, err := replica.Raw(ctx, sim.Shelf, ipmb.AddrShelfManager, o.request())
	if err != nil {
		return nil, false
	}
	out, known := o.result(answer)
	if o.kind == "reserve" && known {
		reserved.Store(uint32(out.value))
	}
	return out, known
}

func drawSEL(r *rand.Rand, reserved uint16) selOp {
	place := []uint16{0, 0xFFFF}[r.IntN(2)]
	switch n := r.IntN(100); {
	case n < 35:
		return selOp{kind: "add", payload: r.Uint32()}
	case n < 60:
		return selOp{kind: "get", id: place}
	case n < 70:
		return selOp{kind: "info"}
	case n < 85:
		return selOp{kind: "reserve"}
	case n < 92:
		return selOp{kind: "delete", id: place, reservation: reserved}
	}
	return selOp{kind: "clear", reservation: reserved}
}

// TestLinearizableClaims lets three nodes claim one slot at any replica.
func TestLinearizableClaims(t *testing.T) {
	linearizable(t, claimModel, func(_ *sim.World, h *sim.History) { addLostClaims(h) }, func() step {
		return func(w *sim.World, h *sim.History, r *rand.Rand, client int) {
			o := claimOp{instance: client % 3, boot: 1 + r.IntN(3)}
			to := fmt.Sprintf("shm%d", 1+r.IntN(3))
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			h.Do(client, o, false, func() (any, bool) { return o.ask(ctx, w, to) })
			time.Sleep(time.Duration(r.IntN(2000)) * time.Millisecond) // attached until cancel
		}
	})
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

// linearizable lets clients take steps under partitions, and checks what they
// saw, and what own adds to it.
func linearizable(t *testing.T, m porcupine.Model, own func(*sim.World, *sim.History), program func() step) {
	from, to := seeds(t, linearSeeds)
	for seed := from; seed < to; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			var h sim.History
			synctest.Test(t, func(t *testing.T) { work(t, seed, &h, program(), own) })
			result, info := porcupine.CheckOperationsVerbose(m, h.Operations(), checkPatience)
			t.Logf("%d operations: %s", len(h.Operations()), result)
			if result == porcupine.Illegal {
				path := filepath.Join(os.TempDir(), fmt.Sprintf("midplane-%s-%d.html", strings.ReplaceAll(filepath.Dir(t.Name()), "/", "-"), seed))
				for _, o := range h.Operations() { // no seed brings the same again: goroutines race
					t.Logf("%d to %d: %s", o.Call, o.Return, m.DescribeOperation(o.Input, o.Output))
				}
				t.Errorf("not linearizable, see %s (%v)", path, porcupine.VisualizePath(m, info, path))
			}
		})
	}
}

func work(t *testing.T, seed uint64, h *sim.History, do step, own func(*sim.World, *sim.History)) {
	w := sim.NewWorld(t, seed, 0)
	defer w.Stop()
	if !w.Settle(nil) {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), linearTime)
	defer cancel()
	var wg sync.WaitGroup
	for client := range clients {
		r := rand.New(rand.NewPCG(seed, uint64(client)))
		wg.Go(func() {
			for ctx.Err() == nil {
				do(w, h, r, client)
			}
		})
	}
	sim.NewChaos(w, nil).Part(ctx)
	wg.Wait()
	own(w, h)
}
