package manager

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/shelf/state"
)

// receiverCommands notes what a controller is asked and answers with code.
func receiverCommands(asked *atomic.Int32, code ipmb.CompletionCode) ipmb.HandlerFunc {
	return func(_ context.Context, req *ipmb.Request) ipmb.Response {
		if req.NetFn != ipmb.NetFnSensor || req.Cmd != cmdSetEventReceiver || string(req.Data) != "\x20\x00" ||
			req.Origin.Speaker != ipmb.SpeakerController || req.Origin.Privilege != admin {
			return ipmb.Response{Code: ipmb.ErrUnspecified}
		}
		asked.Add(1)
		return ipmb.Response{Code: code}
	}
}

func (r *replica) slot(t *testing.T, hw uint8) state.Slot {
	t.Helper()
	sl, ok := r.cfg.State.Slot("lab", hw)
	if !ok {
		t.Fatalf("no slot %#x", hw)
	}
	return sl
}

// A claim gets its event receiver, once; a new claim gets it again.
func TestReconcilerSetsEventReceivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(newFakeCluster(t), 1)
		defer r.lead(t)()
		var asked atomic.Int32
		r.bus.attach(blade1, r.claim(t, 0x41, 1), receiverCommands(&asked, ipmb.OK))
		r.Attached(0x41, 1, true)
		synctest.Wait()
		if sl := r.slot(t, 0x41); !sl.EventReceiverSet || asked.Load() != 1 {
			t.Fatalf("asked %d times, slot %+v", asked.Load(), sl)
		}
		time.Sleep(time.Minute)
		if asked.Load() != 1 {
			t.Errorf("asked %d times in a minute of peace", asked.Load())
		}
		r.bus.detachAll()
		r.bus.attach(blade1, r.claim(t, 0x41, 2), receiverCommands(&asked, ipmb.OK))
		r.Attached(0x41, 2, true)
		synctest.Wait()
		if sl := r.slot(t, 0x41); !sl.EventReceiverSet || sl.Epoch != 2 || asked.Load() != 2 {
			t.Errorf("after a restart: asked %d times, slot %+v", asked.Load(), sl)
		}
	})
}

// A controller that fails or keeps silent is asked again, and does not hold up
// the others.
func TestReconcilerRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(newFakeCluster(t), 1)
		defer r.lead(t)()
		var busy, good atomic.Int32
		r.bus.attach(blade1, r.claim(t, 0x41, 1), receiverCommands(&busy, ipmb.ErrBusy))
		r.bus.attach(blade2, r.claim(t, 0x42, 1), receiverCommands(&good, ipmb.OK))
		r.Attached(0x41, 1, true)
		synctest.Wait()
		if !r.slot(t, 0x42).EventReceiverSet || busy.Load() != 1 {
			t.Fatalf("blade2 %+v, blade1 asked %d times", r.slot(t, 0x42), busy.Load())
		}
		time.Sleep(10 * time.Second)
		if n := busy.Load(); n < 5 || n > 15 {
			t.Errorf("blade1 asked %d times in ten seconds", n)
		}
		r.bus.mu.Lock()
		r.bus.there[blade1] = receiverCommands(&good, ipmb.OK)
		r.bus.mu.Unlock()
		time.Sleep(3 * time.Second)
		if !r.slot(t, 0x41).EventReceiverSet {
			t.Error("blade1 not set though it answers now")
		}
	})
}

// Contact is lost after the grace, found again, and lost for good: then the
// lease ends the claim.
func TestReconcilerFollowsContact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(newFakeCluster(t), 1)
		defer r.lead(t)()
		var asked atomic.Int32
		epoch := r.claim(t, 0x41, 1)
		expect := func(what string, after time.Duration, held, lost bool) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if sl := r.slot(t, 0x41); sl.Held != held || sl.ContactLost != lost {
				t.Errorf("%s: held %v, lost %v", what, sl.Held, sl.ContactLost)
			}
		}
		attach := func() {
			r.bus.attach(blade1, epoch, receiverCommands(&asked, ipmb.OK))
			r.Attached(0x41, epoch, true)
		}
		expect("claimed, its stream not yet seen", time.Second, true, false)
		attach()
		expect("attached", time.Minute, true, false)
		r.bus.detachAll()
		r.Attached(0x41, epoch, false)
		expect("just gone", lossGrace-lookAgain, true, false)
		expect("gone for longer", 2*lookAgain, true, true)
		attach()
		expect("back", lookAgain, true, false)
		r.bus.detachAll()
		r.Attached(0x41, epoch, false)
		expect("gone again", lossGrace+lookAgain, true, true)
		expect("before the lease ends", state.DefaultLease-2*lookAgain, true, true)
		expect("after the lease", 3*lookAgain, false, false)
	})
}

// A leader that dies in the middle leaves nothing undone: the next one finds
// in the state what is missing.
func TestReconcilerResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(t)
		first, second := newReplica(c, 1), newReplica(c, 2)
		var asked atomic.Int32
		stop := first.lead(t)
		first.raft.set(func(r *fakeRaft) { r.deaf = true })
		claimed := second.claim(t, 0x41, 1)
		first.bus.attach(blade1, claimed, receiverCommands(&asked, ipmb.OK))
		first.Attached(0x41, 1, true)
		synctest.Wait()
		if asked.Load() != 1 || first.slot(t, 0x41).EventReceiverSet {
			t.Fatalf("asked %d times, slot %+v", asked.Load(), first.slot(t, 0x41))
		}
		stop()
		second.bus.attach(blade1, claimed, receiverCommands(&asked, ipmb.OK))
		defer second.lead(t)()
		synctest.Wait()
		if asked.Load() != 2 || !second.slot(t, 0x41).EventReceiverSet {
			t.Errorf("asked %d times, slot %+v", asked.Load(), second.slot(t, 0x41))
		}
		var terms []uint64
		for _, m := range append(first.bus.frames(), second.bus.frames()...) {
			if m.Frame.Cmd == cmdSetEventReceiver {
				terms = append(terms, m.Term)
			}
		}
		if d := cmp.Diff([]uint64{1, 2}, terms); d != "" {
			t.Errorf("terms of the frames (-want +got):\n%s", d)
		}
	})
}
