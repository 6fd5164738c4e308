package kv_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/midplane-project/midplane/internal/kv"
)

var repairedAt = time.Date(2026, 11, 25, 1, 2, 3, 0, time.UTC)

// filled makes a file with n records and closes it.
func filled(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := kv.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *kv.Tx) error {
		b, err := tx.Bucket("b")
		for i := range n {
			err = errors.Join(err, b.Put(fmt.Appendf(nil, "key %04d", i), fmt.Appendf(nil, "the value of %04d", i)))
		}
		return err
	})
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// damage changes the file's bytes.
func damage(t *testing.T, path string, f func(raw []byte) []byte) (was []byte) {
	t.Helper()
	was, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, f(bytes.Clone(was)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return was
}

// flip flips a bit wherever text stands.
func flip(text string) func([]byte) []byte {
	return func(raw []byte) []byte {
		return bytes.ReplaceAll(raw, []byte(text), append([]byte{text[0] ^ 1}, text[1:]...))
	}
}

func verify(path string) error {
	db, err := kv.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(db.Verify(), db.Close())
}

func TestRepairLeavesASoundFileAlone(t *testing.T) {
	path := filled(t, 100)
	was := damage(t, path, func(raw []byte) []byte { return raw })
	got, err := kv.Repair(path, repairedAt)
	if err != nil || got.Aside != "" || got.Kept["b"] != 100 {
		t.Errorf("%+v, %v", got, err)
	}
	if now, _ := os.ReadFile(path); !bytes.Equal(now, was) {
		t.Error("the file has changed")
	}
	if left, _ := filepath.Glob(path + "?*"); len(left) != 0 {
		t.Errorf("left %q", left)
	}
}

// TestRepair: each damage is noticed, what is not hit is kept, and the old file
// is kept too.
func TestRepair(t *testing.T) {
	for name, c := range map[string]struct {
		damage     func(raw []byte) []byte
		least      int // records that must be kept, of 1000
		lost, torn int
	}{
		"a bit of a record": {flip("value of 0500"), 999, 1, 0},
		"a page of records": {func(raw []byte) []byte {
			i := bytes.Index(raw, []byte("value of 0500")) / 4096 * 4096
			clear(raw[i : i+4096])
			return raw
		}, 700, 0, 1},
		"the end is missing": {func(raw []byte) []byte { return raw[:len(raw)/2] }, 0, 0, 1},
		"no database":        {func([]byte) []byte { return []byte("no database") }, 0, 0, 1},
		"nothing":            {func(raw []byte) []byte { clear(raw); return raw }, 0, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			path := filled(t, 1000)
			damage(t, path, c.damage)
			hurt := damage(t, path, func(raw []byte) []byte { return raw })
			if err := verify(path); err == nil {
				t.Error("the damage is not noticed")
			}
			got, err := kv.Repair(path, repairedAt)
			if err != nil || got.Kept["b"] < c.least || len(got.Lost) != c.lost || len(got.Torn) != c.torn {
				t.Fatalf("%+v, %v", got, err)
			}
			if got.Aside != path+".damaged-20261125T010203Z" {
				t.Errorf("aside: %s", got.Aside)
			}
			if aside, err := os.ReadFile(got.Aside); err != nil || !bytes.Equal(aside, hurt) {
				t.Errorf("the old file has %d bytes, not %d: %v", len(aside), len(hurt), err)
			}
			if err := verify(path); err != nil {
				t.Error(err)
			}
			n := 0
			db := open(t, path)
			for i := range 1000 {
				v, err := get(db, fmt.Sprintf("key %04d", i))
				if want := fmt.Sprintf("the value of %04d", i); err != nil || v != nil && string(v) != want {
					t.Fatalf("%d: %q, %v", i, v, err)
				}
				if v != nil {
					n++
				}
			}
			if n != got.Kept["b"] {
				t.Errorf("%d records, told of %d", n, got.Kept["b"])
			}
		})
	}
}

func TestRepairRefuses(t *testing.T) {
	path := filled(t, 1)
	db := open(t, path)
	if _, err := kv.Repair(path, repairedAt); !errors.Is(err, kv.ErrLocked) {
		t.Errorf("a file in use: %v", err)
	}
	db.Close()
	if _, err := kv.Repair(path+".none", repairedAt); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
