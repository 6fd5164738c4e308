package node

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// inTime runs f in virtual time with a board.
func inTime(t *testing.T, f func(t *testing.T, b *board)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newBoard(t, ProfileATCA)) })
}

// echo answers a request with the data that it came with.
func echo(m ipmb.Message) (ipmb.Response, bool) { return ipmb.Response{Data: m.Frame.Data}, true }

// The node's address and number stand on the bus, whatever the guest wrote;
// the guest gets its answer under its own number.
func TestAskOther(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		b.bus.on(func(ipmb.Message) (ipmb.Response, bool) { return ipmb.Response{Data: []byte{0x20, 0x81}}, true })
		for i, forged := range []ipmb.Addr{0x20, 0x84, self} {
			f := getDeviceID(other, 33)
			f.From, f.Seq = forged, f.Seq+uint8(i)
			if code := b.send(f); code != ipmb.OK {
				t.Fatalf("Send Message: %v", code)
			}
			b.line.wait(t)
			synctest.Wait()
			got := b.bus.messages()[i]
			if got.Frame.From != self || got.Frame.FromLUN != ipmb.LUNSMS || got.Origin.Speaker != ipmb.SpeakerGuest ||
				got.Origin.Privilege > ipmb.PrivilegeOperator || got.Origin.Source != self {
				t.Errorf("on the bus: %s, %+v", got.Frame, got.Origin)
			}
			answers := b.received()
			if len(answers) != 1 {
				t.Fatalf("%d answers", len(answers))
			}
			want := ipmb.Frame{To: self, NetFn: 7, ToLUN: 2, From: other, Seq: f.Seq, Cmd: 1, Data: []byte{0, 0x20, 0x81}}
			if a := answers[0]; a.String() != want.String() {
				t.Errorf("answer %s, want %s", a, want)
			}
			if up, _, _ := b.line.state(); up {
				t.Error("attention stays with an empty queue")
			}
		}
	})
}

// Retries join the request that is on its way; the node itself repeats it, too.
func TestRetriesJoin(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		for range 4 { // at 0, 1, 2 and 3 s
			if code := b.send(getDeviceID(other, 5)); code != ipmb.OK {
				t.Fatal(code)
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		sent := b.bus.messages()
		if len(sent) != 3 { // the node's own tries at 0, 2 and 4 s
			t.Fatalf("%d messages", len(sent))
		}
		for _, m := range sent {
			if m.ID != sent[0].ID || m.Frame.Seq != sent[0].Frame.Seq {
				t.Errorf("%s with id %d, first %s with id %d", m.Frame, m.ID, sent[0].Frame, sent[0].ID)
			}
		}
		b.Deliver(t.Context(), answerTo(sent[0], ipmb.Response{}))
		synctest.Wait()
		b.Deliver(t.Context(), answerTo(sent[0], ipmb.Response{}))  // that of the second try
		if code := b.send(getDeviceID(other, 5)); code != ipmb.OK { // a retry that crossed the answer
			t.Fatal(code)
		}
		synctest.Wait()
		if got := b.received(); len(got) != 1 || len(b.bus.messages()) != 3 {
			t.Errorf("%d answers, %d messages", len(got), len(b.bus.messages()))
		}
	})
}

func TestEqualRequestsAreAllSent(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		b.bus.on(echo)
		for i := range 200 {
			f := request(ipmb.AddrShelfManager, uint8(i%64), ipmb.NetFnStorage, 0x44, make([]byte, 16)...)
			if code := b.send(f); code != ipmb.OK {
				t.Fatal(code)
			}
			synctest.Wait()
			if got := b.received(); len(got) != 1 || got[0].Seq != uint8(i%64) {
				t.Fatalf("request %d: %v", i, got)
			}
		}
		if n := len(b.bus.messages()); n != 200 {
			t.Errorf("%d messages", n)
		}
	})
}

// A request that failed is forgotten: the guest's retry is a new one.
func TestFailuresAreForgotten(t *testing.T) {
	for name, code := range map[string]error{"the stream is full": ipmb.ErrBusy, "something is wrong": context.DeadlineExceeded} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, b *board) {
				b.bus.refuseWith(code)
				if code := b.send(getDeviceID(other, 5)); code != ipmb.OK {
					t.Fatal(code)
				}
				synctest.Wait()
				if got := b.received(); len(got) != 0 {
					t.Fatalf("answered %v", got)
				}
				b.bus.refuseWith(nil)
				b.bus.on(echo)
				time.Sleep(time.Second)
				if code := b.send(getDeviceID(other, 5)); code != ipmb.OK {
					t.Fatal(code)
				}
				synctest.Wait()
				if got := b.received(); len(got) != 1 {
					t.Errorf("the retry got %d answers", len(got))
				}
			})
		})
	}
}

func TestNoAnswer(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		b.send(getDeviceID(other, 5))
		time.Sleep(ipmb.RetryWindow + time.Second)
		synctest.Wait()
		if got := b.received(); len(got) != 0 || b.requester.Pending() != 0 || b.asks.open != 0 {
			t.Errorf("%d answers, %d pending, %d open", len(got), b.requester.Pending(), b.asks.open)
		}
	})
}

func TestAbsent(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		b.bus.absent[other] = true
		if code := b.send(getDeviceID(other, 5)); code != ipmb.ErrDestination {
			t.Errorf("absent at once: %v", code)
		}
		b.bus.refuseWith(ipmb.ErrDestination) // it went between the look and the sending
		b.send(getDeviceID(third, 6))
		synctest.Wait()
		if got := b.received(); len(got) != 1 || got[0].Data[0] != byte(ipmb.ErrDestination) {
			t.Errorf("absent later: %v", got)
		}
	})
}

func TestOwnAddress(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		if code := b.send(getDeviceID(self, 5)); code != ipmb.OK {
			t.Fatal(code)
		}
		synctest.Wait()
		if got := b.received(); len(got) != 1 || got[0].From != self || len(got[0].Data) != 16 {
			t.Errorf("got %v", got)
		}
		// Software of this guest to software of this guest.
		f := request(self, 6, 0x30, 0x11, 0x22)
		f.ToLUN = ipmb.LUNSMS
		b.send(f)
		synctest.Wait()
		asked := b.received()
		if len(asked) != 1 {
			t.Fatalf("asked %v", asked)
		}
		b.send(asked[0].Reply(ipmb.Response{Data: []byte{0xCA}}))
		synctest.Wait()
		if got := b.received(); len(got) != 1 || got[0].Seq != 6 || got[0].Data[1] != 0xCA {
			t.Errorf("answered %v", got)
		}
		if n := len(b.bus.messages()); n != 0 {
			t.Errorf("%d messages left the board", n)
		}
	})
}

// The number of a request that is not answered is used again: what comes for
// the old one is not given to the guest as the answer to the new one.
func TestNumberUsedAgain(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		b.send(request(other, 5, ipmb.NetFnSensor, 0x2D, 1))
		synctest.Wait()
		b.send(request(other, 5, ipmb.NetFnSensor, 0x2D, 2))
		synctest.Wait()
		sent := b.bus.messages()
		b.Deliver(t.Context(), answerTo(sent[0], ipmb.Response{Data: []byte{1}}))
		b.Deliver(t.Context(), answerTo(sent[1], ipmb.Response{Data: []byte{2}}))
		synctest.Wait()
		if got := b.received(); len(got) != 1 || got[0].Data[1] != 2 {
			t.Errorf("got %v", got)
		}
	})
}

func TestForeignAnswers(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		b.send(getDeviceID(other, 5))
		synctest.Wait()
		m := b.bus.messages()[0]
		for name, spoil := range map[string]func(*ipmb.Message){
			"another id":       func(a *ipmb.Message) { a.ID++ },
			"another instance": func(a *ipmb.Message) { a.Instance = "x" },
			"another sender":   func(a *ipmb.Message) { a.Frame.From = third },
			"another command":  func(a *ipmb.Message) { a.Frame.Cmd++ },
			"another number":   func(a *ipmb.Message) { a.Frame.Seq++ },
			"another address":  func(a *ipmb.Message) { a.Frame.To = third },
		} {
			a := answerTo(m, ipmb.Response{})
			spoil(&a)
			b.Deliver(t.Context(), a)
			synctest.Wait()
			if got := b.received(); len(got) != 0 {
				t.Errorf("%s: guest got %v", name, got)
			}
		}
	})
}

// More requests than the limit are refused with C0h, which Linux takes for
// "wait and try again"; the receive queue has its limit too.
func TestAskLimit(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		sent := 0
		for i := range askLimit + 10 {
			switch code := b.send(getDeviceID(ipmb.Addr(0x84+2*(i/64)), uint8(i%64))); code {
			case ipmb.OK:
				sent++
			case ipmb.ErrBusy:
			default:
				t.Fatal(code)
			}
		}
		if sent != askLimit {
			t.Errorf("%d taken", sent)
		}
		synctest.Wait()
		for _, m := range b.bus.messages() {
			b.Deliver(t.Context(), answerTo(m, ipmb.Response{}))
		}
		synctest.Wait()
		if got := b.received(); len(got) != askLimit {
			t.Errorf("%d answers", len(got))
		}
		if n := len(b.asks.latest); n > answeredLimit {
			t.Errorf("%d answered requests kept", n)
		}
	})
}

func TestQueueLimit(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		b.bus.on(echo)
		for i := range queueLimit + 1 {
			b.send(getDeviceID(ipmb.Addr(0x84+2*(i/64)), uint8(i%64)))
			synctest.Wait()
		}
		last := len(b.bus.messages())
		if got := b.received(); len(got) != queueLimit {
			t.Fatalf("%d in the queue", len(got))
		}
		// The one that found no room is asked again, and heard at once.
		b.send(getDeviceID(0x84+2*queueLimit/64, queueLimit%64))
		synctest.Wait()
		if got := b.received(); len(got) != 1 || len(b.bus.messages()) != last+1 {
			t.Errorf("retry: %v", got)
		}
	})
}
