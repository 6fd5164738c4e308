package manager

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

func (r *replica) addSEL(n byte) ipmb.Message {
	record := bytes.Repeat([]byte{n}, 16)
	record[2] = 0xF0
	return r.message(blade1, ipmb.SpeakerGuest, ipmb.NetFnStorage, 0x44, record...)
}

// Every request with effect, committed by a leader that then dies without a
// word, and asked again at the next: one effect, and the answer it had.
func TestOnceAcrossLeaders(t *testing.T) {
	c := newFakeCluster(t)
	first, second := newReplica(c, 1).trusting(), newReplica(c, 2).trusting()
	stop := first.lead(t)
	first.ask(t, first.addSEL(1))
	controller := func(netFn ipmb.NetFn, cmd ipmb.Cmd, data ...byte) ipmb.Message {
		return first.message(blade1, ipmb.SpeakerController, netFn, cmd, data...)
	}
	nested := request(ipmb.AddrShelfManager, blade1, ipmb.NetFnSensor, 0x02, unhex(t, "04 01 30 01 09 ff ff")...)
	tests := []struct {
		what string
		m    ipmb.Message
		want string
	}{
		{"Add SEL Entry", first.addSEL(2), "\x02\x00"},
		{"Platform Event", controller(ipmb.NetFnSensor, 0x02, unhex(t, "04 01 30 01 09 ff ff")...), ""},
		{"nested Platform Event", controller(ipmb.NetFnApp, ipmb.CmdSendMessage, wrap(t, nested)...), "\x82\x14\x6a\x20\x04\x02\x00\xda"},
		{"Delete SEL Entry", controller(ipmb.NetFnStorage, cmdDeleteSEL, 0, 0, 1, 0), "\x01\x00"},
		{"Clear SEL", controller(ipmb.NetFnStorage, cmdClearSEL, 2, 0, 'C', 'L', 'R', 0xAA), "\x01"},
		{"Set SEL Time", controller(ipmb.NetFnStorage, cmdSetSELTime, 0, 0, 0, 0x40), ""},
	}
	first.raft.set(func(r *fakeRaft) { r.ambiguous = true })
	for _, tt := range tests {
		if _, ok := first.Serve(t.Context(), tt.m); ok {
			t.Errorf("%s: answered though the outcome was unknown", tt.what)
		}
	}
	stop()
	defer second.lead(t)()
	logged := len(c.fsm.Log("lab", 0, 0))
	for _, tt := range tests {
		for range 2 {
			if code, data := second.ask(t, tt.m); code != ipmb.OK || string(data) != tt.want {
				t.Errorf("%s: %v % x, want % x", tt.what, code, data, tt.want)
			}
		}
	}
	if n := len(c.fsm.Log("lab", 0, 0)); n != logged || n != 5 {
		t.Errorf("%d log entries, %d before the repeats, want 5", n, logged)
	}
}

// Nothing is answered by a replica that cannot be sure.
func TestNoAnswerWithoutQuorum(t *testing.T) {
	r := leading(t)
	reading := r.message(blade1, ipmb.SpeakerGuest, ipmb.NetFnApp, 0x01)
	adding := r.addSEL(1)
	refused := r.message(blade1, ipmb.SpeakerGuest, ipmb.NetFnApp, 0x02)
	tests := []struct {
		what string
		set  func(*fakeRaft)
		m    ipmb.Message
	}{
		{"a read without quorum", func(f *fakeRaft) { f.deaf = true }, reading},
		{"a change without quorum", func(f *fakeRaft) { f.deaf = true }, adding},
		{"a refusal without quorum", func(f *fakeRaft) { f.deaf = true }, refused},
		{"a change that may have been committed", func(f *fakeRaft) { f.ambiguous = true }, r.addSEL(2)},
		{"a read in a later term", func(f *fakeRaft) { f.term = 2 }, reading},
		{"a read after the last term", func(f *fakeRaft) { f.term = 0 }, reading},
	}
	for _, tt := range tests {
		r.raft.set(tt.set)
		if a, ok := r.Serve(t.Context(), tt.m); ok {
			t.Errorf("%s: answered %s", tt.what, a.Frame)
		}
		r.raft.set(func(f *fakeRaft) { f.deaf, f.ambiguous, f.term = false, false, 1 })
	}
	if code, _ := r.ask(t, reading); code != ipmb.OK {
		t.Errorf("with the quorum back: %v", code)
	}
}

// Between the announcement of a leader and its tenure requests wait a little.
func TestTenure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(newFakeCluster(t), 3)
		m := r.message(blade1, ipmb.SpeakerGuest, ipmb.NetFnApp, 0x01)
		start := time.Now()
		if _, ok := r.Serve(t.Context(), m); ok || time.Since(start) != tenurePatience {
			t.Errorf("without tenure: ok %v after %v", ok, time.Since(start))
		}
		answered := make(chan ipmb.Message, 1)
		go func() {
			a, _ := r.Serve(context.Background(), m)
			answered <- a
		}()
		synctest.Wait()
		stop := r.lead(t)
		if a := <-answered; a.Term != 3 || !a.Frame.IsResponse() {
			t.Errorf("answer %+v, want one of term 3", a)
		}
		stop()
		if _, ok := r.Serve(t.Context(), m); ok {
			t.Error("answered after the tenure")
		}
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if _, ok := r.Serve(cancelled, m); ok {
			t.Error("answered a caller that went away")
		}
	})
}

// A tenure that ends takes the requests in it along.
func TestTenureEndsUnderARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(newFakeCluster(t), 1)
		stop := r.lead(t)
		r.bus.attach(blade2, 1, silent)
		inner := request(blade2, blade1, ipmb.NetFnApp, 0x01)
		done := make(chan bool, 1)
		go func() {
			_, ok := r.Serve(context.Background(), r.message(blade1, ipmb.SpeakerGuest, ipmb.NetFnApp, ipmb.CmdSendMessage, wrap(t, inner)...))
			done <- ok
		}()
		synctest.Wait()
		stop()
		if <-done {
			t.Error("answered after the tenure")
		}
	})
}

func silent(context.Context, *ipmb.Request) ipmb.Response {
	return ipmb.Response{Code: ipmb.ErrNoResponse}
}
