package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"
)

// testStore opens a store whose database is checked when the test ends.
func testStore(t testing.TB) *store {
	t.Helper()
	s, err := openStore(filepath.Join(t.TempDir(), dbName), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.db.View(func(tx *bolt.Tx) error {
			for err := range tx.Check() {
				return err
			}
			return nil
		}); err != nil {
			t.Errorf("database check: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// empty removes everything from the log.
func empty(t *rapid.T, s *store) {
	first, err := s.FirstIndex()
	if err != nil {
		t.Fatal(err)
	}
	last, err := s.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteRange(first, last); err != nil {
		t.Fatal(err)
	}
}

func TestStoreAgreesWithInmemStore(t *testing.T) {
	s := testStore(t)
	rapid.Check(t, func(t *rapid.T) {
		empty(t, s)
		m := &storeModel{store: s, model: raft.NewInmemStore()}
		t.Repeat(map[string]func(*rapid.T){
			"append":   m.append,
			"compact":  m.compact,
			"truncate": m.truncate,
			"get":      m.get,
			"stable":   m.stable,
			"":         m.check,
		})
	})
}

type storeModel struct {
	store *store
	model *raft.InmemStore
}

func (m *storeModel) bounds() (first, last uint64) {
	first, _ = m.model.FirstIndex()
	last, _ = m.model.LastIndex()
	return first, last
}

func (m *storeModel) append(t *rapid.T) {
	_, last := m.bounds()
	if last == 0 {
		last = rapid.Uint64Range(0, 1<<40).Draw(t, "base")
	}
	var logs []*raft.Log
	for range rapid.IntRange(1, 20).Draw(t, "n") {
		last++
		l := &raft.Log{
			Index: last, Term: rapid.Uint64().Draw(t, "term"),
			Type:       raft.LogType(rapid.Uint8Range(0, 5).Draw(t, "type")),
			Data:       rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "data"),
			Extensions: rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "ext"),
		}
		if rapid.Bool().Draw(t, "timed") {
			l.AppendedAt = time.Unix(0, rapid.Int64Range(1, 1<<62).Draw(t, "at"))
		}
		logs = append(logs, l)
	}
	both(t, m.store.StoreLogs(logs), m.model.StoreLogs(logs))
}

// compact deletes from the front, as after a snapshot.
func (m *storeModel) compact(t *rapid.T) {
	first, last := m.bounds()
	if last == 0 {
		t.Skip("nothing to delete")
	}
	to := rapid.Uint64Range(first, last).Draw(t, "to")
	both(t, m.store.DeleteRange(first, to), m.model.DeleteRange(first, to))
}

// truncate deletes from the back, as on a conflict.
func (m *storeModel) truncate(t *rapid.T) {
	first, last := m.bounds()
	if last == 0 {
		t.Skip("nothing to delete")
	}
	from := rapid.Uint64Range(first, last).Draw(t, "from")
	both(t, m.store.DeleteRange(from, last), m.model.DeleteRange(from, last))
}

func (m *storeModel) get(t *rapid.T) {
	first, last := m.bounds()
	i := rapid.Uint64Range(max(first, 1)-1, last+1).Draw(t, "index")
	var got, want raft.Log
	errGot, errWant := m.store.GetLog(i, &got), m.model.GetLog(i, &want)
	if !errors.Is(errGot, errWant) {
		t.Fatalf("GetLog(%d): %v, want %v", i, errGot, errWant)
	}
	if errWant == nil && !sameLog(got, want) {
		t.Fatalf("GetLog(%d) = %+v, want %+v", i, got, want)
	}
}

func (m *storeModel) stable(t *rapid.T) {
	key := []byte(rapid.SampledFrom([]string{"a", "LastVoteCand"}).Draw(t, "key"))
	val := rapid.SliceOfN(rapid.Byte(), 0, 30).Draw(t, "val")
	both(t, m.store.Set(key, val), m.model.Set(key, val))
	got, err := m.store.Get(key)
	if err != nil || !bytes.Equal(got, val) {
		t.Fatalf("Get(%s) = %x, %v, want %x", key, got, err, val)
	}
	n := rapid.Uint64().Draw(t, "number")
	both(t, m.store.SetUint64([]byte("CurrentTerm"), n), nil)
	if got, err := m.store.GetUint64([]byte("CurrentTerm")); got != n || err != nil {
		t.Fatalf("GetUint64 = %d, %v, want %d", got, err, n)
	}
}

func (m *storeModel) check(t *rapid.T) {
	first, last := m.bounds()
	gotFirst, err := m.store.FirstIndex()
	both(t, err, nil)
	gotLast, err := m.store.LastIndex()
	both(t, err, nil)
	if gotFirst != first || gotLast != last {
		t.Fatalf("bounds %d…%d, want %d…%d", gotFirst, gotLast, first, last)
	}
}

func both(t *rapid.T, got, want error) {
	if got != nil || want != nil {
		t.Fatalf("store: %v, model: %v", got, want)
	}
}

func sameLog(a, b raft.Log) bool {
	return a.Index == b.Index && a.Term == b.Term && a.Type == b.Type && a.AppendedAt.Equal(b.AppendedAt) &&
		bytes.Equal(a.Data, b.Data) && bytes.Equal(a.Extensions, b.Extensions)
}

func TestStoreAnswersAsRaftExpects(t *testing.T) {
	s := testStore(t)
	if _, err := s.Get([]byte("absent")); err == nil || err.Error() != "not found" {
		t.Errorf("Get of an absent key: %v", err)
	}
	if n, err := s.GetUint64([]byte("absent")); n != 0 || err == nil || err.Error() != "not found" {
		t.Errorf("GetUint64 of an absent key: %d, %v", n, err)
	}
	var l raft.Log
	if err := s.GetLog(7, &l); err != raft.ErrLogNotFound {
		t.Errorf("GetLog of an absent entry: %v", err)
	}
	if !s.IsMonotonic() {
		t.Error("the log must be monotonic")
	}
}

func TestStoreRefusesAGap(t *testing.T) {
	s := testStore(t)
	if err := s.StoreLog(&raft.Log{Index: 5}); err != nil {
		t.Fatal(err)
	}
	var failed *StorageError
	if err := s.StoreLog(&raft.Log{Index: 7}); !errors.As(err, &failed) {
		t.Errorf("a gap gives %v", err)
	}
}

func TestStoreIsLocked(t *testing.T) {
	s := testStore(t)
	if _, err := openStore(s.path, nil); err == nil {
		t.Error("a second process opened the database")
	}
}

// flip changes one byte of a stored record, as a bad disk does.
func flip(t testing.TB, s *store, bucket, key []byte, at int) {
	t.Helper()
	err := s.db.Update(func(tx *bolt.Tx) error {
		b := clone(tx.Bucket(bucket).Get(key))
		b[at] ^= 0x10
		return tx.Bucket(bucket).Put(key, b)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestStoreFindsEveryFlippedByte(t *testing.T) {
	s := testStore(t)
	entry := &raft.Log{Index: 3, Term: 2, Data: []byte("data"), Extensions: []byte("ext")}
	if err := errors.Join(s.StoreLog(entry), s.Set([]byte("k"), []byte("v"))); err != nil {
		t.Fatal(err)
	}
	var l raft.Log
	for at := range len(sealLog(logKey(3), entry)) {
		flip(t, s, bucketLog, logKey(3), at)
		err := s.GetLog(3, &l)
		var corrupt *CorruptRecordError
		if !errors.As(err, &corrupt) {
			t.Fatalf("byte %d: %v", at, err)
		}
		if corrupt.File != s.path || corrupt.Bucket != "log" || corrupt.Key != "3" {
			t.Errorf("byte %d: %+v", at, corrupt)
		}
		flip(t, s, bucketLog, logKey(3), at)
	}
	flip(t, s, bucketStable, []byte("k"), 4)
	var corrupt *CorruptRecordError
	if _, err := s.Get([]byte("k")); !errors.As(err, &corrupt) || corrupt.Bucket != "stable" {
		t.Errorf("stable: %v", err)
	}
}

func TestRecordIsBoundToItsKey(t *testing.T) {
	b := sealLog(logKey(1), &raft.Log{Index: 1, Data: []byte("x")})
	if _, err := openLog(logKey(2), b); !errors.Is(err, errChecksum) {
		t.Errorf("entry 1 read as entry 2: %v", err)
	}
}

func FuzzOpenLog(f *testing.F) {
	key := logKey(9)
	f.Add(sealLog(key, &raft.Log{Index: 9, Term: 4, Data: []byte("d"), Extensions: []byte("e")}), false)
	f.Add([]byte{0, 0, 0, 0, 1}, true)
	f.Fuzz(func(t *testing.T, b []byte, reseal bool) {
		if reseal { // reach what lies behind the checksum
			b = seal(key, b)
		}
		l, err := openLog(key, b)
		if err != nil {
			return
		}
		if again := sealLog(key, &l); !bytes.Equal(again, b) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}

func BenchmarkStoreLogs(b *testing.B) {
	for _, n := range []int{1, 64, 512} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := testStore(b)
			index := uint64(0)
			logs := make([]*raft.Log, n)
			for b.Loop() {
				for i := range logs {
					index++
					logs[i] = &raft.Log{Index: index, Term: 1, Data: make([]byte, 100)}
				}
				if err := s.StoreLogs(logs); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}
