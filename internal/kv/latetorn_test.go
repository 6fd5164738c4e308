package kv_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/midplane-project/midplane/internal/kv"
)

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
