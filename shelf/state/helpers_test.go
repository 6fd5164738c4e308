package state

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// second is one second of command time.
const second = int64(time.Second)

// id16 makes a 16-byte id that is b throughout.
func id16(b byte) []byte { return bytes.Repeat([]byte{b}, 16) }

// at wraps a kind into a command of a moment.
func at(now int64, kind any) *v1.Command {
	c := &v1.Command{Version: Version, Time: now}
	switch k := kind.(type) {
	case *v1.Claim:
		c.Kind = &v1.Command_Claim{Claim: k}
	case *v1.Release:
		c.Kind = &v1.Command_Release{Release: k}
	case *v1.AppendEvents:
		c.Kind = &v1.Command_AppendEvents{AppendEvents: k}
	case *v1.AddSEL:
		c.Kind = &v1.Command_AddSel{AddSel: k}
	case *v1.ClearSEL:
		c.Kind = &v1.Command_ClearSel{ClearSel: k}
	case *v1.DeleteSEL:
		c.Kind = &v1.Command_DeleteSel{DeleteSel: k}
	case *v1.SetSELTime:
		c.Kind = &v1.Command_SetSelTime{SetSelTime: k}
	case *v1.SetConfig:
		c.Kind = &v1.Command_SetConfig{SetConfig: k}
	case *v1.SlotFact:
		c.Kind = &v1.Command_SlotFact{SlotFact: k}
	case *v1.SetEventReceiver:
		c.Kind = &v1.Command_SetEventReceiver{SetEventReceiver: k}
	case *v1.PutRecords:
		c.Kind = &v1.Command_PutRecords{PutRecords: k}
	case *v1.SetShelf:
		c.Kind = &v1.Command_SetShelf{SetShelf: k}
	}
	return c
}

// apply carries out a command that must be known.
func apply(t testing.TB, s *State, c *v1.Command) *v1.Answer {
	t.Helper()
	a, err := s.Apply(s.applied+1, c)
	if err != nil {
		t.Fatalf("Apply: %v", err)
	}
	return a
}

// lab is a state with one shelf, "lab", of two slots.
func lab(t testing.TB, c Config) *State {
	t.Helper()
	s := New(c)
	a := apply(t, s, at(1*second, &v1.SetShelf{
		Shelf: "lab", Guid: id16(0x11), HardwareAddresses: []uint32{0x41, 0x42}, SlotNames: []string{"blade1", "blade2"},
	}))
	if a.GetCompletionCode() != uint32(ipmb.OK) {
		t.Fatalf("SetShelf: %v", a)
	}
	return s
}

func claimBy(hw uint32, instance byte, boot uint64) *v1.Claim {
	return &v1.Claim{Shelf: "lab", HardwareAddress: hw, Instance: id16(instance), Boot: boot, Name: "blade", Outbox: id16(instance)}
}

// mustClaim gives the epoch of a claim that must succeed.
func mustClaim(t testing.TB, s *State, now int64, c *v1.Claim) uint64 {
	t.Helper()
	a := apply(t, s, at(now, c))
	if a.GetValue() == 0 || a.GetReason() != 0 {
		t.Fatalf("claim: %v", a)
	}
	return a.GetValue()
}

// events makes a run of an outbox, from first to last.
func events(hw uint32, outbox byte, epoch, first, last uint64) *v1.AppendEvents {
	c := &v1.AppendEvents{Shelf: "lab", HardwareAddress: hw, Outbox: id16(outbox), Epoch: epoch}
	for n := first; n <= last; n++ {
		c.Events = append(c.Events, &v1.Event{
			N: n, Time: int64(n), Generator: hw << 1, Body: []byte{0x04, 0x01, 0x30, 0x01, 0x09, 0xFF, byte(n)},
			Speaker: v1.Speaker_SPEAKER_CONTROLLER,
		})
	}
	return c
}

func oemRecord(n byte) []byte {
	r := bytes.Repeat([]byte{n}, RecordLen)
	r[recordType] = 0xF0
	return r
}

func addSEL(source uint32, speaker v1.Speaker, record []byte) *v1.AddSEL {
	return &v1.AddSEL{Shelf: "lab", Record: record, Source: source, Speaker: speaker}
}

func snapshotBytes(t testing.TB, s *State) []byte {
	t.Helper()
	b, err := s.AppendSnapshot(nil)
	if err != nil {
		t.Fatalf("AppendSnapshot: %v", err)
	}
	return b
}

func diffAnswer(t testing.TB, what string, got, want *v1.Answer) {
	t.Helper()
	if d := cmp.Diff(want, got, protocmp.Transform(), protocmp.IgnoreFields(&v1.Answer{}, "refusal")); d != "" {
		t.Errorf("%s: answer differs (-want +got):\n%s", what, d)
	}
}

// recordIDs lists the SEL by following the next ids, as clients do.
func recordIDs(t testing.TB, s *State) (ids []uint16) {
	t.Helper()
	v := &s.shelf("lab").sel
	for id := SELFirst; id != SELLast; {
		r, next, ok := v.get(id)
		if !ok {
			if id != SELFirst {
				t.Fatalf("record %d is named as next but absent", id)
			}
			return nil
		}
		ids = append(ids, r.ID())
		id = next
	}
	return ids
}
