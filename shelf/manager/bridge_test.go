package manager

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// ipmitool -T 0x20 -t 0x84: a Send Message in the middle, and the whole frame
// that answered in its response. Who asks stays who he is.
func TestBridge(t *testing.T) {
	r := leading(t)
	var got ipmb.Request
	r.bus.attach(blade2, 1, func(_ context.Context, req *ipmb.Request) ipmb.Response {
		got = *req
		return ipmb.Response{Code: ipmb.OK, Data: []byte{0x20, 0x01}}
	})
	inner := request(blade2, 0x81, ipmb.NetFnApp, 0x01)
	inner.Seq, inner.FromLUN = 9, 2
	code, data := r.ask(t, r.message(blade1, ipmb.SpeakerGuest, ipmb.NetFnApp, ipmb.CmdSendMessage, wrap(t, inner)...))
	f, err := ipmb.ParseFrame(data)
	if code != ipmb.OK || err != nil {
		t.Fatalf("%v, %v", code, err)
	}
	if want := inner.Reply(ipmb.Response{Data: []byte{0x20, 0x01}}); f.String() != want.String() {
		t.Errorf("embedded %s, want %s", f, want)
	}
	o := got.Origin
	if o.Speaker != ipmb.SpeakerGuest || o.Privilege != ipmb.PrivilegeOperator || o.SourceLUN != 2 {
		t.Errorf("origin at the target: %+v", o)
	}
	sent := r.bus.frames()
	if len(sent) != 1 || sent[0].Frame.From != ipmb.AddrShelfManager || sent[0].Term != 1 {
		t.Errorf("sent %+v", sent)
	}
}

func TestBridgeRefuses(t *testing.T) {
	r := leading(t)
	good := request(blade2, blade1, ipmb.NetFnApp, 0x01)
	answer := good.Reply(ipmb.Response{})
	broken := wrap(t, good)
	broken[len(broken)-1]++
	deep := good
	for range ipmb.MaxNesting + 1 {
		deep = request(ipmb.AddrShelfManager, blade1, ipmb.NetFnApp, ipmb.CmdSendMessage, wrap(t, deep)...)
	}
	tests := []struct {
		what string
		data []byte
		want ipmb.CompletionCode
	}{
		{"nobody there", wrap(t, good), ipmb.ErrNAK},
		{"a response", wrap(t, answer), ipmb.ErrInvalidField},
		{"a bad checksum", broken, ipmb.ErrInvalidField},
		{"a broadcast", append([]byte{0x40, 0x00}, wrap(t, good)[1:]...), ipmb.ErrInvalidField},
		{"an odd address", wrap(t, request(0x85, blade1, ipmb.NetFnApp, 0x01)), ipmb.ErrInvalidField},
		{"nested too deep", wrap(t, deep), ipmb.ErrInvalidField},
	}
	for _, tt := range tests {
		for _, speaker := range []ipmb.Speaker{ipmb.SpeakerGuest, ipmb.SpeakerController} {
			if code, _ := r.ask(t, r.message(blade1, speaker, ipmb.NetFnApp, ipmb.CmdSendMessage, tt.data...)); code != tt.want {
				t.Errorf("%s by %v: %v, want %v", tt.what, speaker, code, tt.want)
			}
		}
	}
}

// Repeats of a bridged request join the first; it is sent on once.
func TestBridgeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(newFakeCluster(t), 1)
		defer r.lead(t)()
		done := 0
		r.bus.attach(blade2, 1, func(context.Context, *ipmb.Request) ipmb.Response {
			time.Sleep(500 * time.Millisecond)
			done++
			return ipmb.Response{Data: []byte{byte(done)}}
		})
		m := r.message(blade1, ipmb.SpeakerGuest, ipmb.NetFnApp, ipmb.CmdSendMessage, wrap(t, request(blade2, blade1, ipmb.NetFnApp, 0x01))...)
		answers := make(chan ipmb.Message, 3)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				a, _ := r.Serve(context.Background(), m)
				answers <- a
			})
			time.Sleep(10 * time.Millisecond)
		}
		wg.Wait()
		first := <-answers
		for range 2 {
			if a := <-answers; !bytes.Equal(a.Frame.Data, first.Frame.Data) || len(a.Frame.Data) == 0 {
				t.Errorf("answers % x and % x", first.Frame.Data, a.Frame.Data)
			}
		}
		if done != 1 {
			t.Errorf("done %d times", done)
		}
	})
}

// A silent controller gives C3h in time for the requester's own last try.
func TestBridgeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(newFakeCluster(t), 1)
		defer r.lead(t)()
		r.bus.attach(blade2, 1, silent)
		start := time.Now()
		m := r.message(blade1, ipmb.SpeakerGuest, ipmb.NetFnApp, ipmb.CmdSendMessage, wrap(t, request(blade2, blade1, ipmb.NetFnApp, 0x01))...)
		if code, _ := r.ask(t, m); code != ipmb.ErrTimeout || time.Since(start) > forwardPatience {
			t.Errorf("%v after %v", code, time.Since(start))
		}
	})
}

func TestForwardsAreBounded(t *testing.T) {
	f := forwards{known: make(map[forwardName]*forwarded)}
	for id := range uint64(3 * forwardsKept) {
		f.do(t.Context(), ipmb.Origin{Instance: "node", ID: id + 1}, func() (ipmb.Response, error) { return ipmb.Response{}, nil })
	}
	if len(f.known) != forwardsKept || len(f.done) != forwardsKept {
		t.Errorf("%d known, %d in order, want %d", len(f.known), len(f.done), forwardsKept)
	}
}
