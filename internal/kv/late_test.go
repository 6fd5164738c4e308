package kv_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/midplane-project/midplane/internal/kv"
)

// disk is what a delayed file is synced to. While it is held, nothing reaches bbolt.
type disk struct {
	hold chan struct{} // closed to let go; nil: free
	took time.Duration
	fail error
}

func (d *disk) sync() error {
	if d.hold != nil {
		<-d.hold
	}
	time.Sleep(d.took)
	return d.fail
}

// openLate opens a delayed file. It must be closed in the test's bubble, if
// there is one.
func openLate(t fataler, path string, d *disk) *kv.DB {
	t.Helper()
	db, err := kv.OpenWith(path, kv.Options{Delayed: true, BeforeSync: d.sync})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// do puts (key=value), deletes (key) or drops a whole bucket (!), in one transaction.
func do(db *kv.DB, bucket string, steps ...string) error {
	return db.Update(func(tx *kv.Tx) error {
		for _, s := range steps {
			b, err := tx.Bucket(bucket)
			if err != nil {
				return err
			}
			key, value, isPut := strings.Cut(s, "=")
			switch {
			case s == "!":
				err = tx.Drop(bucket)
			case isPut:
				err = b.Put([]byte(key), []byte(value))
			default:
				err = b.Delete([]byte(key))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// all gives the records of a bucket from a key on, by Each.
func all(t fataler, db *kv.DB, bucket, from string) (out []string) {
	t.Helper()
	err := db.View(func(tx *kv.Tx) error { return each(tx, bucket, from, &out) })
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func each(tx *kv.Tx, bucket, from string, out *[]string) error {
	b, err := tx.Bucket(bucket)
	if err != nil {
		return err
	}
	var bad error
	err = b.Each([]byte(from), func(k, v []byte) bool {
		*out = append(*out, string(k)+"="+string(v))
		if got, err := b.Get(k); err != nil || got == nil || string(got) != string(v) {
			bad = fmt.Errorf("get %q: %q, %v", k, got, err)
		}
		return true
	})
	return errors.Join(err, bad)
}

// copyFiles gives another directory the files as they are now, as a SIGKILL
// leaves them.
func copyFiles(t fataler, path, dir string) string {
	t.Helper()
	names, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(name)), raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, filepath.Base(path))
}

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

// lateModel is a delayed file and what must be in it.
type lateModel struct {
	db    *kv.DB
	disk  *disk
	path  string
	want  map[string]map[string]string
	dirs  int
	under string
}

var (
	drawBucket = rapid.SampledFrom([]string{"a", "b"})
	drawKey    = rapid.SampledFrom([]string{"k1", "k2", "k3", "k3x", "k4"})
)

func (m *lateModel) update(rt *rapid.T) {
	bucket := drawBucket.Draw(rt, "bucket")
	var steps []string
	next := maps.Clone(m.want[bucket])
	if next == nil {
		next = make(map[string]string)
	}
	for range rapid.IntRange(0, 4).Draw(rt, "steps") {
		k := drawKey.Draw(rt, "key")
		switch rapid.IntRange(0, 5).Draw(rt, "what") {
		case 0:
			steps = append(steps, "!")
			clear(next)
		case 1, 2:
			steps = append(steps, k)
			delete(next, k)
		default:
			v := rapid.StringN(0, 30, -1).Draw(rt, "value")
			steps = append(steps, k+"="+v)
			next[k] = v
		}
	}
	if rapid.IntRange(0, 4).Draw(rt, "undo") == 0 {
		if err := do(m.db, bucket, append(steps, "=no key")...); err == nil {
			rt.Fatal("a record without a key is taken")
		}
		return
	}
	if err := do(m.db, bucket, steps...); err != nil {
		rt.Fatal(err)
	}
	m.want[bucket] = next
}

func (m *lateModel) holdDisk() {
	if m.disk.hold == nil {
		_ = m.db.Sync() // so that nobody looks at hold
		m.disk.hold = make(chan struct{})
	}
}

func (m *lateModel) letGo(rt *rapid.T) {
	if m.disk.hold != nil {
		close(m.disk.hold)
	}
	if err := m.db.Sync(); err != nil {
		rt.Fatal(err)
	}
	m.disk.hold = nil
}

// kill drops the process at a point where its disk is held or idle.
func (m *lateModel) kill(rt *rapid.T) {
	if m.disk.hold == nil {
		_ = m.db.Sync()
	}
	m.dirs++
	dir := filepath.Join(m.under, fmt.Sprint(m.dirs))
	if err := os.Mkdir(dir, 0o700); err != nil {
		rt.Fatal(err)
	}
	next := copyFiles(rt, m.path, dir)
	m.letGo(rt)
	if err := m.db.Close(); err != nil {
		rt.Fatal(err)
	}
	m.path = next
}

func (m *lateModel) check(rt *rapid.T) {
	from := drawKey.Draw(rt, "from")
	for _, bucket := range []string{"a", "b"} {
		var want []string
		for _, k := range slices.Sorted(maps.Keys(m.want[bucket])) {
			if k >= from {
				want = append(want, k+"="+m.want[bucket][k])
			}
		}
		if got := all(rt, m.db, bucket, from); !slices.Equal(got, want) {
			rt.Fatalf("bucket %s has %q, want %q", bucket, got, want)
		}
	}
	if v, err := get(m.db, "none"); v != nil || err != nil {
		rt.Fatalf("what is not there: %q, %v", v, err)
	}
}

// TestLateAgainstMap: a delayed file has what was put into it, wherever it is,
// over every way to end a process.
func TestLateAgainstMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		under, err := os.MkdirTemp("", "kv")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(under)
		m := &lateModel{disk: &disk{}, path: filepath.Join(under, "x.db"), want: make(map[string]map[string]string), under: under}
		m.db = openLate(rt, m.path, m.disk)
		rt.Repeat(map[string]func(*rapid.T){
			"update": m.update, "update more": m.update, "": m.check,
			"hold":   func(*rapid.T) { m.holdDisk() },
			"let go": m.letGo,
			"close": func(rt *rapid.T) {
				m.letGo(rt)
				if err := m.db.Close(); err != nil {
					rt.Fatal(err)
				}
				m.db = openLate(rt, m.path, m.disk)
			},
			"kill": func(rt *rapid.T) {
				m.kill(rt)
				m.db = openLate(rt, m.path, m.disk)
			},
			"kill, and not delayed": func(rt *rapid.T) {
				m.kill(rt)
				if m.db, err = kv.Open(m.path); err != nil {
					rt.Fatal(err)
				}
				m.check(rt)
				if err := m.db.Close(); err != nil {
					rt.Fatal(err)
				}
				m.db = openLate(rt, m.path, m.disk)
			},
		})
		m.letGo(rt)
		if err := m.db.Close(); err != nil {
			rt.Fatal(err)
		}
	})
}

// heldFile makes a file with five records that are in a journal only, on top of
// one that bbolt has, and gives its files in dir.
func heldFile(t *testing.T, dir string) string {
	t.Helper()
	d := &disk{}
	db := openLate(t, filepath.Join(t.TempDir(), "x.db"), d)
	if err := errors.Join(do(db, "b", "0=0"), db.Sync()); err != nil {
		t.Fatal(err)
	}
	d.hold = make(chan struct{})
	for i := range 5 {
		if err := do(db, "b", fmt.Sprintf("%d=%d", i+1, i+1), fmt.Sprintf("last=%d", i+1)); err != nil {
			t.Fatal(err)
		}
	}
	path := copyFiles(t, db.Path(), dir)
	close(d.hold)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// full gives the journals that have something, in the order of their numbers.
func full(t *testing.T, path string) (out []string) {
	t.Helper()
	for _, name := range []string{path + ".journal-a", path + ".journal-b"} {
		if info, err := os.Stat(name); err != nil {
			t.Fatal(err)
		} else if info.Size() > 0 {
			out = append(out, name)
		}
	}
	return out
}

// TestTornJournal: of a journal that ends anywhere, or has a wrong byte
// anywhere, what stands before is kept, each transaction as a whole.
func TestTornJournal(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(raw []byte, at int) []byte
		every int
	}{
		"cut":     {func(raw []byte, at int) []byte { return raw[:at] }, 1},
		"flipped": {func(raw []byte, at int) []byte { raw[at] ^= 0x10; return raw }, 5},
		"zeros":   {func(raw []byte, at int) []byte { clear(raw[at:]); return raw }, 5},
	} {
		t.Run(name, func(t *testing.T) {
			from := heldFile(t, t.TempDir())
			journals := full(t, from)
			seen := make(map[int]bool)
			for _, journal := range journals {
				raw, err := os.ReadFile(journal)
				if err != nil {
					t.Fatal(err)
				}
				for at := 0; at < len(raw); at += c.every {
					path := copyFiles(t, from, t.TempDir())
					bad := filepath.Join(filepath.Dir(path), filepath.Base(journal))
					if err := os.WriteFile(bad, c.spoil(slices.Clone(raw), at), 0o600); err != nil {
						t.Fatal(err)
					}
					d := &disk{}
					db := openLate(t, path, d)
					kept := len(all(t, db, "b", "1"))
					if kept > 0 {
						kept-- // last
						if v, err := get(db, "last"); err != nil || string(v) != fmt.Sprint(kept) {
							t.Fatalf("%s at %d: %d kept, the last is %q, %v", filepath.Base(journal), at, kept, v, err)
						}
					}
					if v, err := get(db, "0"); err != nil || string(v) != "0" {
						t.Fatalf("%s at %d: %q, %v", filepath.Base(journal), at, v, err)
					}
					if err := db.Close(); err != nil {
						t.Fatal(err)
					}
					if !seen[kept] {
						seen[kept] = true
						goesOn(t, path, kept)
					}
				}
			}
			for kept := range 5 { // the whole journal is not among them
				if !seen[kept] {
					t.Errorf("no tear left %d", kept)
				}
			}
		})
	}
}

// goesOn looks whether a file that lost something takes more.
func goesOn(t *testing.T, path string, kept int) {
	t.Helper()
	db := openLate(t, path, &disk{})
	if err := errors.Join(do(db, "b", "9=9"), db.Close(), verify(path)); err != nil {
		t.Fatal(err)
	}
	db = open(t, path)
	if got := all(t, db, "b", "1"); len(got) != kept+min(kept, 1)+1 {
		t.Errorf("%d kept, and then %q", kept, got)
	}
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
		d.fail = bad
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
		d.fail = nil
		time.Sleep(2 * time.Second)
		if err := errors.Join(db.Err(), do(db, "b", "2=2"), db.Sync()); err != nil {
			t.Error(err)
		}
		d.fail = bad
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
