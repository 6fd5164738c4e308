package node

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// forGuest is a request of another board's guest to this one's software.
func forGuest(id uint64, seq uint8) ipmb.Message {
	f := request(self, seq, 0x30, 0x11, 0x22)
	f.From, f.ToLUN = other, ipmb.LUNSMS
	return ipmb.Message{ID: id, Instance: "other", Frame: f, Origin: ipmb.Origin{Speaker: ipmb.SpeakerGuest}, Plane: ipmb.PlaneB}
}

func TestSoftwareIsAsked(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		b.Deliver(t.Context(), forGuest(7, 9))
		b.Deliver(t.Context(), forGuest(7, 9)) // its sender's second try
		b.line.wait(t)
		asked := b.received()
		if len(asked) != 1 {
			t.Fatalf("asked %v", asked)
		}
		// As captured from Linux: 00 c2 1e 84 26 11 22 …, own address left out.
		want := ipmb.Frame{To: self, NetFn: 0x30, ToLUN: 2, From: other, FromLUN: 2, Seq: 9, Cmd: 0x11, Data: []byte{0x22}}
		if asked[0].String() != want.String() {
			t.Errorf("asked %s, want %s", asked[0], want)
		}
		answer := asked[0].Reply(ipmb.Response{Data: []byte{0xCA, 0xFE}})
		answer.From = 0x20 // as Linux writes it without an address of its own
		if code := b.send(answer); code != ipmb.OK {
			t.Fatal(code)
		}
		m := b.bus.wait(t, 1)[0]
		if m.ID != 7 || m.Instance != "other" || m.Plane != ipmb.PlaneB || m.Frame.From != self || m.Frame.To != other ||
			m.Frame.ToLUN != 2 || m.Frame.FromLUN != 2 || m.Frame.Seq != 9 || string(m.Frame.Data) != "\x00\xca\xfe" {
			t.Errorf("answer on the bus: %+v", m)
		}
		b.send(answer) // twice: nobody waits for it any more
		synctest.Wait()
		if n := len(b.bus.messages()); n != 1 {
			t.Errorf("%d messages", n)
		}
	})
}

func TestSoftwareIsLate(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		b.Deliver(t.Context(), forGuest(7, 9))
		asked := b.received()
		time.Sleep(guestPatience)
		b.send(asked[0].Reply(ipmb.Response{}))
		synctest.Wait()
		if n := len(b.bus.messages()); n != 0 {
			t.Errorf("%d messages", n)
		}
	})
}

// The same number with another id is another request.
func TestSoftwareIsAskedAnew(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		b.Deliver(t.Context(), forGuest(7, 9))
		b.Deliver(t.Context(), forGuest(8, 9))
		asked := b.received()
		if len(asked) != 2 {
			t.Fatalf("asked %v", asked)
		}
		b.send(asked[1].Reply(ipmb.Response{}))
		if m := b.bus.wait(t, 1)[0]; m.ID != 8 {
			t.Errorf("answered %d", m.ID)
		}
	})
}

func TestSoftwareLimit(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		ask := func(i int) {
			m := forGuest(uint64(100+i), uint8(i%64))
			m.Frame.From = ipmb.Addr(0x84 + 2*(i/64))
			b.Deliver(t.Context(), m)
		}
		for i := range askLimit {
			ask(i)
		}
		b.received()
		ask(askLimit)
		m := b.bus.wait(t, 1)[0]
		if r, _ := m.Frame.Response(); r.Code != ipmb.ErrBusy || m.ID != 100+askLimit {
			t.Errorf("above the limit: %s", m.Frame)
		}
		time.Sleep(guestPatience)
		ask(askLimit)
		if got := b.received(); len(got) != 1 {
			t.Errorf("after the guest's patience: %v", got)
		}
	})
}
