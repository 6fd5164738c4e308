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
	linearizable(t, trial{model: selModel, clients: clients, span: linearTime, patience: checkPatience, own: ownEvents, program: func() step {
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
	}})
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

// trial is what clients do to a shelf, and how it must look.
type trial struct {
	model    porcupine.Model
	clients  int // of which each does one thing at a time
	span     time.Duration
	patience time.Duration                  // of the check, which may end without a verdict
	begin    func(*testing.T, *sim.World)   // before the clients; nil: nothing
	own      func(*sim.World, *sim.History) // adds what the clients did not see
	program  func() step
}

// linearizable lets clients take steps under partitions, and checks what they
// saw.
func linearizable(t *testing.T, tr trial) {
	from, to := seeds(t, linearSeeds)
	for seed := from; seed < to; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			var h sim.History
			synctest.Test(t, func(t *testing.T) { work(t, seed, &h, tr) })
			result, info := porcupine.CheckOperationsVerbose(tr.model, h.Operations(), tr.patience)
			t.Logf("%d operations: %s", len(h.Operations()), result)
			if result == porcupine.Illegal {
				path := filepath.Join(os.TempDir(), fmt.Sprintf("midplane-%s-%d.html", strings.ReplaceAll(filepath.Dir(t.Name()), "/", "-"), seed))
				for _, o := range h.Operations() { // no seed brings the same again: goroutines race
					t.Logf("%d to %d: %s", o.Call, o.Return, tr.model.DescribeOperation(o.Input, o.Output))
				}
				t.Errorf("not linearizable, see %s (%v)", path, porcupine.VisualizePath(tr.model, info, path))
			}
		})
	}
}

func work(t *testing.T, seed uint64, h *sim.History, tr trial) {
	w := sim.NewWorld(t, seed, 0)
	defer w.Stop()
	if !w.Settle(nil) {
		return
	}
	chaos := sim.NewChaos(w, nil)
	if tr.begin != nil {
		tr.begin(t, w)
	}
	do := tr.program()
	ctx, cancel := context.WithTimeout(t.Context(), tr.span)
	defer cancel()
	var wg sync.WaitGroup
	for client := range tr.clients {
		r := rand.New(rand.NewPCG(seed, uint64(client)))
		wg.Go(func() {
			for ctx.Err() == nil {
				do(w, h, r, client)
			}
		})
	}
	chaos.Part(ctx)
	wg.Wait()
	tr.own(w, h)
}
