package manager

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/state"
)

func hello(hw uint32, instance byte, boot uint64) *v1.NodeHello {
	return &v1.NodeHello{
		Shelf: "lab", HardwareAddress: hw, Instance: bytes.Repeat([]byte{instance}, 16), Boot: boot,
		Outbox: bytes.Repeat([]byte{instance}, 16),
	}
}

func TestClaimRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(newFakeCluster(t), 1)
		if a := r.Claim(t.Context(), hello(0x41, 'a', 5)); a.GetEpoch() != 1 || a.GetRefusal() != nil {
			t.Fatalf("first claim: %v", a)
		}
		tests := []struct {
			what  string
			hello *v1.NodeHello
			want  v1.RefusalCode
			retry uint32
		}{
			{"another instance", hello(0x41, 'b', 1), v1.RefusalCode_REFUSAL_CODE_CLAIMED, uint32(state.DefaultLease.Milliseconds())},
			{"an older boot", hello(0x41, 'a', 4), v1.RefusalCode_REFUSAL_CODE_SUPERSEDED, 0},
			{"a slot that is not there", hello(0x50, 'a', 4), v1.RefusalCode_REFUSAL_CODE_UNKNOWN_SLOT, 0},
			{"no instance", &v1.NodeHello{Shelf: "lab", HardwareAddress: 0x41}, v1.RefusalCode_REFUSAL_CODE_MALFORMED, 0},
		}
		for _, tt := range tests {
			a := r.Claim(t.Context(), tt.hello)
			if a.GetRefusal().GetCode() != tt.want || a.GetRefusal().GetRetryAfterMs() != tt.retry || a.GetRefusal().GetMessage() == "" {
				t.Errorf("%s: %v", tt.what, a)
			}
		}
		r.raft.set(func(f *fakeRaft) { f.deaf = true })
		if a := r.Claim(t.Context(), hello(0x42, 'a', 1)); a.GetRefusal().GetCode() != v1.RefusalCode_REFUSAL_CODE_NO_QUORUM {
			t.Errorf("without quorum: %v", a)
		}
	})
}

func TestEventsAndDetach(t *testing.T) {
	r := newReplica(newFakeCluster(t), 1)
	epoch := r.Claim(t.Context(), hello(0x41, 'a', 1)).GetEpoch()
	run := func(epoch, first, last uint64) *v1.EventAck {
		e := &v1.RelayEvents{Shelf: "lab", HardwareAddress: 0x41, Outbox: bytes.Repeat([]byte{'a'}, 16), Epoch: epoch}
		for n := first; n <= last; n++ {
			e.Events = append(e.Events, &v1.Event{N: n, Body: unhex(t, "04 01 30 01 09 ff ff"), Speaker: v1.Speaker_SPEAKER_CONTROLLER})
		}
		return r.Events(context.Background(), e)
	}
	if a := run(epoch, 1, 3); a.GetLast() != 3 || a.GetResendFrom() != 0 {
		t.Errorf("a run: %v", a)
	}
	if a := run(epoch, 6, 7); a.GetLast() != 3 || a.GetResendFrom() != 4 {
		t.Errorf("a gap: %v", a)
	}
	if a := run(epoch+1, 4, 4); a != nil {
		t.Errorf("an epoch that is not: %v", a)
	}
	if a := r.Claim(t.Context(), hello(0x41, 'a', 1)); a.GetLastEvent() != 3 || a.GetEpoch() != epoch {
		t.Errorf("claimed again: %v", a)
	}
	r.raft.set(func(f *fakeRaft) { f.ambiguous = true })
	if a := run(epoch, 4, 4); a != nil {
		t.Errorf("outcome unknown: %v", a)
	}
	r.raft.set(func(f *fakeRaft) { f.ambiguous = false })
	if a := run(epoch, 4, 5); a.GetLast() != 5 {
		t.Errorf("again: %v", a)
	}
	if n := len(r.cfg.State.Log("lab", 0, 0)); n != 5 {
		t.Errorf("%d events logged, want 5", n)
	}
	r.Detach(t.Context(), 0x41, epoch)
	if sl, _ := r.cfg.State.Slot("lab", 0x41); sl.Held {
		t.Error("still held after the node left")
	}
	if a := r.Claim(t.Context(), hello(0x41, 'b', 1)); a.GetEpoch() != epoch+1 {
		t.Errorf("another instance after that: %v", a)
	}
}

func TestClaimRefusalKeepsTheWaitShort(t *testing.T) {
	now := time.Unix(1000, 0)
	a := &v1.Answer{Reason: v1.RefusalReason_REFUSAL_REASON_HELD, Until: now.Add(-time.Second).UnixNano()}
	if got := claimRefusal(a, now).GetRetryAfterMs(); got != 1 {
		t.Errorf("a lease that is over: retry after %d ms", got)
	}
}
