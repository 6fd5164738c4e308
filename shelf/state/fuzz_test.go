package state

import (
	"bytes"
	"testing"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Whatever bytes raft hands over: no panic, and the state can still be written
// and read back to the same bytes.
func FuzzApply(f *testing.F) {
	for _, c := range story(2, 60) {
		b, err := proto.Marshal(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := New(small)
		for _, c := range story(4, 40) {
			apply(t, s, c)
		}
		m := NewFSM(s, func(error) {})
		entry := &raft.Log{Index: 50, Type: raft.LogCommand, Data: data}
		m.ApplyBatch([]*raft.Log{entry, entry})
		image := snapshotBytes(t, s)
		again := New(small)
		if err := again.decodeSnapshot(image); err != nil {
			t.Fatalf("own snapshot refused: %v", err)
		}
		if !bytes.Equal(image, snapshotBytes(t, again)) {
			t.Fatal("own snapshot changed on the way")
		}
	})
}

// A snapshot that loads gives the same state when it is written and read again.
func FuzzRestore(f *testing.F) {
	s := New(small)
	for _, c := range story(6, 80) {
		apply(f, s, c)
	}
	f.Add(snapshotBytes(f, s))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := New(small)
		if s.decodeSnapshot(data) != nil {
			return
		}
		image := snapshotBytes(t, s)
		again := New(small)
		if err := again.decodeSnapshot(image); err != nil {
			t.Fatalf("own snapshot refused: %v", err)
		}
		if !bytes.Equal(image, snapshotBytes(t, again)) {
			t.Fatal("own snapshot changed on the way")
		}
		for _, c := range story(7, 20) {
			if _, err := again.Apply(1, proto.Clone(c).(*v1.Command)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
