package state

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

func TestOutbox(t *testing.T) {
	s := lab(t, Config{})
	epoch := mustClaim(t, s, second, claimBy(0x41, 'a', 1))
	last := func(n uint64) *v1.Answer { return &v1.Answer{Value: n} }
	gap := func(n uint64) *v1.Answer {
		return &v1.Answer{CompletionCode: stateRefusal, Reason: wantGap, Value: n}
	}
	steps := []struct {
		what string
		kind *v1.AppendEvents
		want *v1.Answer
		logs int
	}{
		{"a run", events(0x41, 'o', epoch, 1, 3), last(3), 3},
		{"the same run again", events(0x41, 'o', epoch, 1, 3), last(3), 3},
		{"an overlap", events(0x41, 'o', epoch, 2, 5), last(5), 5},
		{"a gap", events(0x41, 'o', epoch, 7, 8), gap(5), 5},
		{"nothing", events(0x41, 'o', epoch, 1, 0), last(5), 5},
		{"a new outbox begins at 1", events(0x41, 'p', epoch, 2, 2), gap(0), 5},
		{"a new outbox", events(0x41, 'p', epoch, 1, 1), last(1), 6},
		{"the old outbox goes on", events(0x41, 'o', epoch, 6, 6), last(6), 7},
		{"an old epoch", events(0x41, 'o', epoch-1, 7, 7), refused(wantOldEpoch, 0), 7},
		{"an epoch that never was", events(0x41, 'o', epoch+1, 7, 7), refused(wantOldEpoch, 0), 7},
		{"a slot that nobody claimed", events(0x42, 'o', 0, 1, 1), refused(wantNoSlot, 0), 7},
	}
	for _, step := range steps {
		diffAnswer(t, step.what, apply(t, s, at(second, step.kind)), step.want)
		if got := s.shelf("lab").log.shelf.len(); got != step.logs {
			t.Errorf("%s: %d log entries, want %d", step.what, got, step.logs)
		}
	}
}

// The node says what happened, but not who it is, nor that a guest is no guest.
func TestEventIdentity(t *testing.T) {
	s := lab(t, Config{})
	epoch := mustClaim(t, s, second, claimBy(0x41, 'a', 1))
	run := events(0x41, 'o', epoch, 1, 3)
	run.Events[0].Generator = 0x0120 // claims to be the shelf manager, LUN 1
	run.Events[1].Speaker = v1.Speaker_SPEAKER_GUEST
	run.Events[2].Speaker, run.Events[2].Body = v1.Speaker_SPEAKER_API, []byte{0x04}
	apply(t, s, at(5*second, run))
	var got []string
	for _, e := range s.shelf("lab").log.after(0, 0) {
		got = append(got, e.Speaker.String())
		if e.Source != 0x82 || e.Committed != 5*second || e.Origin == 0 || binary.LittleEndian.Uint32(e.Record[recordTime:]) != 5 {
			t.Errorf("entry %d: %+v", e.ID, e)
		}
	}
	want := []string{"SPEAKER_CONTROLLER", "SPEAKER_GUEST", "SPEAKER_CONTROLLER"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("speakers (-want +got):\n%s", d)
	}
	records := []Record{
		{1, 0, 2, 5, 0, 0, 0, 0x82, 1, 4, 1, 0x30, 1, 9, 0xFF, 1},
		{2, 0, 2, 5, 0, 0, 0, 0x82, 2, 4, 1, 0x30, 1, 9, 0xFF, 2},
		{3, 0, 2, 5, 0, 0, 0, 0x82, 0, 4, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF},
	}
	for i, want := range records {
		if r, _, ok := s.shelf("lab").sel.get(uint16(i + 1)); !ok || r != want {
			t.Errorf("record %d: % x, want % x", i+1, r, want)
		}
	}
}

func TestOutboxRowsAreBounded(t *testing.T) {
	s := lab(t, Config{})
	epoch := mustClaim(t, s, second, claimBy(0x41, 'a', 1))
	for n := range maxOutboxesPerSlot + 3 {
		apply(t, s, at(second, events(0x41, byte(n), epoch, 1, 1)))
	}
	rows := s.shelf("lab").outboxes
	if len(rows) != maxOutboxesPerSlot || rows[0].outbox != string(id16(3)) {
		t.Errorf("%d rows, the first %x", len(rows), rows[0].outbox)
	}
}
