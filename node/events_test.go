package node

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/midplane-project/midplane/ipmb"
	midplanev1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

const (
	fromGuest  = "04 02 41 04 02 30 01 57 ff ff" // with the software's generator id
	fromOthers = "04 02 04 02 30 01 57 ff ff"    // the sender's address stands for it
)

// A guest's event goes to the local SEL and to the event receiver.
func TestEventPaths(t *testing.T) {
	for _, c := range []struct {
		name     string
		receiver string // of Set Event Receiver
		enables  string
		logged   string // Get SEL Info's number of entries
		shelf    int    // events in the outbox
		sent     int    // events on the bus
	}{
		{"before anybody set a receiver", "", "08", "01 00", 0, 0},
		{"none", "ff 00", "08", "01 00", 0, 0},
		{"the shelf manager", "20 00", "08", "01 00", 1, 0},
		{"itself", "82 00", "08", "01 00", 0, 0},
		{"another controller", "84 00", "08", "01 00", 0, 1},
		{"the shelf manager, logging off", "20 00", "00", "00 00", 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inTime(t, func(t *testing.T, b *board) {
				b.bus.on(echo)
				if c.receiver != "" {
					if got := b.shelf("04 00 " + c.receiver); got != "00" {
						t.Fatal(got)
					}
				}
				b.guest("06 2e " + c.enables)
				if got := b.guest(fromGuest); got != "00" {
					t.Fatal(got)
				}
				synctest.Wait()
				if got := b.guest("0a 40"); got[6:11] != c.logged {
					t.Errorf("SEL info %s, want %s entries", got, c.logged)
				}
				if n := len(b.outbox.events); n != c.shelf {
					t.Errorf("%d events for the shelf", n)
				}
				sent := b.bus.messages()
				if len(sent) != c.sent {
					t.Fatalf("sent %v", sent)
				}
				for _, m := range sent {
					want := request(other, m.Frame.Seq, ipmb.NetFnSensor, 2, 4, 2, 0x30, 1, 0x57, 0xFF, 0xFF)
					want.From, want.FromLUN = self, 0
					if m.Frame.String() != want.String() || m.Origin.Speaker != ipmb.SpeakerGuest {
						t.Errorf("sent %s of %v, want %s", m.Frame, m.Origin.Speaker, want)
					}
				}
			})
		})
	}
}

// The shelf learns the node's address and who spoke; the local log keeps the
// software's generator id.
func TestEventGenerators(t *testing.T) {
	b := newBoard(t, ProfileATCA)
	b.shelf("04 00 20 00")
	b.guest(fromGuest)
	e := b.outbox.events[0]
	if e.Generator != uint32(self) || e.Speaker != midplanev1.Speaker_SPEAKER_GUEST || string(e.Body) != "\x04\x02\x30\x01\x57\xff\xff" {
		t.Errorf("for the shelf: %v", e)
	}
	if got := b.guest("0a 43 01 00 00 00 07 09"); got != "00 ff ff 41 00 04 02 30 01 57 ff ff" {
		t.Errorf("logged: %s", got)
	}
	// One that came over the bus is of its sender, and is not passed on.
	m := ipmb.Message{ID: 1, Frame: request(self, 0, ipmb.NetFnSensor, 2, 4, 2, 0x30, 1, 0x57, 0xFF, 0xFF)}
	m.Frame.From, m.Origin.Speaker, m.Origin.Privilege = other, ipmb.SpeakerGuest, ipmb.PrivilegeOperator
	b.Deliver(t.Context(), m)
	b.bus.wait(t, 1)
	if got := b.guest("0a 43 01 00 ff ff 07 09"); got != "00 ff ff 84 02 04 02 30 01 57 ff ff" {
		t.Errorf("logged: %s", got)
	}
	if n := len(b.outbox.events); n != 1 {
		t.Errorf("%d events for the shelf", n)
	}
	// From the API the form is that of the bus.
	api := ipmb.Origin{Speaker: ipmb.SpeakerAPI, Door: ipmb.DoorAPI, Privilege: ipmb.PrivilegeAdmin, Source: self}
	if got := b.ask(api, fromOthers); got != "00" {
		t.Error(got)
	}
	if e := b.outbox.events[1]; e.Speaker != midplanev1.Speaker_SPEAKER_API {
		t.Errorf("for the shelf: %v", e)
	}
}

// The buffer holds the oldest event that was not read, as it is logged.
func TestEventBuffer(t *testing.T) {
	b := newBoard(t, ProfileATCA)
	b.guest("06 2e 0c")
	b.guest(fromGuest)
	b.guest("04 02 42 04 02 30 01 57 ff ff")
	logged := b.guest("0a 43 00 00 00 00 00 ff")
	if got := b.guest("06 35"); got != "00"+logged[len("00 02 00"):] {
		t.Errorf("buffer %s, first record %s", got, logged)
	}
	if got := b.guest("06 35"); got != "80" {
		t.Errorf("after it: %s", got)
	}
}

func TestEventThatCannotBeKept(t *testing.T) {
	b := newBoard(t, ProfileATCA)
	b.shelf("04 00 20 00")
	b.outbox.fail = errors.New("disk full")
	if got := b.guest(fromGuest); got != "ff" {
		t.Errorf("answered %s", got)
	}
}

// What the log says of its own level goes where events go, once.
func TestLogLevelIsAnEvent(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		b.sel.limit = 20
		b.shelf("04 00 20 00")
		b.guest("06 2e 0c") // event buffer and logging
		for range 18 {
			if got := b.guest("0a 44 00 00 f0 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d"); got[:2] != "00" {
				t.Fatal(got)
			}
		}
		if got := b.guest("0a 43 00 00 ff ff 00 ff"); got[:18] != "00 ff ff 13 00 02 " || got[30:] != "82 00 04 10 16 6f 35 ff 5a" {
			t.Errorf("logged %s", got)
		}
		if got := b.guest("06 35"); !strings.HasSuffix(got, "82 00 04 10 16 6f 35 ff 5a") {
			t.Errorf("event buffer %s", got)
		}
		if len(b.outbox.events) != 1 || string(b.outbox.events[0].Body) != "\x04\x10\x16\x6f\x35\xff\x5a" {
			t.Errorf("for the shelf: %v", b.outbox.events)
		}
	})
}

// With logging off the log says nothing of itself.
func TestLogLevelUnsaid(t *testing.T) {
	b := newBoard(t, ProfileATCA)
	b.sel.limit = 20
	b.guest("06 2e 00")
	for range 20 {
		b.guest("0a 44 00 00 f0 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d")
	}
	if got := b.guest("0a 43 00 00 ff ff 00 03"); got != "00 ff ff 14 00 f0" {
		t.Errorf("last record %s", got)
	}
}
