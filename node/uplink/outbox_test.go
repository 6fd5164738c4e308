package uplink

import (
	"errors"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/midplane-project/midplane/internal/kv"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

func openBox(t *testing.T, path string) (*kv.DB, *Outbox) {
	t.Helper()
	db, err := kv.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	o, err := OpenOutbox(db)
	if err != nil {
		t.Fatal(err)
	}
	return db, o
}

func fill(t *testing.T, o *Outbox, n int) {
	t.Helper()
	for range n {
		if _, err := o.Append(&v1.Event{Body: []byte{byte(o.Last() + 1)}}); err != nil {
			t.Fatal(err)
		}
	}
}

// bodies gives the first byte of each waiting event's body, by which fill made
// them known.
func bodies(t *testing.T, o *Outbox, after uint64) (out []byte) {
	t.Helper()
	events, err := o.After(after, 100)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range events {
		if e.GetN() != after+uint64(i)+1 {
			t.Fatalf("event %d follows %d", e.GetN(), after+uint64(i))
		}
		out = append(out, e.GetBody()[0])
	}
	return out
}

func TestOutboxSurvivesRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.db")
	db, o := openBox(t, path)
	fill(t, o, 5)
	if err := o.Ack(2); err != nil {
		t.Fatal(err)
	}
	id := o.UUID()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, o = openBox(t, path)
	if o.UUID() != id || o.Acked() != 2 || o.Last() != 5 {
		t.Errorf("UUID %v (was %v), acknowledged %d, last %d", o.UUID(), id, o.Acked(), o.Last())
	}
	if got := bodies(t, o, 2); string(got) != "\x03\x04\x05" {
		t.Errorf("waiting: %v", got)
	}
}

// An outbox that is empty goes on counting where it was.
func TestOutboxRemembersNumbersWhenEmpty(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.db")
	db, o := openBox(t, path)
	fill(t, o, 3)
	if err := o.Ack(3); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, o = openBox(t, path)
	if n, err := o.Append(&v1.Event{}); n != 4 || err != nil {
		t.Errorf("next event: %d, %v", n, err)
	}
}

func TestOutboxIgnoresSenselessAcks(t *testing.T) {
	_, o := openBox(t, filepath.Join(t.TempDir(), "node.db"))
	fill(t, o, 3)
	for _, n := range []uint64{2, 1, 0, 4, 1 << 60} {
		if err := o.Ack(n); err != nil {
			t.Fatal(err)
		}
	}
	if o.Acked() != 2 {
		t.Errorf("acknowledged: %d", o.Acked())
	}
}

func TestOutboxFull(t *testing.T) {
	_, o := openBox(t, filepath.Join(t.TempDir(), "node.db"))
	o.last = MaxEvents // as after so many events that nobody fetched
	if _, err := o.Append(&v1.Event{}); !errors.Is(err, ErrOutboxFull) || o.Dropped() != 1 {
		t.Errorf("%v, %d dropped", err, o.Dropped())
	}
}

func TestOutboxRenew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.db")
	db, o := openBox(t, path)
	fill(t, o, 5)
	if err := o.Ack(3); err != nil {
		t.Fatal(err)
	}
	id := o.UUID()
	if err := o.Renew(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if o.UUID() == id || o.Acked() != 0 || o.Last() != 2 || string(bodies(t, o, 0)) != "\x04\x05" {
			t.Errorf("UUID %v (was %v), acknowledged %d, last %d", o.UUID(), id, o.Acked(), o.Last())
		}
		_ = db.Close()
		db, o = openBox(t, path)
	}
}

func TestOutboxFindsCorruptRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.db")
	db, o := openBox(t, path)
	fill(t, o, 1)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	spoil(t, path)
	db, err := kv.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var corrupt *kv.CorruptError
	if _, err := OpenOutbox(db); !errors.As(err, &corrupt) {
		t.Errorf("open: %v", err)
	}
}

// spoil flips a bit of the first event, past bbolt, which would not notice.
func spoil(t *testing.T, path string) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(eventBucket))
		k, v := b.Cursor().First()
		v = append([]byte(nil), v...)
		v[len(v)-1] ^= 1
		return b.Put(append([]byte(nil), k...), v)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}
