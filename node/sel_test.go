package node

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/midplane-project/midplane/internal/kv"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// selUnderTest is a log that can be closed and read again.
type selUnderTest struct {
	*localSEL
	path string
}

func newSEL(t testing.TB) *selUnderTest {
	s := &selUnderTest{path: filepath.Join(t.TempDir(), storeFile)}
	s.open(t)
	t.Cleanup(func() { _ = s.db.Close() })
	return s
}

type fataler interface {
	Helper()
	Fatal(...any)
}

func (s *selUnderTest) open(t fataler) {
	t.Helper()
	db, err := kv.Open(s.path)
	if err != nil {
		t.Fatal(err)
	}
	if s.localSEL, err = openSEL(db, SELConfig{}); err != nil {
		t.Fatal(err)
	}
}

func (s *selUnderTest) reopen(t fataler) {
	t.Helper()
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	s.open(t)
}

// record is one that can be told from others.
func selRecord(n int) mc.SELEntry {
	return mc.SELEntry{2: mc.SELTypeOEMPlain, 8: byte(n >> 16), 9: byte(n >> 8), 10: byte(n)}
}

// all walks the log as clients do.
func (s *selUnderTest) all(t fataler) (out []mc.SELEntry) {
	t.Helper()
	for id := uint16(0); ; {
		e, next, err := s.SELGet(context.Background(), id)
		if ipmb.CodeOf(err) == ipmb.ErrNotPresent && id == 0 {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
		if next == 0xFFFF {
			return out
		}
		id = next
	}
}

// A full log loses the oldest records and says so until it is cleared, and the
// ids go on round past those that are still there.
func TestSELOverflow(t *testing.T) {
	s := newSEL(t)
	s.db = fill(t, s, DefaultSELCapacity)
	if i, _ := s.SELInfo(t.Context()); i.Free != 0 || i.Overflow {
		t.Fatalf("full: %+v", i)
	}
	for range 3 {
		if _, err := s.SELAdd(t.Context(), nil, selRecord(1)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		i, _ := s.SELInfo(t.Context())
		first, _, err := s.SELGet(t.Context(), 0)
		last, _, err2 := s.SELGet(t.Context(), 0xFFFF)
		if !i.Overflow || i.Entries != DefaultSELCapacity || err != nil || err2 != nil || first.ID() != 4 || last.ID() != DefaultSELCapacity+3 {
			t.Errorf("%+v, first %04x, last %04x", i, first.ID(), last.ID())
		}
		s.reopen(t)
	}
	if err := s.SELClear(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	s.reopen(t)
	if i, _ := s.SELInfo(t.Context()); i.Overflow || i.Entries != 0 || i.LastErase.IsZero() {
		t.Errorf("cleared: %+v", i)
	}
}

// fill puts n records into an empty log in one transaction.
func fill(t testing.TB, s *selUnderTest, n int) *kv.DB {
	t.Helper()
	err := s.db.Update(func(tx *kv.Tx) error {
		b, err := tx.Bucket(bucketSEL)
		for i := range n {
			e := selRecord(i)
			e.Stamp(uint16(i+1), time.Time{})
			if err == nil {
				err = b.Put(selKey(uint64(i)), e[:])
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.reopen(t)
	return s.db
}

func TestSELIDsWrap(t *testing.T) {
	s := newSEL(t)
	ids := func() (out []uint16) {
		for _, e := range s.all(t) {
			out = append(out, e.ID())
		}
		return out
	}
	add := func() {
		if _, err := s.SELAdd(t.Context(), nil, selRecord(0)); err != nil {
			t.Fatal(err)
		}
	}
	add()
	add()
	s.meta.nextID = selLastID - 1
	for range 4 {
		add()
	}
	want := []uint16{1, 2, selLastID - 1, selLastID, 3, 4}
	if got := ids(); !slices.Equal(got, want) {
		t.Errorf("ids %04x, want %04x", got, want)
	}
	s.reopen(t)
	add()
	if got := ids(); !slices.Equal(got, append(want, 5)) {
		t.Errorf("after a restart: %04x", got)
	}
}

// A clock that was set stays set.
func TestSELTime(t *testing.T) {
	s := newSEL(t)
	set := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	if err := s.SELSetTime(t.Context(), nil, set); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := s.SELTime(t.Context()).Sub(set); got < 0 || got > time.Minute {
			t.Errorf("clock is %v off", got)
		}
		s.reopen(t)
	}
}

// A record that the disk spoiled is not served: the log does not open, and an
// open log fails its self test.
func TestSELCorrupt(t *testing.T) {
	b := newBoard(t, ProfileATCA)
	b.event()
	spoil(t, b.db)
	if got := b.guest("06 04"); got != "00 57 80" {
		t.Errorf("self test: %s", got)
	}
	if _, err := openSEL(b.db, SELConfig{}); err == nil {
		t.Error("opened")
	}
}

// spoil flips a bit in each copy of the event's record in the file.
func spoil(t *testing.T, db *kv.DB) {
	t.Helper()
	file, err := os.OpenFile(db.Path(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	body := []byte{4, 2, 0x30, 1, 0x57}
	for at := 0; ; at++ {
		i := bytes.Index(text[at:], body)
		if i < 0 {
			return
		}
		at += i
		if _, err := file.WriteAt([]byte{5}, int64(at)); err != nil {
			t.Fatal(err)
		}
	}
}
