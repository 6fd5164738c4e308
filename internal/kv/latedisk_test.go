package kv_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

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
