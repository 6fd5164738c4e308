package manager

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/state"
)

func TestRedundancy(t *testing.T) {
	tests := []struct {
		voters, reachable int
		want              uint8
	}{
		{0, 0, redundancyNone},
		{1, 1, redundancyNone},
		{2, 2, redundancyNone},
		{3, 3, redundancyFull},
		{3, 2, redundancyLost},
		{4, 4, redundancyFull},
		{4, 3, redundancyLost},
		{5, 5, redundancyFull},
		{5, 4, redundancyDegraded},
		{5, 3, redundancyLost},
		{5, 1, redundancyLost},
	}
	for _, tt := range tests {
		if got := redundancy(tt.voters, tt.reachable); got != tt.want {
			t.Errorf("%d of %d: %d, want %d", tt.reachable, tt.voters, got, tt.want)
		}
	}
}

// counted is a replica in office of which three have a vote.
func counted(t *testing.T, c *fakeCluster, term uint64, reachable *atomic.Int64) (r *replica, stop func()) {
	t.Helper()
	r = newReplica(c, term)
	cfg := r.cfg
	cfg.Replicas = func() (int, int) { return 3, int(reachable.Load()) }
	r.Manager = New(cfg)
	return r, r.lead(t)
}

// reading is what Get Sensor Reading says of the states, -1 while it knows none.
func (r *replica) reading(t testing.TB, number uint8) int {
	t.Helper()
	code, data := r.ask(t, r.message(blade1, ipmb.SpeakerGuest, ipmb.NetFnSensor, 0x2D, number))
	switch {
	case code != ipmb.OK || len(data) != 4:
		t.Fatalf("reading of %d: %v % x", number, code, data)
	case data[1]&0x20 != 0:
		return -1
	}
	return int(data[2])
}

// told is what the shelf's log has of 0x20's own sensors: number and event data.
func (r *replica) told(t testing.TB) (out []string) {
	t.Helper()
	for _, e := range r.cfg.State.Log("lab", 0, 0) {
		if e.Record[2] != 0x02 || e.Record[7] != byte(ipmb.AddrShelfManager) || e.Record[11] > 2 || e.Record[11] == 0 {
			continue
		}
		if e.Source != ipmb.AddrShelfManager || e.Speaker != v1.Speaker_SPEAKER_CONTROLLER {
			t.Errorf("logged as %v's, %v", e.Source, e.Speaker)
		}
		out = append(out, fmt.Sprintf("%d: %x", e.Record[11], e.Record[12:]))
	}
	return out
}

// What becomes of the replicas is in the sensor and in the log, once, also when
// the leader is the one that went. A short absence is nothing.
func TestReplicasSensor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(t)
		var reachable atomic.Int64
		reachable.Store(3)
		first, stop := counted(t, c, 1, &reachable)
		settle := func() {
			time.Sleep(replicasSettle + 2*lookAgain)
			synctest.Wait()
		}
		if got := first.reading(t, 1); got != -1 {
			t.Errorf("before it has settled: %#x", got)
		}
		settle()
		if got := first.reading(t, 1); got != 1<<redundancyFull || len(first.told(t)) != 0 {
			t.Errorf("at first: %#x, told %v", got, first.told(t))
		}
		reachable.Store(2)
		time.Sleep(replicasSettle / 2)
		reachable.Store(3)
		settle()
		if len(first.told(t)) != 0 {
			t.Errorf("a short absence: %v", first.told(t))
		}
		stop()
		reachable.Store(2)
		second, stop := counted(t, c, 2, &reachable)
		settle()
		want := []string{"1: 0b01ffff"}
		if got := second.reading(t, 1); got != 1<<redundancyLost || !cmp.Equal(want, second.told(t)) {
			t.Errorf("one is lost: %#x, told %v", got, second.told(t))
		}
		stop()
		third, stop := counted(t, c, 3, &reachable)
		defer stop()
		settle()
		if !cmp.Equal(want, third.told(t)) {
			t.Errorf("as it was, told again: %v", third.told(t))
		}
		third.raft.set(func(r *fakeRaft) { r.deaf = true })
		reachable.Store(3)
		settle()
		third.raft.set(func(r *fakeRaft) { r.deaf = false })
		settle()
		want = append(want, "1: 0b00ffff")
		if got := third.reading(t, 1); got != 1<<redundancyFull || !cmp.Equal(want, third.told(t)) {
			t.Errorf("all are back, which raft took late: %#x, told %v", got, third.told(t))
		}
	})
}

// The log tells when it is almost full, when it is full, and when it no longer is.
func TestEventLogSensor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(t)
		c.fsm = state.NewFSM(state.New(state.Config{SELLimit: 20}), nil)
		c.apply(t, &v1.Command{Kind: &v1.Command_SetShelf{SetShelf: &v1.SetShelf{Shelf: "lab", Guid: make([]byte, 16)}}})
		r := newReplica(c, 1).trusting()
		defer r.lead(t)()
		record := append([]byte{0, 0, 0xF0}, make([]byte, 13)...)
		add := func(n int) {
			for range n {
				r.ask(t, r.message(blade1, ipmb.SpeakerController, ipmb.NetFnStorage, 0x44, record...))
			}
			time.Sleep(2 * lookAgain)
			synctest.Wait()
		}
		add(17)
		if got := r.reading(t, 2); got != 0 || len(r.told(t)) != 0 {
			t.Errorf("85 percent: %#x, %v", got, r.told(t))
		}
		add(1)
		add(5)
		if got := r.reading(t, 2); got != 1<<logFull|1<<logAlmostFull {
			t.Errorf("full: %#x", got)
		}
		code, id := r.ask(t, r.message(blade1, ipmb.SpeakerController, ipmb.NetFnStorage, 0x42))
		if code != ipmb.OK {
			t.Fatalf("reserve: %v", code)
		}
		r.ask(t, r.message(blade1, ipmb.SpeakerController, ipmb.NetFnStorage, cmdClearSEL, id[0], id[1], 'C', 'L', 'R', 0xAA))
		add(0)
		if got := r.reading(t, 2); got != 0 {
			t.Errorf("cleared: %#x", got)
		}
		want := []string{"2: 6f35ff5a", "2: 6f34ff64", "2: ef34ff05", "2: ef35ff05"}
		if d := cmp.Diff(want, r.told(t)); d != "" {
			t.Errorf("events (-want +got):\n%s", d)
		}
	})
}
