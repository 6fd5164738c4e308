package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

// addSnapshot stores a snapshot that reaches up to index.
func addSnapshot(t *testing.T, snaps raft.SnapshotStore, index uint64) (id string) {
	t.Helper()
	_, trans := raft.NewInmemTransport("a")
	sink, err := snaps.Create(raft.SnapshotVersionMax, index, 1, raft.Configuration{}, 1, trans)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Write([]byte("state")); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	return sink.ID()
}

func TestAlignLog(t *testing.T) {
	for name, tc := range map[string]struct {
		snapshots   []uint64 // oldest first
		damaged     bool     // the newest one is
		first, last uint64   // the log; 0: empty
		wantFirst   uint64   // 0: empty
		wantGap     bool
		wantError   bool
	}{
		"nothing":                                      {},
		"a log alone":                                  {first: 1, last: 5, wantFirst: 1},
		"the log overlaps the snapshot":                {snapshots: []uint64{10}, first: 3, last: 20, wantFirst: 3},
		"the log follows the snapshot":                 {snapshots: []uint64{10}, first: 11, last: 20, wantFirst: 11},
		"the snapshot covers the log":                  {snapshots: []uint64{10}, first: 1, last: 5},
		"the snapshot ends with the log":               {snapshots: []uint64{10}, first: 1, last: 10, wantFirst: 1},
		"a gap":                                        {snapshots: []uint64{10}, first: 13, last: 20, wantGap: true},
		"no snapshot, no beginning":                    {first: 7, last: 9, wantGap: true},
		"the newest is damaged, an older one reaches":  {snapshots: []uint64{10, 30}, damaged: true, first: 5, last: 40, wantFirst: 5},
		"the newest is damaged, the older is too old":  {snapshots: []uint64{10, 30}, damaged: true, first: 21, last: 40, wantGap: true},
		"the only snapshot is damaged, the log begins": {snapshots: []uint64{10}, damaged: true, first: 5, last: 40, wantError: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := testStore(t)
			dir := t.TempDir()
			snaps, err := raft.NewFileSnapshotStore(dir, keepSnapshots, t.Output())
			if err != nil {
				t.Fatal(err)
			}
			id := ""
			for _, index := range tc.snapshots {
				id = addSnapshot(t, snaps, index)
			}
			if tc.damaged {
				state := filepath.Join(dir, snapshotsName, id, "state.bin")
				if err := os.WriteFile(state, []byte("stale"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for i := tc.first; i != 0 && i <= tc.last; i++ {
				if err := s.StoreLog(&raft.Log{Index: i}); err != nil {
					t.Fatal(err)
				}
			}
			err = alignLog(dir, s, snaps)
			var gap *LogGapError
			if errors.As(err, &gap) != tc.wantGap || (err != nil) != (tc.wantGap || tc.wantError) {
				t.Fatalf("got %v", err)
			}
			if first, _ := s.FirstIndex(); err == nil && first != tc.wantFirst {
				t.Errorf("the log begins at %d, want %d", first, tc.wantFirst)
			}
		})
	}
}
