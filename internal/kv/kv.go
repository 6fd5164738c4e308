// Package kv keeps small records on disk in bbolt, each with a checksum of its
// own: bbolt's pages have none, and a controller must not serve a flipped bit.
package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
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

// DB is an open file of records. Every Update is on disk when it returns.
type DB struct {
	bolt  *bolt.DB
	group Group[job]
}

// Open opens or creates the file at path.
func Open(path string) (*DB, error) {
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
	return &DB{bolt: db}, nil
}

// Close closes the file.
func (db *DB) Close() error { return db.bolt.Close() }

// Path is the file's path.
func (db *DB) Path() string { return db.bolt.Path() }

// View runs f in a read-only transaction.
func (db *DB) View(f func(*Tx) error) error {
	return db.bolt.View(func(tx *bolt.Tx) error { return f(&Tx{tx, db.Path()}) })
}

// Update runs f in a transaction that is committed, with fsync, when f
// returned nil, and undone otherwise.
func (db *DB) Update(f func(*Tx) error) error {
	return db.bolt.Update(func(tx *bolt.Tx) error { return f(&Tx{tx, db.Path()}) })
}

// Tx is a transaction.
type Tx struct {
	tx   *bolt.Tx
	file string
}

// Bucket gives a bucket, and creates it in a transaction that may write. In a
// read-only transaction a bucket that is not there is empty.
func (t *Tx) Bucket(name string) (*Bucket, error) {
	b := t.tx.Bucket([]byte(name))
	if b == nil && t.tx.Writable() {
		var err error
		if b, err = t.tx.CreateBucket([]byte(name)); err != nil {
			return nil, fmt.Errorf("create bucket %s: %w", name, err)
		}
	}
	return &Bucket{b, name, t.file}, nil
}

// Drop removes a bucket with all its records.
func (t *Tx) Drop(name string) error {
	err := t.tx.DeleteBucket([]byte(name))
	if errors.Is(err, bolterrors.ErrBucketNotFound) {
		return nil
	}
	return err
}

// Bucket is a sorted map of records.
type Bucket struct {
	b    *bolt.Bucket
	name string
	file string
}

// Get gives a copy of a record, nil when there is none, and a *CorruptError
// when its checksum is wrong.
func (b *Bucket) Get(key []byte) ([]byte, error) {
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
	raw := binary.BigEndian.AppendUint32(make([]byte, 0, crcLen+len(value)), b.sum(key, value))
	return b.b.Put(key, append(raw, value...))
}

// Delete removes a record; one that is not there is no error.
func (b *Bucket) Delete(key []byte) error {
	if b.b == nil {
		return nil
	}
	return b.b.Delete(key)
}

// Each calls f for the records from key from on, in order, until f returns
// false. Key and value are valid only during the call.
func (b *Bucket) Each(from []byte, f func(key, value []byte) bool) error {
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

// Last gives a copy of the record with the highest key, nil when the bucket is empty.
func (b *Bucket) Last() (key, value []byte, err error) {
	if b.b == nil {
		return nil, nil, nil
	}
	k, raw := b.b.Cursor().Last()
	if k == nil {
		return nil, nil, nil
	}
	v, err := b.check(k, raw)
	return bytes.Clone(k), bytes.Clone(v), err
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
