package kv_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/internal/kv"
)

// An update of a delayed file does not wait for the disk, and readers see it at
// once; another file's waits.
func TestSlowDisk(t *testing.T) {
	for delayed, want := range map[bool]time.Duration{true: 0, false: 20 * time.Millisecond} {
		t.Run(fmt.Sprint(delayed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &disk{took: 20 * time.Millisecond}
				path := filepath.Join(t.TempDir(), "x.db")
				db, err := kv.OpenWith(path, kv.Options{Delayed: delayed, BeforeSync: d.sync})
				if err != nil {
					t.Fatal(err)
				}
				for i, do := range []func(func(*kv.Tx) error) error{db.Update, db.Batch, db.Update} {
					step := fmt.Sprintf("%d", i)
					start := time.Now()
					err := do(func(tx *kv.Tx) error {
						b, err := tx.Bucket("b")
						if err != nil {
							return err
						}
						return b.Put([]byte(step), []byte("v"))
					})
					if took := time.Since(start); err != nil || took != want {
						t.Errorf("update took %v, want %v: %v", took, want, err)
					}
					if v, err := get(db, step); err != nil || string(v) != "v" {
						t.Errorf("read %q, %v", v, err)
					}
					synctest.Wait()
				}
				start := time.Now()
				if err := db.Sync(); err != nil {
					t.Error(err)
				}
				if took := time.Since(start); delayed != (took == 40*time.Millisecond) { // the first, then the two that came meanwhile
					t.Errorf("sync took %v", took)
				}
				if err := db.Close(); err != nil {
					t.Error(err)
				}
				if left, _ := filepath.Glob(path + "?*"); len(left) != 0 {
					t.Errorf("left %q", left)
				}
			})
		})
	}
}

// TestDiskBehind: what waits for the disk is bounded.
func TestDiskBehind(t *testing.T) {
	d := &disk{}
	db := openLate(t, filepath.Join(t.TempDir(), "x.db"), d)
	d.hold()
	big, taken := strings.Repeat("x", 1<<20), 0
	for ; taken < 20; taken++ {
		if err := do(db, "b", fmt.Sprintf("%02d=%s", taken, big)); errors.Is(err, kv.ErrBehind) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if taken < 4 || taken > 9 {
		t.Errorf("%d MB were taken", taken)
	}
	d.letGo()
	if err := errors.Join(db.Sync(), do(db, "b", "zz=1")); err != nil {
		t.Error(err)
	}
	if got := len(all(t, db, "b", "")); got != taken+1 {
		t.Errorf("%d records, want %d", got, taken+1)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// TestLateTogether has many write and read while a disk is at work. Each adds
// one to its own count and to that of all, which stay equal.
func TestLateTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db := openLate(t, path, &disk{})
	var together sync.WaitGroup
	for who := range 4 {
		together.Go(func() {
			for range 100 {
				if err := db.Batch(func(tx *kv.Tx) error { return errors.Join(count(tx, fmt.Sprint(who)), count(tx, "all")) }); err != nil {
					t.Error(err)
				}
				if err := db.View(func(tx *kv.Tx) error { return counted(tx) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	together.Wait()
	if got := fmt.Sprint(all(t, db, "b", "")); got != "[0=100 1=100 2=100 3=100 all=400]" {
		t.Error(got)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(all(t, open(t, path), "b", "")); got != "[0=100 1=100 2=100 3=100 all=400]" {
		t.Errorf("from disk: %s", got)
	}
}

func count(tx *kv.Tx, key string) error {
	b, err := tx.Bucket("b")
	if err != nil {
		return err
	}
	v, err := b.Get([]byte(key))
	n, _ := strconv.Atoi(string(v))
	return errors.Join(err, b.Put([]byte(key), []byte(strconv.Itoa(n+1))))
}

// counted reports counts that do not add up.
func counted(tx *kv.Tx) error {
	b, err := tx.Bucket("b")
	if err != nil {
		return err
	}
	sum, total := 0, 0
	err = b.Each(nil, func(k, v []byte) bool {
		n, _ := strconv.Atoi(string(v))
		if sum += n; string(k) == "all" {
			sum, total = sum-n, n
		}
		return true
	})
	if sum != total {
		err = fmt.Errorf("%d of %d", sum, total)
	}
	return err
}

// TestBrokenDisk: what was answered is not lost, no more is taken, and all is
// well again when the disk is.
func TestBrokenDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := errors.New("bad disk")
		var log strings.Builder
		d := &disk{}
		path := filepath.Join(t.TempDir(), "x.db")
		db, err := kv.OpenWith(path, kv.Options{Delayed: true, BeforeSync: d.sync, Logger: logTo(&log)})
		if err != nil {
			t.Fatal(err)
		}
		d.failWith(bad)
		if err := do(db, "b", "1=1"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := do(db, "b", "2=2"); !errors.Is(err, bad) {
			t.Errorf("the next update: %v", err)
		}
		if err := db.Sync(); !errors.Is(err, bad) || !errors.Is(db.Err(), bad) {
			t.Errorf("sync: %v, %v", err, db.Err())
		}
		if got := fmt.Sprint(all(t, db, "b", "")); got != "[1=1]" {
			t.Errorf("there is %s", got)
		}
		if left := all(t, reopen(t, copyFiles(t, path, t.TempDir())), "b", ""); fmt.Sprint(left) != "[1=1]" {
			t.Errorf("left is %s", left)
		}
		if strings.Count(log.String(), "bad disk") != 1 {
			t.Errorf("log: %s", log.String())
		}
		d.failWith(nil)
		time.Sleep(2 * time.Second)
		if err := errors.Join(db.Err(), do(db, "b", "2=2"), db.Sync()); err != nil {
			t.Error(err)
		}
		d.failWith(bad)
		if err := do(db, "b", "3=3"); err != nil {
			t.Error(err)
		}
		if err := db.Close(); !errors.Is(err, bad) {
			t.Errorf("close: %v", err)
		}
		if left := all(t, reopen(t, path), "b", ""); fmt.Sprint(left) != "[1=1 2=2 3=3]" {
			t.Errorf("after it: %s", left)
		}
	})
}
