package node

import (
	"fmt"
	"testing"

	"github.com/midplane-project/midplane/ipmb/mc"
)

// A full log that refuses says so to who would add to it, and in its info;
// the controller's own events go on to the shelf and to the event buffer.
func TestFullLogRefuses(t *testing.T) {
	b := newBoard(t, ProfileATCA)
	b.stop()
	b.selConfig = SELConfig{Capacity: MinSELCapacity, Overflow: SELRefuse}
	b.start()
	b.shelf("04 00 20 00")
	b.guest("06 2e 0c") // event buffer and logging
	const add = "0a 44 00 00 e0 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d"
	for len(b.sel.rows) < MinSELCapacity {
		if got := b.guest(add); got[:2] != "00" {
			t.Fatalf("%d records: %s", len(b.sel.rows), got)
		}
	}
	info := func() string { return b.guest("0a 40")[3:] }
	free, overflow := info()[9:14], info()[len(info())-2:]
	if free != "00 00" || overflow != "0f" {
		t.Fatalf("full: %s", info())
	}
	if got := b.shelf("04 02 04 02 30 01 57 ff ff"); got != "c4" { // another controller's
		t.Errorf("an event from the bus: %s", got)
	}
	told := len(b.outbox.events) // that it was almost full, and full
	for _, request := range []string{add, fromGuest} {
		if got := b.guest(request); got != "c4" {
			t.Errorf("%s: %s", request, got)
		}
	}
	if got := info(); got[len(got)-2:] != "8f" {
		t.Errorf("after it refused: %s", got)
	}
	if told != 2 || len(b.outbox.events) != told {
		t.Errorf("told the shelf %d, then %d", told, len(b.outbox.events))
	}
	b.guest("06 35") // empties the event buffer
	b.sensors.note(b.sensors.Pulse(sensorWatchdog, 1, 0x04, mc.NoData))
	if n := len(b.outbox.events); n != told+1 {
		t.Fatalf("%d events for the shelf", n)
	}
	if got, want := fmt.Sprintf("%x", b.outbox.events[told].Body), "0423176fc104ff"; got != want {
		t.Errorf("the shelf got %s, want %s", got, want)
	}
	if got := b.guest("06 35"); got[:8] != "00 00 00" || got[len(got)-20:] != "04 23 17 6f c1 04 ff" {
		t.Errorf("event buffer: %s", got)
	}
	b.stop()
	b.start()
	if got := info(); got[len(got)-2:] != "8f" {
		t.Errorf("after a restart: %s", got)
	}
	b.guest("0a 47 " + b.guest("0a 42")[3:] + " 43 4c 52 aa")
	if got := b.guest(fromGuest); got != "00" {
		t.Errorf("once cleared: %s", got)
	}
	if got := info(); got[:8] != "51 01 00" || got[len(got)-2:] != "0f" {
		t.Errorf("once cleared: %s", got)
	}
}

// A log that was larger has no room; it loses what is too much with the next
// record, or takes none.
func TestSmallerLog(t *testing.T) {
	for _, refuses := range []bool{false, true} {
		s := newSEL(t)
		s.db = fill(t, s, 40)
		s.limit, s.refuses = 32, refuses
		if i, err := s.SELInfo(t.Context()); err != nil || i.Entries != 40 || i.Free != 0 {
			t.Errorf("%+v, %v", i, err)
		}
		_, err := s.SELAdd(t.Context(), nil, selRecord(40))
		want := map[bool]int{false: 32, true: 40}[refuses]
		if (err != nil) != refuses || len(s.rows) != want {
			t.Errorf("refuses %v: %v, %d records", refuses, err, len(s.rows))
		}
		s.reopen(t)
		if len(s.rows) != want {
			t.Errorf("refuses %v: %d records on disk", refuses, len(s.rows))
		}
	}
}
