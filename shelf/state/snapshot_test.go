package state

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

var update = flag.Bool("update", false, "write testdata/snapshot-v2.bin anew")

// small makes bounds bite within a story.
var small = Config{LogLimit: 60, SELLimit: 24}

// Replicas that apply the same commands have the same bytes, also when one of
// them came by a snapshot somewhere on the way.
func TestSameCommandsSameBytes(t *testing.T) {
	const each = 3 // so many commands a look at all bytes
	for seed := range uint64(20) {
		a, b, joined := New(small), New(small), New(small)
		for i, c := range story(seed, 300) {
			first := apply(t, a, c)
			second := apply(t, b, proto.Clone(c).(*v1.Command))
			third := apply(t, joined, c)
			if !proto.Equal(first, second) || !proto.Equal(first, third) {
				t.Fatalf("seed %d, command %d: answers %v, %v, %v", seed, i, first, second, third)
			}
			if i%each != 0 {
				continue
			}
			image := snapshotBytes(t, a)
			if !bytes.Equal(image, snapshotBytes(t, b)) {
				t.Fatalf("seed %d, command %d: replicas differ", seed, i)
			}
			if i%(7*each) == 0 {
				joined = New(small)
				if err := joined.decodeSnapshot(image); err != nil {
					t.Fatalf("seed %d, command %d: %v", seed, i, err)
				}
				joined.applied = a.applied
			}
			if got := snapshotBytes(t, joined); !bytes.Equal(image, got) {
				t.Fatalf("seed %d, command %d: the restored replica differs", seed, i)
			}
		}
	}
}

// Snapshots of every version that was ever written must load for ever. Only
// the newest can be written anew.
func TestSnapshotFixturesLoad(t *testing.T) {
	newest := filepath.Join("testdata", "snapshot-v2.bin")
	if *update {
		s := New(small)
		for _, c := range story(1, 200) {
			apply(t, s, c)
		}
		if err := os.WriteFile(newest, snapshotBytes(t, s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	loadFixture(t, filepath.Join("testdata", "snapshot-v1.bin"), Version)
	records := loadFixture(t, newest, versionRecords).GetShelves()[0].GetRecords()
	if len(records) == 0 {
		t.Error("no records in the newest fixture")
	}
}

// loadFixture checks that a snapshot loads and is then written as it was.
func loadFixture(t *testing.T, path string, version uint32) *v1.Snapshot {
	t.Helper()
	fixture, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	restored := New(small)
	if err := restored.decodeSnapshot(fixture); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	got, err := restored.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	want := &v1.Snapshot{}
	if err := proto.Unmarshal(fixture, want); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		t.Errorf("%s (-fixture +loaded):\n%s", path, d)
	}
	if want.GetVersion() != version {
		t.Errorf("%s is of version %d, want %d", path, want.GetVersion(), version)
	}
	return want
}

func TestRestoreRefuses(t *testing.T) {
	s := New(small)
	for _, c := range story(3, 200) {
		apply(t, s, c)
	}
	tests := []struct {
		name string
		harm func(*v1.Snapshot)
	}{
		{"another version", func(m *v1.Snapshot) { m.Version = 3 }},
		{"records out of order", func(m *v1.Snapshot) {
			m.Shelves[0].Records = []*v1.NamedRecord{{Name: "b"}, {Name: "a"}}
		}},
		{"a record twice", func(m *v1.Snapshot) { m.Shelves[0].Records = []*v1.NamedRecord{{Name: "a"}, {Name: "a"}} }},
		{"a record too long", func(m *v1.Snapshot) {
			m.Shelves[0].Records = []*v1.NamedRecord{{Name: "a", Value: make([]byte, maxRecordValue+1)}}
		}},
		{"a shelf twice", func(m *v1.Snapshot) { m.Shelves = append(m.Shelves, m.Shelves[0]) }},
		{"a shelf without GUID", func(m *v1.Snapshot) { m.Shelves[0].Guid = nil }},
		{"a slot twice", func(m *v1.Snapshot) { m.Shelves[0].Slots = append(m.Shelves[0].Slots, m.Shelves[0].Slots[0]) }},
		{"a slot out of range", func(m *v1.Snapshot) { m.Shelves[0].Slots[0].HardwareAddress = 0x80 }},
		{"log out of order", func(m *v1.Snapshot) { m.Shelves[0].Log[1].Id = m.Shelves[0].Log[0].Id }},
		{"log beyond its next id", func(m *v1.Snapshot) { m.Shelves[0].NextLogId = m.Shelves[0].Log[0].Id }},
		{"a short record", func(m *v1.Snapshot) { m.Shelves[0].Log[0].Record = nil }},
		{"an odd source", func(m *v1.Snapshot) { m.Shelves[0].Log[0].Source = 3 }},
		{"SEL ids that do not match", func(m *v1.Snapshot) { m.Shelves[0].Sel.Rows[0].Record = 77 }},
		{"a SEL row twice", func(m *v1.Snapshot) { r := m.Shelves[0].Sel; r.Rows = append(r.Rows, r.Rows[0]) }},
		{"SEL clock out of range", func(m *v1.Snapshot) { m.Shelves[0].Sel.TimeOffset = 1 << 40 }},
		{"an outbox twice", func(m *v1.Snapshot) { r := m.Shelves[0]; r.Outboxes = append(r.Outboxes, r.Outboxes[0]) }},
		{"a request twice", func(m *v1.Snapshot) { m.Sessions = append(m.Sessions, m.Sessions[0]) }},
		{"a nameless requester", func(m *v1.Snapshot) { m.Sessions[0].Instance = nil }},
		{"a lease that is none", func(m *v1.Snapshot) { m.Config = map[string][]byte{ConfigLease: []byte("soon")} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := s.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			tt.harm(m)
			other := lab(t, small)
			before := snapshotBytes(t, other)
			if err := other.Restore(m); err == nil {
				t.Error("restored")
			}
			if !bytes.Equal(before, snapshotBytes(t, other)) {
				t.Error("a refused snapshot changed the state")
			}
		})
	}
}

func TestSetShelfRefuses(t *testing.T) {
	tests := map[string]*v1.SetShelf{
		"no name":           {Guid: id16(1)},
		"long name":         {Shelf: string(make([]byte, maxNameLen+1)), Guid: id16(1)},
		"no GUID":           {Shelf: "x"},
		"0x20":              {Shelf: "x", Guid: id16(1), HardwareAddresses: []uint32{0x10}},
		"out of range":      {Shelf: "x", Guid: id16(1), HardwareAddresses: []uint32{0x80}},
		"a slot twice":      {Shelf: "x", Guid: id16(1), HardwareAddresses: []uint32{0x41, 0x41}},
		"names for nothing": {Shelf: "x", Guid: id16(1), SlotNames: []string{"a"}},
	}
	for name, c := range tests {
		s := New(Config{})
		diffAnswer(t, name, apply(t, s, at(second, c)), &v1.Answer{CompletionCode: fieldRefusal})
		if len(s.shelves) != 0 {
			t.Errorf("%s: a shelf appeared", name)
		}
	}
}
