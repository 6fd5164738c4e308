package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// The buckets of the database file.
var (
	bucketLog    = []byte("log")    // index → entry
	bucketStable = []byte("stable") // raft's term and vote
	bucketMeta   = []byte("meta")   // who we are: cluster id, how we came in
)

// logFill keeps pages nearly full: the log is only ever appended to.
const logFill = 0.95

// errKeyNotFound has the one text by which raft knows an absent key.
var errKeyNotFound = errors.New("not found")

// openFileFunc opens the database file; tests put a failing disk in its place.
type openFileFunc = func(name string, flag int, perm os.FileMode) (*os.File, error)

// store is raft's log and stable store in one bbolt file, each record under a
// checksum. It is safe for concurrent use and syncs every write.
type store struct {
	db   *bolt.DB
	path string
}

func openStore(path string, openFile openFileFunc) (*store, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		Timeout:        time.Second,
		NoFreelistSync: true,
		FreelistType:   bolt.FreelistMapType,
		OpenFile:       openFile,
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("cluster: %s is in use by another process: is this replica already running?", path)
	}
	if errors.Is(err, bolterrors.ErrInvalid) || errors.Is(err, bolterrors.ErrChecksum) || errors.Is(err, bolterrors.ErrVersionMismatch) {
		return nil, fmt.Errorf("cluster: %s is damaged: %w: empty this replica's state (midplane shelf --wipe) and start it again, and it will join its cluster anew", path, err)
	}
	if err != nil {
		return nil, &StorageError{Op: "open the database", File: path, Err: err}
	}
	s := &store{db: db, path: path}
	err = s.update("create the buckets", func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketLog, bucketStable, bucketMeta} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// Close releases the file. It must come after raft's end.
func (s *store) Close() error { return s.db.Close() }

// update runs one synced transaction; op says in an error what it was for.
func (s *store) update(op string, fn func(*bolt.Tx) error) error {
	if err := s.db.Update(fn); err != nil {
		return &StorageError{Op: op, File: s.path, Err: err}
	}
	return nil
}

// IsMonotonic tells raft that the log has no gaps.
func (s *store) IsMonotonic() bool { return true }

// FirstIndex is the lowest index in the log, 0 when it is empty.
func (s *store) FirstIndex() (uint64, error) {
	return s.edge((*bolt.Cursor).First)
}

// LastIndex is the highest index in the log, 0 when it is empty.
func (s *store) LastIndex() (uint64, error) {
	return s.edge((*bolt.Cursor).Last)
}

func (s *store) edge(move func(*bolt.Cursor) (key, value []byte)) (index uint64, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		if k, _ := move(tx.Bucket(bucketLog).Cursor()); k != nil {
			index = binary.BigEndian.Uint64(k)
		}
		return nil
	})
	return index, err
}

// GetLog reads one entry; [raft.ErrLogNotFound] or a *[CorruptRecordError].
func (s *store) GetLog(index uint64, out *raft.Log) error {
	key := logKey(index)
	return s.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketLog).Get(key)
		if b == nil {
			return raft.ErrLogNotFound
		}
		l, err := openLog(key, b)
		if err != nil {
			return s.corrupt(bucketLog, strconv.FormatUint(index, 10), err)
		}
		*out = l
		return nil
	})
}

// StoreLog appends one entry.
func (s *store) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs appends entries in one synced transaction. They must continue the
// log without a gap.
func (s *store) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	op := fmt.Sprintf("append log entries %d to %d", logs[0].Index, logs[len(logs)-1].Index)
	return s.update(op, func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketLog)
		b.FillPercent = logFill
		last, _ := b.Cursor().Last()
		for _, l := range logs {
			if last != nil && l.Index > binary.BigEndian.Uint64(last)+1 {
				return fmt.Errorf("entry %d does not follow %d", l.Index, binary.BigEndian.Uint64(last))
			}
			last = logKey(l.Index)
			if err := b.Put(last, sealLog(last, l)); err != nil {
				return err
			}
		}
		return nil
	})
}

// DeleteRange removes the entries from lo to hi, both included.
func (s *store) DeleteRange(lo, hi uint64) error {
	return s.update(fmt.Sprintf("delete log entries %d to %d", lo, hi), func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketLog).Cursor()
		for k, _ := c.Seek(logKey(lo)); k != nil && binary.BigEndian.Uint64(k) <= hi; k, _ = c.Next() {
			if err := c.Delete(); err != nil {
				return err
			}
		}
		return nil
	})
}

// Set stores one value of raft's own: its term or vote.
func (s *store) Set(key, val []byte) error { return s.put(bucketStable, key, val) }

// Get reads what Set stored; an absent key gives an error with raft's text.
func (s *store) Get(key []byte) ([]byte, error) { return s.get(bucketStable, key) }

// SetUint64 is Set for a number.
func (s *store) SetUint64(key []byte, val uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, val))
}

// GetUint64 is Get for a number; 0 comes with the error of an absent key.
func (s *store) GetUint64(key []byte) (uint64, error) {
	b, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, s.corrupt(bucketStable, string(key), errLogLengths)
	}
	return binary.BigEndian.Uint64(b), nil
}

func (s *store) put(bucket, key, val []byte) error {
	return s.update(fmt.Sprintf("store %s/%s", bucket, key), func(tx *bolt.Tx) error {
		return tx.Bucket(bucket).Put(key, seal(key, val))
	})
}

func (s *store) get(bucket, key []byte) (val []byte, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucket).Get(key)
		if b == nil {
			return errKeyNotFound
		}
		body, err := open(key, b)
		if err != nil {
			return s.corrupt(bucket, string(key), err)
		}
		val = append([]byte{}, body...)
		return nil
	})
	return val, err
}

func (s *store) corrupt(bucket []byte, key string, reason error) error {
	return &CorruptRecordError{File: s.path, Bucket: string(bucket), Key: key, Reason: reason.Error()}
}
