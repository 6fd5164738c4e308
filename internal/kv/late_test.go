package kv_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/midplane-project/midplane/internal/kv"
)

// disk is what a delayed file is synced to.
type disk struct {
	took time.Duration

	mu   sync.Mutex
	held chan struct{} // closed to let go; nil: free
	fail error
}

func (d *disk) sync() error {
	d.mu.Lock()
	held := d.held
	d.mu.Unlock()
	if held != nil {
		<-held
	}
	time.Sleep(d.took)
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fail
}

// hold lets nothing reach bbolt any more.
func (d *disk) hold() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held == nil {
		d.held = make(chan struct{})
	}
}

func (d *disk) letGo() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held != nil {
		close(d.held)
		d.held = nil
	}
}

func (d *disk) failWith(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = err
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
	held  bool
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

// quiet waits until bbolt has everything, unless the disk is held.
func (m *lateModel) quiet(rt *rapid.T) {
	if m.held {
		return
	}
	if err := m.db.Sync(); err != nil {
		rt.Fatal(err)
	}
}

func (m *lateModel) holdDisk(rt *rapid.T) {
	m.quiet(rt)
	m.held = true
	m.disk.hold()
}

func (m *lateModel) letGo(rt *rapid.T) {
	m.held = false
	m.disk.letGo()
	m.quiet(rt)
}

// kill drops the process at a point where its disk is held or idle.
func (m *lateModel) kill(rt *rapid.T) {
	m.quiet(rt)
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
			"hold":   m.holdDisk,
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
	d.hold()
	for i := range 5 {
		if err := do(db, "b", fmt.Sprintf("%d=%d", i+1, i+1), fmt.Sprintf("last=%d", i+1)); err != nil {
			t.Fatal(err)
		}
	}
	path := copyFiles(t, db.Path(), dir)
	d.letGo()
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

// TestPowerLoss: of the two journals any may be gone or be an older one. What
// is kept is still a beginning of what was done.
func TestPowerLoss(t *testing.T) {
	from := heldFile(t, t.TempDir())
	journals := full(t, from)
	if len(journals) != 2 {
		t.Fatalf("%d journals", len(journals))
	}
	for gone := range 4 {
		path := copyFiles(t, from, t.TempDir())
		for i, name := range journals {
			if gone&(1<<i) != 0 {
				if err := os.Remove(filepath.Join(filepath.Dir(path), filepath.Base(name))); err != nil {
					t.Fatal(err)
				}
			}
		}
		db := openLate(t, path, &disk{})
		kept := all(t, db, "b", "0")
		v, err := get(db, "last")
		if err != nil || kept[0] != "0=0" || len(kept) > 1 && string(v) != fmt.Sprint(len(kept)-2) {
			t.Errorf("without %b: %q, %v", gone, kept, err)
		}
		if gone == 0 && len(kept) != 7 || gone == 3 && len(kept) != 1 {
			t.Errorf("without %b: %q", gone, kept)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		goesOn(t, path, max(len(kept)-2, 0))
	}
}

// A repaired file gets what stands in the journals too.
func TestRepairBesideJournals(t *testing.T) {
	for _, lost := range []string{"", "synced"} {
		path := heldFile(t, t.TempDir())
		if lost != "" {
			damage(t, path, flip(lost))
			if got, err := kv.Repair(path, repairedAt); err != nil || len(got.Lost) != 1 {
				t.Fatalf("%+v, %v", got, err)
			}
		}
		if got := fmt.Sprint(all(t, reopen(t, path), "b", "")); got != "[0=0 1=1 2=2 3=3 4=4 5=5 last=5]" {
			t.Errorf("without %q: %s", lost, got)
		}
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
