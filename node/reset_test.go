package node

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// busy has the controller in the middle of everything.
func (b *board) busy() {
	b.shelf("04 00 20 01")
	b.guest("06 2e 0f")
	b.guest("06 06 81 ff")    // S1
	b.guest("06 40 01 82 84") // the LAN channel's volatile setting
	b.event()
	b.push(2)
	b.send(request(other, 5, ipmb.NetFnStorage, 0x44, make([]byte, 16)...))
	b.Deliver(b.t.Context(), forGuest(7, 9))
	b.guest("06 24 04 31 0a 00 2c 01")
	b.guest("06 22")
	time.Sleep(21 * time.Second)
	synctest.Wait()
	b.vm.took()
}

func (b *board) wantAnswers(rows map[string]string) {
	b.t.Helper()
	for ask, want := range rows {
		if got := b.guest(ask); got != want {
			b.t.Errorf("%s: %s, want %s", ask, got, want)
		}
	}
}

func TestColdReset(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		b.busy()
		guid := b.guest("06 08")
		if got := b.guest("06 02"); got != "00" {
			t.Fatalf("cold reset: %s", got)
		}
		check := func() {
			b.wantAnswers(map[string]string{
				"06 2f": "00 08", "06 31": "00 00", "06 33": "80", "06 35": "80", "06 22": "80",
				"06 25": "00 00 00 00 00 00 00 00 00", "04 01": "00 20 01", "06 08": guid, "06 41 01 80": "00 20 04",
			})
			if up, on, _ := b.line.state(); up || on {
				t.Errorf("attention %v, interrupts %v", up, on)
			}
		}
		check()
		if got := b.guest("0a 40"); got[6:11] == "00 00" {
			t.Error("the log is empty")
		}
		ends["killed"](b)
		check()
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := b.vm.took(); got != nil {
			t.Errorf("did %q to the VM", got)
		}
		if n := len(b.ledger.free); n != ledgerSlots {
			t.Errorf("%d of %d slots of the ledger are free", n, ledgerSlots)
		}
	})
}

// A warm reset drops what is under way and leaves the settings.
func TestWarmReset(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		b.busy()
		if got := b.guest("06 03"); got != "00" {
			t.Fatalf("warm reset: %s", got)
		}
		b.wantAnswers(map[string]string{
			"06 2f": "00 0f", "06 31": "00 0a", "06 33": "80", "04 01": "00 20 01", "06 41 01 80": "00 02 04",
			"06 25": "00 44 31 0a 00 2c 01 5a 00",
		})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := b.vm.took(); len(got) != 1 || got[0] != "reset" {
			t.Errorf("the watchdog did %q", got)
		}
	})
}

// A request that was under way at a reset gets no answer any more; its repeat
// is a new one.
func TestResetForgetsNumbers(t *testing.T) {
	for _, reset := range []string{"06 02", "06 03"} {
		inTime(t, func(t *testing.T, b *board) {
			add := request(other, 5, ipmb.NetFnStorage, 0x44, make([]byte, 16)...)
			b.send(add)
			b.bus.wait(t, 1)
			b.guest(reset)
			synctest.Wait()
			b.Deliver(t.Context(), answerTo(b.bus.messages()[0], ipmb.Response{Data: []byte{1, 0}}))
			synctest.Wait()
			if got := b.received(); len(got) != 0 {
				t.Errorf("%s: answers %v", reset, got)
			}
			b.send(add)
			sent := b.bus.wait(t, 2)
			if sent[1].ID == sent[0].ID {
				t.Errorf("%s: the repeat has the same id", reset)
			}
		})
	}
}

func TestResetThatCannotBeStored(t *testing.T) {
	b := newBoard(t, ProfileATCA)
	b.guest("06 2e 0f")
	b.mail.save = func(byte) error { return errors.New("disk full") }
	if got := b.guest("06 02"); got != "ff" {
		t.Errorf("cold reset: %s", got)
	}
	if got := b.guest("06 2f"); got != "00 0f" {
		t.Errorf("enables %s", got)
	}
}
