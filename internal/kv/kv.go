// Package kv keeps small records on disk in bbolt, each with a checksum of its
// own: bbolt's pages have none, and a controller must not serve a flipped bit.
package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// crcLen is the length in bytes of the checksum in front of each value:
// CRC-32C over bucket name, key and value, big-endian.
const crcLen = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openTimeout is how long Open waits for another process to let go of the file.
const openTimeout = time.Second

// CorruptError says that a record does not match its checksum.
type CorruptError struct {
	File, Bucket string
	Key          []byte
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s: record %s/%x is corrupt (checksum mismatch)", e.File, e.Bucket, e.Key)
}

// ErrLocked says that another process has the file open.
var ErrLocked = errors.New("file is in use by another process")

// Options of [OpenWith]. The zero value is that of [Open].
type Options struct {
	// Delayed has an Update return before the disk has it, at the cost of a
	// write(2): it then outlives a SIGKILL, but not a loss of power until it has
	// reached bbolt, which takes about one fsync. See late.
	Delayed bool

	// Logger is told of a disk that fails after an Update has returned, and of
	// its recovery. Default: silent.
	Logger *slog.Logger

	// BeforeSync, if set, is called before each commit's fsync; its error is as
	// good as the disk's. Tests have slow and broken disks by it.
	BeforeSync func() error
}

// DB is an open file of records. Every Update is on disk when it returns, but
// for Options.Delayed.
type DB struct {
	bolt       *bolt.DB
	group      Group[job]
	late       *late // nil, if not delayed
	beforeSync func() error
}

// Open opens or creates the file at path.
func Open(path string) (*DB, error) { return OpenWith(path, Options{}) }

// OpenWith is Open with options. What a delayed file's last process did not
// get to is put into it first, whatever the options.
func OpenWith(path string, o Options) (*DB, error) {
	b, err := openBolt(path)
	if err != nil {
		return nil, err
	}
	db := &DB{bolt: b, beforeSync: o.BeforeSync}
	if err = db.recover(); err == nil && o.Delayed {
		db.late, err = startLate(db, o.Logger)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), b.Close())
	}
	return db, nil
}

func openBolt(path string) (*bolt.DB, error) {
	if err := precheck(path); err != nil {
		return nil, err
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		Timeout: openTimeout, NoFreelistSync: true, FreelistType: bolt.FreelistMapType,
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		err = ErrLocked
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

// Close closes the file. A delayed one is brought up to date first.
func (db *DB) Close() error {
	if db.late != nil {
		return errors.Join(db.late.close(), db.bolt.Close())
	}
	return db.bolt.Close()
}

// Path is the file's path.
func (db *DB) Path() string { return db.bolt.Path() }

// View runs f in a read-only transaction. f must not use db otherwise.
func (db *DB) View(f func(*Tx) error) error {
	if db.late != nil {
		return db.late.view(f)
	}
	return db.bolt.View(func(tx *bolt.Tx) error { return f(&Tx{tx: tx, file: db.Path()}) })
}

// Update runs f in a transaction that is kept when f returned nil, and undone
// otherwise. f must not use db otherwise.
func (db *DB) Update(f func(*Tx) error) error {
	if db.late != nil {
		return db.late.update(f)
	}
	return db.updateBolt(f)
}

// updateBolt is Update with fsync.
func (db *DB) updateBolt(f func(*Tx) error) error {
	return db.bolt.Update(func(tx *bolt.Tx) error {
		if err := f(&Tx{tx: tx, file: db.Path()}); err != nil || db.beforeSync == nil {
			return err
		}
		return db.beforeSync()
	})
}

// Sync returns when the disk has every Update that returned before. It is for
// what others are told of: only a guest that cannot wait is answered earlier.
func (db *DB) Sync() error {
	if db.late != nil {
		return db.late.sync()
	}
	return nil
}

// Err tells why the disk does not have what it should, nil when it has or will.
func (db *DB) Err() error {
	if db.late != nil {
		return db.late.failure()
	}
	return nil
}

// Tx is a transaction.
type Tx struct {
	tx   *bolt.Tx
	file string
	over []changes // of what bbolt has, newest first
	own  changes   // takes what is written; nil: bbolt does
}

// Bucket gives a bucket, and creates it in a transaction that may write. In a
// read-only transaction a bucket that is not there is empty.
func (t *Tx) Bucket(name string) (*Bucket, error) {
	b := &Bucket{b: t.tx.Bucket([]byte(name)), name: name, file: t.file}
	switch {
	case t.own != nil && name == "":
		return nil, bolterrors.ErrBucketNameRequired
	case t.own != nil:
		b.own = t.own.bucket(name)
	case b.b == nil && t.tx.Writable():
		var err error
		if b.b, err = t.tx.CreateBucket([]byte(name)); err != nil {
			return nil, fmt.Errorf("create bucket %s: %w", name, err)
		}
	}
	for _, c := range t.over {
		if one := c[name]; one != nil {
			b.over = append(b.over, one)
		}
	}
	return b, nil
}

// Drop removes a bucket with all its records.
func (t *Tx) Drop(name string) error {
	if t.own != nil {
		t.own.bucket(name).drop()
		return nil
	}
	err := t.tx.DeleteBucket([]byte(name))
	if errors.Is(err, bolterrors.ErrBucketNotFound) {
		return nil
	}
	return err
}

// Bucket is a sorted map of records.
type Bucket struct {
	b    *bolt.Bucket // nil: there is none
	name string
	file string
	over []*bucketChanges // of what b has, newest first
	own  *bucketChanges   // the newest of them, if it takes what is written
}

// Get gives a copy of a record, nil when there is none, and a *CorruptError
// when its checksum is wrong.
func (b *Bucket) Get(key []byte) ([]byte, error) {
	if v, ok := b.changed(key); ok {
		return bytes.Clone(v), nil
	}
	if b.b == nil {
		return nil, nil
	}
	raw := b.b.Get(key)
	if raw == nil {
		return nil, nil
	}
	v, err := b.check(key, raw)
	return bytes.Clone(v), err
}

// Put stores a record.
func (b *Bucket) Put(key, value []byte) error {
	if b.own != nil {
		return b.own.put(key, value)
	}
	raw := binary.BigEndian.AppendUint32(make([]byte, 0, crcLen+len(value)), b.sum(key, value))
	return b.b.Put(key, append(raw, value...))
}

// Delete removes a record; one that is not there is no error.
func (b *Bucket) Delete(key []byte) error {
	if b.own != nil {
		b.own.keys[string(key)] = nil
		return nil
	}
	if b.b == nil {
		return nil
	}
	return b.b.Delete(key)
}

// Each calls f for the records from key from on, in order, until f returns
// false. Key and value are valid only during the call.
func (b *Bucket) Each(from []byte, f func(key, value []byte) bool) error {
	if len(b.over) > 0 {
		return b.eachChanged(from, f)
	}
	if b.b == nil {
		return nil
	}
	c := b.b.Cursor()
	for k, raw := c.Seek(from); k != nil; k, raw = c.Next() {
		v, err := b.check(k, raw)
		if err != nil {
			return err
		}
		if !f(k, v) {
			return nil
		}
	}
	return nil
}

func (b *Bucket) check(key, raw []byte) ([]byte, error) {
	if len(raw) < crcLen || binary.BigEndian.Uint32(raw) != b.sum(key, raw[crcLen:]) {
		return nil, &CorruptError{File: b.file, Bucket: b.name, Key: bytes.Clone(key)}
	}
	return raw[crcLen:], nil
}

func (b *Bucket) sum(key, value []byte) uint32 {
	crc := crc32.Checksum([]byte(b.name), castagnoli)
	crc = crc32.Update(crc, castagnoli, key)
	return crc32.Update(crc, castagnoli, value)
}
