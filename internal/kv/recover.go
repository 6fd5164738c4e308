package kv

import (
	"cmp"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// The record that says which transactions bbolt has: up to this number. It is
// written with them.
const journalBucket = "journal"

var syncedKey = []byte("synced")

func journalPaths(path string) [2]string { return [2]string{path + ".journal-a", path + ".journal-b"} }

// recover puts into bbolt what the journals of an earlier process have more,
// and removes them.
func (db *DB) recover() error {
	var found []entry
	for _, path := range journalPaths(db.Path()) {
		more, err := readJournal(path)
		if err != nil {
			return err
		}
		found = append(found, more...)
	}
	slices.SortFunc(found, func(a, b entry) int { return cmp.Compare(a.number, b.number) })
	synced, known, err := db.synced()
	if err != nil {
		return err
	}
	if !known && len(found) > 0 { // the record was lost: see Repair
		synced = found[0].number - 1
	}
	missing, last := make(changes), synced
	for _, e := range found {
		if e.number == last+1 {
			missing.add(e.changes)
			last = e.number
		}
	}
	if last > synced {
		if err := db.apply(missing, last); err != nil {
			return err
		}
	}
	return db.removeJournals()
}

// removeJournals takes care that nothing of one history is ever read in
// another, also after a loss of power.
func (db *DB) removeJournals() error {
	gone := false
	for _, path := range journalPaths(db.Path()) {
		err := os.Remove(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		gone = gone || err == nil
	}
	if !gone {
		return nil
	}
	return syncDir(filepath.Dir(db.Path()))
}

// synced gives the number of the newest transaction in bbolt. known: there is
// a record of it.
func (db *DB) synced() (number uint64, known bool, err error) {
	err = db.bolt.View(func(tx *bolt.Tx) error {
		b, err := (&Tx{tx: tx, file: db.Path()}).Bucket(journalBucket)
		if err != nil {
			return err
		}
		v, err := b.Get(syncedKey)
		if known = len(v) == 8; known {
			number = binary.BigEndian.Uint64(v)
		}
		return err
	})
	return number, known, err
}

// apply puts changes into bbolt, with fsync. They end with transaction upTo.
func (db *DB) apply(c changes, upTo uint64) error {
	return db.updateBolt(func(tx *Tx) error {
		if err := c.apply(tx); err != nil {
			return err
		}
		b, err := tx.Bucket(journalBucket)
		if err != nil {
			return err
		}
		return b.Put(syncedKey, binary.BigEndian.AppendUint64(nil, upTo))
	})
}
