package kv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Repaired tells what Repair has done.
type Repaired struct {
	Kept  map[string]int // records by bucket
	Lost  []string       // records that did not match their checksums, as bucket/hex key
	Torn  []string       // buckets of which more may be lost, "" for any
	Aside string         // where the file is now as it was; empty: nothing was wrong with it
}

// Repair replaces the file at path by one with all records that check out, and
// keeps the old one beside it. A file without damage is left alone. Nobody may
// have it open (ErrLocked).
func Repair(path string, now time.Time) (Repaired, error) {
	out := Repaired{Kept: make(map[string]int)}
	fresh := path + ".repaired"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return out, err
	}
	err := guard(path, func() error { return out.salvage(path, fresh) })
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission), errors.Is(err, ErrLocked):
		return out, errors.Join(err, removed(fresh))
	case err != nil: // not even the first page can be read
		out.Torn = append(out.Torn, "")
	case len(out.Lost)+len(out.Torn) == 0:
		return out, removed(fresh)
	}
	aside := path + ".damaged-" + now.UTC().Format("20060102T150405Z")
	if err := os.Rename(path, aside); err != nil {
		return out, err
	}
	out.Aside = aside
	if err := os.Rename(fresh, path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return out, err
	}
	return out, syncDir(filepath.Dir(path))
}

func removed(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// salvage copies what checks out from one file into a new one.
func (r *Repaired) salvage(from, to string) error {
	if _, err := os.Stat(from); err != nil {
		return err
	}
	return reading(from, func(old *bolt.Tx) error {
		db, err := Open(to)
		if err != nil {
			return err
		}
		all := scan(old, from)
		return errors.Join(db.Update(func(tx *Tx) error { return r.take(tx, all) }), db.Close())
	})
}

func (r *Repaired) take(tx *Tx, all []*contents) error {
	for _, c := range all {
		if c.torn != nil {
			r.Torn = append(r.Torn, c.bucket)
		}
		for _, key := range c.corrupt {
			r.Lost = append(r.Lost, fmt.Sprintf("%s/%x", c.bucket, key))
		}
		if c.bucket == "" {
			continue
		}
		b, err := tx.Bucket(c.bucket)
		if err != nil {
			return err
		}
		for _, kv := range c.records {
			if err := b.Put(kv[0], kv[1]); err != nil {
				return err
			}
			r.Kept[c.bucket]++
		}
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
