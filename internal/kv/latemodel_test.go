package kv_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/midplane-project/midplane/internal/kv"
)

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
