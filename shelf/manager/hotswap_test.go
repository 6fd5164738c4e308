package manager

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/picmg"
	"github.com/midplane-project/midplane/ipmb/sel"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// fakeBoard is a controller whose FRU 0 does at once what it is told. It notes
// what changed its state.
type fakeBoard struct {
	mu      sync.Mutex
	fru     picmg.HotSwap
	silent  bool // it does not say where it is
	refuse  ipmb.CompletionCode
	told    []picmg.HotSwapInput
	reads   int
	outbox  uint64
	strange int // requests that were no step of its hot swap's
}

func (b *fakeBoard) serve(_ context.Context, req *ipmb.Request) ipmb.Response {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case req.NetFn == ipmb.NetFnSensor && req.Cmd == cmdSetEventReceiver:
		return ipmb.Response{}
	case req.NetFn == ipmb.NetFnSensor && req.Cmd == cmdSensorReading && len(req.Data) == 1 && req.Data[0] == picmg.SensorFRUState:
		b.reads++
		if b.silent {
			return ipmb.Response{Data: []byte{0, 0xE0, 0, 0x80}}
		}
		return ipmb.Response{Data: []byte{0, 0xC0, 1 << b.fru.State, 0x80}}
	case req.NetFn != ipmb.NetFnGroup || req.Origin.Speaker != ipmb.SpeakerController || req.Origin.Privilege != admin:
		return ipmb.Response{Code: ipmb.ErrInvalidCommand}
	}
	if b.refuse != 0 {
		return ipmb.Response{Code: b.refuse, Data: []byte{0}}
	}
	switch string(append([]byte{byte(req.Cmd)}, req.Data...)) {
	case "\x0c\x00\x00\x01":
		b.move(picmg.SetActive)
	case "\x0c\x00\x00\x00":
		b.move(picmg.SetInactive)
		b.move(picmg.Quiesced)
	case "\x11\x00\x00\x01\x01":
		b.move(picmg.PowerUp)
	default:
		b.strange++
	}
	return ipmb.Response{Data: []byte{0}}
}

func (b *fakeBoard) move(in picmg.HotSwapInput) {
	to, _, err := b.fru.Next(in)
	if err != nil {
		b.strange++
	}
	b.fru.State = to
	b.told = append(b.told, in)
}

// set puts the board into a state of which nobody hears.
func (b *fakeBoard) set(s picmg.State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fru.State, b.told, b.reads = s, nil, 0
}

// is checks where the board is, and what took it there.
func (b *fakeBoard) is(t *testing.T, what string, want picmg.State, told ...picmg.HotSwapInput) {
	t.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fru.State != want || !slices.Equal(b.told, told) || b.strange > 0 {
		t.Errorf("%s: %v after %v, want %v after %v; %d strange requests", what, b.fru.State, b.told, want, told, b.strange)
	}
}

// event has somebody on the board report that it is in a state.
func (b *fakeBoard) event(t *testing.T, r *replica, speaker v1.Speaker) {
	t.Helper()
	b.mu.Lock()
	b.outbox++
	d := picmg.HotSwapEvent{State: b.fru.State, Previous: picmg.M4}.Data()
	n := b.outbox
	b.mu.Unlock()
	body := sel.Event{Revision: sel.Revision, Sensor: sel.SensorHotSwap, Type: sel.EventSensor, Data: d}.AppendBus(nil)
	ack := r.Events(t.Context(), &v1.RelayEvents{
		Shelf: "lab", HardwareAddress: 0x41, Epoch: 1, Outbox: make([]byte, 16),
		Events: []*v1.Event{{N: n, Body: body, Speaker: speaker}},
	})
	if ack.GetLast() != n {
		t.Fatalf("event not taken: %v", ack)
	}
	synctest.Wait()
}

// inShelf runs f with a leader and a board in a state.
func inShelf(t *testing.T, s picmg.State, f func(t *testing.T, r *replica, b *fakeBoard)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(newFakeCluster(t), 1)
		b := &fakeBoard{fru: picmg.HotSwap{State: s}}
		defer r.lead(t)()
		r.bus.attach(blade1, r.claim(t, 0x41, 1), b.serve)
		r.Attached(0x41, 1, true)
		synctest.Wait()
		f(t, r, b)
	})
}

// What a board is found in, the leader takes it out of; M1, M4 and M6 are left
// alone.
func TestHotSwapFound(t *testing.T) {
	for _, c := range []struct {
		in, to picmg.State
		told   []picmg.HotSwapInput
	}{
		{picmg.M1, picmg.M1, nil},
		{picmg.M2, picmg.M4, []picmg.HotSwapInput{picmg.SetActive, picmg.PowerUp}},
		{picmg.M3, picmg.M4, []picmg.HotSwapInput{picmg.PowerUp}},
		{picmg.M4, picmg.M4, nil},
		{picmg.M5, picmg.M1, []picmg.HotSwapInput{picmg.SetInactive, picmg.Quiesced}},
		{picmg.M6, picmg.M6, nil},
	} {
		inShelf(t, c.in, func(t *testing.T, _ *replica, b *fakeBoard) {
			b.is(t, c.in.String(), c.to, c.told...)
			if b.reads == 0 {
				t.Errorf("%v: never asked", c.in)
			}
		})
	}
}

// A controller's event makes the leader look at once; a guest's does not. What
// nobody told of is found later.
func TestHotSwapFollowsControllers(t *testing.T) {
	inShelf(t, picmg.M4, func(t *testing.T, r *replica, b *fakeBoard) {
		b.set(picmg.M5)
		b.event(t, r, v1.Speaker_SPEAKER_GUEST)
		time.Sleep(hotSwapPoll / 2)
		b.is(t, "a guest's event", picmg.M5)
		b.event(t, r, v1.Speaker_SPEAKER_CONTROLLER)
		b.is(t, "a controller's", picmg.M1, picmg.SetInactive, picmg.Quiesced)

		b.set(picmg.M4)
		for range 3 { // whatever is said, the sensor counts
			b.event(t, r, v1.Speaker_SPEAKER_CONTROLLER)
		}
		b.is(t, "events of what is over", picmg.M4)

		b.set(picmg.M2)
		time.Sleep(2 * hotSwapPoll)
		b.is(t, "nobody told", picmg.M4, picmg.SetActive, picmg.PowerUp)
	})
}

// A new leader goes on in the middle of an activation.
func TestHotSwapResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(t)
		first, second := newReplica(c, 1), newReplica(c, 2)
		b := &fakeBoard{fru: picmg.HotSwap{State: picmg.M2}, refuse: ipmb.ErrBusy}
		stop := first.lead(t)
		epoch := first.claim(t, 0x41, 1)
		first.bus.attach(blade1, epoch, b.serve)
		first.Attached(0x41, epoch, true)
		time.Sleep(10 * time.Second)
		b.is(t, "a busy board", picmg.M2)
		if b.reads < 3 || !first.slot(t, 0x41).EventReceiverSet {
			t.Errorf("asked %d times", b.reads)
		}
		stop()
		b.set(picmg.M3)
		b.refuse = 0
		second.bus.attach(blade1, epoch, b.serve)
		defer second.lead(t)()
		b.is(t, "the next leader", picmg.M4, picmg.PowerUp)
	})
}

// A board that does not say where it is is left alone, and so is a server.
func TestHotSwapUnknown(t *testing.T) {
	inShelf(t, picmg.M4, func(t *testing.T, r *replica, b *fakeBoard) {
		b.set(picmg.M2)
		b.mu.Lock()
		b.silent = true
		b.mu.Unlock()
		b.event(t, r, v1.Speaker_SPEAKER_CONTROLLER)
		b.is(t, "silent", picmg.M2)
		sl := r.slot(t, 0x41)
		if sl.Profile = "server"; r.swaps.due(sl, time.Now().Add(time.Hour)) {
			t.Error("a server is asked")
		}
	})
}
