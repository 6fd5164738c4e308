package kv_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/midplane-project/midplane/internal/kv"
	"pgregory.net/rapid"
)

func open(t *testing.T, path string) *kv.DB {
	t.Helper()
	db, err := kv.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func put(t *testing.T, db *kv.DB, key, value string) {
	t.Helper()
	err := db.Update(func(tx *kv.Tx) error {
		b, err := tx.Bucket("b")
		if err != nil {
			return err
		}
		return b.Put([]byte(key), []byte(value))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func get(db *kv.DB, key string) (v []byte, err error) {
	err = db.View(func(tx *kv.Tx) error {
		b, err := tx.Bucket("b")
		if err != nil {
			return err
		}
		v, err = b.Get([]byte(key))
		return err
	})
	return v, err
}

func TestRecordsOutliveTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db := open(t, path)
	put(t, db, "k", "value")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if v, err := get(open(t, path), "k"); err != nil || string(v) != "value" {
		t.Fatalf("got %q, %v", v, err)
	}
}

func TestFlippedBitIsNoticed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db := open(t, path)
	put(t, db, "key", "a value long enough to find")
	db.Close()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	i := bytes.Index(raw, []byte("long enough"))
	if i < 0 {
		t.Fatal("value not found in the file")
	}
	for ; i >= 0; i = bytes.Index(raw, []byte("long enough")) { // every page that holds it
		raw[i] ^= 1
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	var corrupt *kv.CorruptError
	if v, err := get(open(t, path), "key"); !errors.As(err, &corrupt) {
		t.Fatalf("got %q, %v; want a CorruptError", v, err)
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	open(t, path)
	if _, err := kv.Open(path); !errors.Is(err, kv.ErrLocked) {
		t.Fatalf("got %v, want ErrLocked", err)
	}
}

func TestAgainstMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp("", "kv")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		db, err := kv.Open(filepath.Join(dir, "x.db"))
		if err != nil {
			rt.Fatal(err)
		}
		defer db.Close()
		model := map[string]string{}
		key := rapid.SampledFrom([]string{"a", "b", "c", "d"})
		rt.Repeat(map[string]func(*rapid.T){
			"put": func(rt *rapid.T) {
				k, v := key.Draw(rt, "k"), rapid.String().Draw(rt, "v")
				put(t, db, k, v)
				model[k] = v
			},
			"": func(rt *rapid.T) {
				n := 0
				err := db.View(func(tx *kv.Tx) error {
					b, err := tx.Bucket("b")
					if err != nil {
						return err
					}
					return b.Each(nil, func(k, v []byte) bool {
						n++
						if model[string(k)] != string(v) {
							rt.Errorf("%q = %q, want %q", k, v, model[string(k)])
						}
						return true
					})
				})
				if err != nil || n != len(model) {
					rt.Fatalf("%d records, want %d: %v", n, len(model), err)
				}
			},
		})
	})
}
