package state

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// entries makes raft log entries of commands.
func entries(t testing.TB, first uint64, commands ...*v1.Command) (logs []*raft.Log) {
	t.Helper()
	for i, c := range commands {
		b, err := proto.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		logs = append(logs, &raft.Log{Index: first + uint64(i), Type: raft.LogCommand, Data: b})
	}
	return logs
}

func TestFSMAppliesBatches(t *testing.T) {
	f := NewFSM(New(Config{}), func(err error) { t.Errorf("halted: %v", err) })
	changed := f.Watch()
	logs := entries(t, 1,
		at(second, &v1.SetShelf{Shelf: "lab", Guid: id16(1)}), at(second, claimBy(0x41, 'a', 1)), at(2*second, events(0x41, 'o', 1, 1, 2)))
	logs = append(logs[:1:1], append([]*raft.Log{{Type: raft.LogConfiguration}}, logs[1:]...)...)
	out := f.ApplyBatch(logs)
	if len(out) != 4 || out[1] != nil || out[3].(*v1.Answer).GetValue() != 2 {
		t.Fatalf("answers %v", out)
	}
	select {
	case <-changed:
	default:
		t.Error("a watcher was not told")
	}
	sl, ok := f.Slot("lab", 0x41)
	if !ok || !sl.Held || sl.Epoch != 1 || len(f.Slots("lab")) != 1 || f.Applied() != 3 {
		t.Errorf("slot %+v, applied %d", sl, f.Applied())
	}
	if got := f.LastEvent("lab", 0x41, id16('o')); got != 2 {
		t.Errorf("last event %d, want 2", got)
	}
	log := f.Log("lab", 1, 0)
	if len(log) != 1 || log[0].ID != 2 || log[0].SELRecord != 2 || log[0].Source != 0x82 {
		t.Errorf("log after 1: %+v", log)
	}
}

func TestFSMReadsOfNothing(t *testing.T) {
	f := NewFSM(New(Config{}), nil)
	if _, ok := f.Shelf("lab"); ok || f.Slots("lab") != nil || f.Log("lab", 0, 0) != nil || f.LastEvent("lab", 1, nil) != 0 {
		t.Error("something in an empty state")
	}
	if _, err := f.SEL("lab"); !errors.Is(err, ErrUnknownShelf) {
		t.Errorf("SEL: %v", err)
	}
	f.Apply(entries(t, 1, at(second, &v1.SetShelf{Shelf: "lab", Guid: id16(1)}))[0])
	if _, _, err := f.SELRecord("lab", SELFirst); ipmb.CodeOf(err) != ipmb.ErrNotPresent {
		t.Errorf("first record of an empty SEL: %v", err)
	}
	if i, err := f.SEL("lab"); err != nil || i.Records != 0 || i.Limit != MaxSELRecords || f.Lease() != DefaultLease {
		t.Errorf("SEL %+v, %v", i, err)
	}
	if _, ok := f.Slot("lab", 0xFF); ok {
		t.Error("slot FFh")
	}
}

func TestFSMHalts(t *testing.T) {
	good := at(second, &v1.SetShelf{Shelf: "lab", Guid: id16(1)})
	future := at(second, &v1.ClearSEL{Shelf: "lab"})
	future.Version = 2
	extended := &v1.Command{Version: Version}
	extended.ProtoReflect().SetUnknown([]byte{0xA0, 0x06, 0x01}) // field 100
	tests := map[string]*raft.Log{
		"a later version": entries(t, 2, future)[0],
		"no kind":         entries(t, 2, &v1.Command{Version: Version})[0],
		"an unknown kind": entries(t, 2, extended)[0],
		"not a command":   {Index: 2, Type: raft.LogCommand, Data: []byte{0xFF}},
	}
	for name, bad := range tests {
		t.Run(name, func(t *testing.T) {
			var halts []error
			f := NewFSM(New(Config{}), func(err error) { halts = append(halts, err) })
			out := f.ApplyBatch(append(entries(t, 1, good), bad, entries(t, 3, at(second, &v1.ClearSEL{Shelf: "lab"}))[0]))
			if _, ok := out[0].(*v1.Answer); !ok {
				t.Errorf("the command before: %v", out[0])
			}
			if err, ok := out[2].(error); !ok || !errors.Is(err, ErrHalted) {
				t.Errorf("the command after: %v", out[2])
			}
			if _, err := f.Snapshot(); !errors.Is(err, ErrHalted) {
				t.Errorf("snapshot after a halt: %v", err)
			}
			f.Apply(bad)
			if len(halts) != 1 {
				t.Errorf("halted %d times: %v", len(halts), halts)
			}
			if f.state.shelf("lab").log.next != 1 {
				t.Error("a command took effect after the halt")
			}
		})
	}
}

// memorySink is a raft snapshot sink in memory; failing says that writes fail.
type memorySink struct {
	bytes.Buffer
	failing, closed, cancelled bool
}

func (s *memorySink) Write(b []byte) (int, error) {
	if s.failing {
		return 0, io.ErrShortWrite
	}
	return s.Buffer.Write(b)
}
func (s *memorySink) ID() string    { return "memory" }
func (s *memorySink) Close() error  { s.closed = true; return nil }
func (s *memorySink) Cancel() error { s.cancelled = true; return nil }

func TestFSMSnapshotIsOfItsMoment(t *testing.T) {
	f := NewFSM(New(small), nil)
	commands := story(5, 200)
	f.ApplyBatch(entries(t, 1, commands[:150]...))
	want := snapshotBytes(t, f.state)
	snap, err := f.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	f.ApplyBatch(entries(t, 151, commands[150:]...))
	sink := &memorySink{}
	if err := snap.Persist(sink); err != nil || !sink.closed || sink.cancelled {
		t.Fatalf("Persist: %v, closed %v", err, sink.closed)
	}
	snap.Release()
	if !bytes.Equal(sink.Bytes(), want) {
		t.Error("what came after the snapshot is in it")
	}
	changed := f.Watch()
	if err := f.Restore(io.NopCloser(&sink.Buffer)); err != nil {
		t.Fatal(err)
	}
	<-changed
	if !bytes.Equal(snapshotBytes(t, f.state), want) {
		t.Error("restored state differs")
	}
}

func TestFSMSnapshotErrors(t *testing.T) {
	f := NewFSM(lab(t, Config{}), nil)
	snap, err := f.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	sink := &memorySink{failing: true}
	if err := snap.Persist(sink); !errors.Is(err, io.ErrShortWrite) || !sink.cancelled {
		t.Errorf("Persist to a full disk: %v, cancelled %v", err, sink.cancelled)
	}
	if err := f.Restore(io.NopCloser(bytes.NewReader([]byte{0xFF}))); err == nil {
		t.Error("restored garbage")
	}
	if len(f.Shelves()) != 1 {
		t.Error("a failed restore changed the state")
	}
}

// Readers run beside the writer; the race detector judges.
func TestFSMReadersAndWriter(t *testing.T) {
	f := NewFSM(New(small), nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i, c := range story(8, 300) {
			f.ApplyBatch(entries(t, uint64(i+1), c))
		}
	}()
	for stop := false; !stop; {
		changed := f.Watch()
		for _, e := range f.Log("lab", 0, 20) {
			f.SELRecord("lab", e.SELRecord)
		}
		f.Slots("lab")
		select {
		case <-changed:
		case <-done:
			stop = true
		case <-time.After(time.Minute):
			t.Fatal("no change and no end")
		}
	}
}
