package kv

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// ErrDamaged says that the pages of a file make no sense, or are missing.
var ErrDamaged = errors.New("file is damaged")

// Verify reads every record that bbolt has. The error is a [CorruptError] or ErrDamaged.
func (db *DB) Verify() error {
	return db.bolt.View(func(tx *bolt.Tx) error {
		for _, found := range scan(tx, db.Path()) {
			if err := found.err(db.Path()); err != nil {
				return err
			}
		}
		return nil
	})
}

// precheck reads a file's pages before it is opened for writing, since bbolt
// then looks for free pages in a goroutine of its own, where a damaged one is a
// panic that ends the process. A file that is not there or empty passes.
func precheck(path string) error {
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		return nil // opening tells
	}
	return guard(path, func() error {
		return reading(path, func(tx *bolt.Tx) error {
			for _, c := range scan(tx, path) {
				if c.torn != nil {
					return c.torn
				}
			}
			return nil
		})
	})
}

// reading runs f on a file that is opened read-only: bbolt then does not look
// for free pages.
func reading(path string, f func(*bolt.Tx) error) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: openTimeout})
	if errors.Is(err, bolterrors.ErrTimeout) {
		err = ErrLocked
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	return errors.Join(db.View(f), db.Close())
}

// contents is what can be read of one bucket.
type contents struct {
	bucket  string
	records [][2][]byte // keys and values; valid during the transaction
	corrupt [][]byte    // keys whose checksum is wrong
	torn    error       // ErrDamaged when there may be more that cannot be reached
}

func (c *contents) err(file string) error {
	if len(c.corrupt) > 0 {
		return &CorruptError{File: file, Bucket: c.bucket, Key: c.corrupt[0]}
	}
	return c.torn
}

// scan reads all that can be read. Of a bucket with a damaged page it finds
// what lies before and what lies behind. A damaged list of buckets is a bucket
// without a name.
func scan(tx *bolt.Tx, file string) (all []*contents) {
	var names [][]byte
	err := guard(file, func() error {
		return tx.ForEach(func(name []byte, _ *bolt.Bucket) error {
			names = append(names, name)
			return nil
		})
	})
	if err != nil {
		all = append(all, &contents{torn: err})
	}
	for _, name := range names {
		c := &contents{bucket: string(name)}
		c.torn = guard(file, func() error { return c.read(tx, (*bolt.Cursor).First, (*bolt.Cursor).Next, nil) })
		if c.torn != nil {
			var last []byte
			if n := len(c.records); n > 0 {
				last = c.records[n-1][0]
			}
			_ = guard(file, func() error { return c.read(tx, (*bolt.Cursor).Last, (*bolt.Cursor).Prev, last) }) // torn already
		}
		all = append(all, c)
	}
	return all
}

type step = func(*bolt.Cursor) (key, value []byte)

// read takes the records from first on, until the one with the key until.
func (c *contents) read(tx *bolt.Tx, first, next step, until []byte) error {
	b := tx.Bucket([]byte(c.bucket))
	if b == nil {
		return fmt.Errorf("bucket %s: %w", c.bucket, ErrDamaged)
	}
	check := Bucket{b: b, name: c.bucket, file: tx.DB().Path()}
	cursor := b.Cursor()
	for k, raw := first(cursor); k != nil && string(k) != string(until); k, raw = next(cursor) {
		if v, err := check.check(k, raw); err != nil {
			c.corrupt = append(c.corrupt, append([]byte(nil), k...))
		} else {
			c.records = append(c.records, [2][]byte{k, v})
		}
	}
	return nil
}

// guard runs f, and makes ErrDamaged of what bbolt does when a page is not what
// it should be: it panics, or reads beyond the end of the file.
func guard(file string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: %w (%v)", file, ErrDamaged, p)
		}
	}()
	return f()
}
