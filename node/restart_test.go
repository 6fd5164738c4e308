package node

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// How a node ends, and the next one begins.
var ends = map[string]func(*board){
	"planned": func(b *board) { b.stop(); b.start() },
	"killed":  func(b *board) { b.kill(); b.start() },
}

func eachEnd(t *testing.T, f func(t *testing.T, b *board, restart func())) {
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, b *board) { f(t, b, func() { end(b) }) })
		})
	}
}

func TestSettingsAreKept(t *testing.T) {
	eachEnd(t, func(t *testing.T, b *board, restart func()) {
		b.guest("06 2e 0f")
		b.shelf("04 00 20 01")
		b.event()
		guid, sdr, log := b.guest("06 08"), b.guest("0a 20"), b.guest("0a 43 00 00 00 00 00 ff")
		next := b.requester
		time.Sleep(time.Hour)
		restart()
		b.wantAnswers(map[string]string{
			"06 2f": "00 0f", "04 01": "00 20 01", "06 08": guid, "0a 20": sdr, "0a 43 00 00 00 00 00 ff": log,
		})
		if _, on, _ := b.line.state(); !on {
			t.Error("interrupts are off")
		}
		old, err := next.Start(other, &ipmb.Request{})
		if err != nil {
			t.Fatal(err)
		}
		now, err := b.requester.Start(other, &ipmb.Request{})
		if err != nil || now.Message().ID <= old.Message().ID {
			t.Errorf("id %d after %d: %v", now.Message().ID, old.Message().ID, err)
		}
	})
}

// What software put into the repository and told the SEL device outlives the
// node, and so do the clocks that it set.
func TestRepositoriesAreKept(t *testing.T) {
	eachEnd(t, func(t *testing.T, b *board, restart func()) {
		for _, ask := range []string{
			"0a 24 00 00 51 c0 04 00 31 5a 00", "0a 29 00 00 00 60", "0a 49 00 00 00 50",
			"0a 5b 00 01 02 03 04 05 00 00 00", "0a 5d c4 ff", "0a 44 00 00 f0 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d",
		} {
			if got := b.guest(ask); got[:2] != "00" {
				t.Fatalf("%s: %s", ask, got)
			}
		}
		reads := []string{"0a 20", "0a 21", "0a 22", "0a 23 00 00 00 40 00 ff", "0a 40", "0a 42", "0a 43 00 00 ff ff 00 ff", "0a 5a 00", "0a 5c"}
		var before []string
		for _, ask := range reads {
			before = append(before, b.guest(ask))
		}
		time.Sleep(time.Hour)
		restart()
		for i, ask := range reads {
			if got := b.guest(ask); got != before[i] || got[:2] != "00" {
				t.Errorf("%s: %s, was %s", ask, got, before[i])
			}
		}
		b.wantAnswers(map[string]string{"0a 28": "00 10 0e 00 60", "0a 48": "00 10 0e 00 50"}) // an hour later
	})
}

// A locator that changes changes the repository's time.
func TestRepositoryChanges(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		before := b.guest("0a 20")
		time.Sleep(time.Hour)
		b.id.Name = "a name that is too long for it\x00☃"
		b.stop()
		b.start()
		if got := b.guest("0a 20"); got == before {
			t.Errorf("unchanged: %s", got)
		}
	})
}

func TestQueueIsKept(t *testing.T) {
	eachEnd(t, func(t *testing.T, b *board, restart func()) {
		b.guest("06 2e 0c")
		b.event()
		b.push(3)
		restart()
		if got := b.guest("06 31"); got != "00 03" {
			t.Errorf("flags %s", got)
		}
		if up, _, _ := b.line.state(); !up {
			t.Error("no attention")
		}
		if got := b.guest("06 35"); len(got) < 4 {
			t.Errorf("event %s", got)
		}
		got := b.received()
		if len(got) != 3 || got[0].Seq != 0 || got[2].Seq != 2 {
			t.Errorf("queue %v", got)
		}
		restart()
		if got := b.guest("06 31"); got != "00 00" {
			t.Errorf("flags in the end %s", got)
		}
	})
}

// A message that was being fetched when the node was killed is given again;
// after a planned end the guest has it.
func TestMessageBeingFetched(t *testing.T) {
	for name, want := range map[string]int{"planned": 0, "killed": 1} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, b *board) {
				b.push(1)
				b.guest("06 33")
				ends[name](b)
				if got := b.received(); len(got) != want {
					t.Errorf("%d messages, want %d", len(got), want)
				}
			})
		})
	}
}

// What a guest asked of others goes on under the same id; its retries join, the
// answer comes once.
func TestAsksGoOn(t *testing.T) {
	eachEnd(t, func(t *testing.T, b *board, restart func()) {
		add := request(ipmb.AddrShelfManager, 5, ipmb.NetFnStorage, 0x44, make([]byte, 16)...)
		b.send(add)
		b.bus.wait(t, 1)
		restart()
		b.send(add)
		sent := b.bus.wait(t, 2)
		synctest.Wait()
		if sent[0].ID != sent[1].ID || sent[0].Instance != sent[1].Instance || sent[0].Frame.String() != sent[1].Frame.String() {
			t.Fatalf("sent %+v, then %+v", sent[0], sent[1])
		}
		if sent[1].Origin != sent[0].Origin {
			t.Errorf("origin %+v, then %+v", sent[0].Origin, sent[1].Origin)
		}
		time.Sleep(ipmb.EarliestRetry) // the answer is late: a retry may be on its way
		for range 2 {                  // to either process
			b.Deliver(t.Context(), answerTo(sent[1], ipmb.Response{Data: []byte{1, 0}}))
		}
		synctest.Wait()
		if got := b.received(); len(got) != 1 || got[0].Seq != 5 {
			t.Fatalf("answers %v", got)
		}
		restart()
		b.send(add) // a retry that crossed the answer
		synctest.Wait()
		if n := len(b.bus.messages()); n != 2 {
			t.Errorf("%d messages", n)
		}
	})
}

// A retry that crossed a late answer is known to the next process too.
func TestLateAnswerThenRestart(t *testing.T) {
	eachEnd(t, func(t *testing.T, b *board, restart func()) {
		add := request(ipmb.AddrShelfManager, 5, ipmb.NetFnStorage, 0x44, make([]byte, 16)...)
		b.send(add)
		sent := b.bus.wait(t, 1)
		time.Sleep(ipmb.RetryWindow - time.Second)
		b.Deliver(t.Context(), answerTo(sent[0], ipmb.Response{Data: []byte{1, 0}}))
		synctest.Wait()
		if got := b.received(); len(got) != 1 {
			t.Fatalf("answers %v", got)
		}
		time.Sleep(time.Second)
		restart()
		b.send(add)
		synctest.Wait()
		for _, m := range b.bus.messages() {
			if m.ID != sent[0].ID {
				t.Errorf("sent again as %x", m.ID)
			}
		}
	})
}

// An answer that the guest has not fetched when its node is killed does not
// bring the number to rest, however fast it came: the guest repeats the request
// and must not be heard twice.
func TestAnswerNotFetched(t *testing.T) {
	for name, f := range map[string]func(b *board){
		"in the queue":  func(*board) {},
		"being fetched": func(b *board) { b.guest("06 33") },
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, b *board) {
				add := request(ipmb.AddrShelfManager, 5, ipmb.NetFnStorage, 0x44, make([]byte, 16)...)
				b.send(add)
				sent := b.bus.wait(t, 1)
				b.Deliver(t.Context(), answerTo(sent[0], ipmb.Response{Data: []byte{1, 0}}))
				synctest.Wait()
				f(b)
				ends["killed"](b)
				time.Sleep(2 * ipmb.EarliestRetry) // the interface is stuck meanwhile
				b.send(add)
				synctest.Wait()
				if n := len(b.bus.messages()); n != 1 {
					t.Errorf("%d messages", n)
				}
				if got := b.received(); len(got) != 1 || got[0].Seq != 5 {
					t.Errorf("answers %v", got)
				}
				b.send(add) // another retry that waited behind the first
				time.Sleep(ipmb.RetryWindow)
				b.send(add) // a new request
				synctest.Wait()
				if n := len(b.bus.messages()); n != 2 {
					t.Errorf("%d messages in the end", n)
				}
			})
		})
	}
}

// The kept answer to an earlier use of a number is not that of the later one.
func TestAnswerOfEarlierUse(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		b.send(getDeviceID(other, 5))
		first := b.bus.wait(t, 1)
		b.Deliver(t.Context(), answerTo(first[0], ipmb.Response{Data: []byte{1}}))
		synctest.Wait()
		b.guest("06 33") // the guest has it, and uses the number again
		b.send(request(other, 5, ipmb.NetFnStorage, 0x44, make([]byte, 16)...))
		b.bus.wait(t, 2)
		ends["killed"](b)
		if sent := b.bus.wait(t, 3); sent[2].ID != sent[1].ID {
			t.Errorf("the next process sent %+v after %+v", sent[2], sent[1])
		}
	})
}

func TestAsksOfLongAgo(t *testing.T) {
	for name, end := range map[string]func(*board){"planned": (*board).stop, "killed": (*board).kill} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, b *board) {
				b.send(getDeviceID(other, 5))
				b.Deliver(t.Context(), forGuest(7, 9))
				b.bus.wait(t, 1)
				b.received()
				end(b)
				time.Sleep(time.Minute)
				b.start()
				synctest.Wait()
				if n := len(b.bus.messages()); n != 1 || b.asks.open != 0 || len(b.software.asked) != 0 {
					t.Errorf("%d messages, %d open, %d asked", n, b.asks.open, len(b.software.asked))
				}
				if n := len(b.ledger.free); n != ledgerSlots {
					t.Errorf("%d of %d slots of the ledger are free", n, ledgerSlots)
				}
			})
		})
	}
}

// What others asked of guest software is answered after the restart.
func TestSoftwareAnswersLater(t *testing.T) {
	eachEnd(t, func(t *testing.T, b *board, restart func()) {
		b.Deliver(t.Context(), forGuest(7, 9))
		asked := b.received()
		restart()
		b.Deliver(t.Context(), forGuest(7, 9)) // its sender's second try
		b.send(asked[0].Reply(ipmb.Response{Data: []byte{0xCA}}))
		m := b.bus.wait(t, 1)[0]
		if m.ID != 7 || m.Instance != "other" || m.Plane != ipmb.PlaneB || m.Frame.Seq != 9 || m.Frame.ToLUN != 2 {
			t.Errorf("answer %+v", m)
		}
		if got := b.received(); len(got) != 0 {
			t.Errorf("asked again: %v", got)
		}
	})
}
