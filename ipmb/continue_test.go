package ipmb_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// A request outlives its requester's process: the next one sends it under the
// same id and number, gives neither to another request, and takes the answer.
func TestRequesterContinues(t *testing.T) {
	var sent []ipmb.Message
	var r *ipmb.Requester
	bus := ipmb.BusFunc(func(_ context.Context, m ipmb.Message) error {
		sent = append(sent, m)
		if len(sent) > 1 {
			answer := m
			answer.Frame = m.Frame.Reply(ipmb.Response{Data: []byte{7}})
			r.Deliver(answer)
		}
		return nil
	})
	r = ipmb.NewRequester(bus, self, "node", 100)
	req := &ipmb.Request{NetFn: ipmb.NetFnStorage, Cmd: 0x44, Data: make([]byte, 16)}
	first, err := r.Start(0x20, req)
	if err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := first.Wait(ended, ipmb.ControllerRhythm); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}

	r = ipmb.NewRequester(bus, self, "node", 1)
	again, err := r.Continue(first.Message())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Continue(first.Message()); !errors.Is(err, ipmb.ErrBusy) {
		t.Errorf("continued twice: %v", err)
	}
	other, err := r.Start(0x20, req)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := again.Message(), other.Message(); b.ID <= a.ID || b.Frame.Seq == a.Frame.Seq {
		t.Errorf("a new request got id %d seq %d beside id %d seq %d", b.ID, b.Frame.Seq, a.ID, a.Frame.Seq)
	}
	answer, err := again.Wait(t.Context(), ipmb.Rhythm{time.Minute})
	if err != nil || len(answer.Data) != 1 {
		t.Fatalf("%+v, %v", answer, err)
	}
	if sent[0].ID != sent[1].ID || sent[0].Frame.Seq != sent[1].Frame.Seq {
		t.Errorf("sent as %+v, then as %+v", sent[0], sent[1])
	}
	if _, err := other.Wait(t.Context(), ipmb.Rhythm{time.Minute}); err != nil || r.Pending() != 0 {
		t.Errorf("%v, %d pending", err, r.Pending())
	}
}
