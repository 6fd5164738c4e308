package node

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/midplane-project/midplane/internal/kv"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// selCapacity is how many records the local SEL holds. A record more takes the
// place of the oldest and sets the overflow flag.
const selCapacity = 4096

// Record ids that are not used: 0000h means the first, FFFFh the last.
const (
	selFirstID = 0x0001
	selLastID  = 0xFFFE
)

// localSEL is the node's own log. Reads are served from memory; what changes
// it is on disk when it is answered. On disk a record's key counts up for
// ever, so that records with wrapped ids keep their order.
type localSEL struct {
	db *kv.DB

	mu        sync.Mutex
	rows      []selRow
	nextKey   uint64
	nextID    uint16
	lastAdd   time.Time
	lastErase time.Time
	erased    uint64 // counts erasures; gives the reservation
	overflow  bool
	offset    time.Duration // SEL clock less wall clock
}

type selRow struct {
	key   uint64
	entry mc.SELEntry
}

func openSEL(db *kv.DB) (*localSEL, error) {
	s := &localSEL{db: db, nextID: selFirstID}
	err := db.View(func(tx *kv.Tx) error {
		b, err := tx.Bucket(bucketSEL)
		if err != nil {
			return err
		}
		if err := b.Each(nil, s.loadRow); err != nil {
			return err
		}
		return s.loadMeta(tx)
	})
	if err != nil {
		return nil, fmt.Errorf("read the SEL: %w", err)
	}
	return s, nil
}

func (s *localSEL) loadRow(key, value []byte) bool {
	if len(key) != 8 || len(value) != mc.SELEntryLen {
		return true // not a record of ours; its checksum was right, so leave it
	}
	row := selRow{binary.BigEndian.Uint64(key), mc.SELEntry(value)}
	s.rows = append(s.rows, row)
	s.nextKey, s.nextID = row.key+1, followingID(row.entry.ID())
	if row.entry.Type() < mc.SELTypeOEMPlain {
		s.lastAdd = time.Unix(int64(binary.LittleEndian.Uint32(row.entry[3:])), 0)
	}
	return true
}

// Of the log itself: how often something was erased, when last in Unix
// nanoseconds (0: never), and whether a record was lost to a full log.
const selMetaLen = 17

func (s *localSEL) loadMeta(tx *kv.Tx) error {
	b, err := tx.Bucket(bucketNode)
	if err != nil {
		return err
	}
	v, err := b.Get([]byte(keySEL))
	if err != nil || len(v) != selMetaLen {
		return err
	}
	s.erased, s.overflow = binary.BigEndian.Uint64(v), v[16] != 0
	if ns := int64(binary.BigEndian.Uint64(v[8:])); ns != 0 {
		s.lastErase = time.Unix(0, ns)
	}
	return nil
}

func (s *localSEL) putMeta(tx *kv.Tx, erased uint64, at time.Time, overflow bool) error {
	b, err := tx.Bucket(bucketNode)
	if err != nil {
		return err
	}
	v := make([]byte, selMetaLen)
	binary.BigEndian.PutUint64(v, erased)
	if !at.IsZero() {
		binary.BigEndian.PutUint64(v[8:], uint64(at.UnixNano()))
	}
	if overflow {
		v[16] = 1
	}
	return b.Put([]byte(keySEL), v)
}

// verify reads the whole log back from the disk.
func (s *localSEL) verify() error {
	return s.db.View(func(tx *kv.Tx) error {
		b, err := tx.Bucket(bucketSEL)
		if err != nil {
			return err
		}
		return b.Each(nil, func(_, _ []byte) bool { return true })
	})
}

func followingID(id uint16) uint16 {
	if id >= selLastID {
		return selFirstID
	}
	return id + 1
}

// SELInfo implements mc.SELStore.
func (s *localSEL) SELInfo(context.Context) (mc.SELInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return mc.SELInfo{
		Entries: uint16(len(s.rows)), Free: uint16(selCapacity - len(s.rows)),
		LastAdd: s.lastAdd, LastErase: s.lastErase, Overflow: s.overflow,
		Reservation: uint16(s.erased%0xFFFF) + 1,
	}, nil
}

// SELGet implements mc.SELStore.
func (s *localSEL) SELGet(_ context.Context, id uint16) (e mc.SELEntry, next uint16, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(id)
	if i < 0 {
		return e, 0, ipmb.ErrNotPresent
	}
	next = 0xFFFF
	if i+1 < len(s.rows) {
		next = s.rows[i+1].entry.ID()
	}
	return s.rows[i].entry, next, nil
}

// find gives the position of a record. Ids run on from row to row, so the
// distance from the first one nearly always says where it is.
func (s *localSEL) find(id uint16) int {
	switch {
	case len(s.rows) == 0:
		return -1
	case id == 0x0000:
		return 0
	case id == 0xFFFF:
		return len(s.rows) - 1
	}
	if i := int(id) - int(s.rows[0].entry.ID()); i >= 0 && i < len(s.rows) && s.rows[i].entry.ID() == id {
		return i
	}
	for i := range s.rows {
		if s.rows[i].entry.ID() == id {
			return i
		}
	}
	return -1
}

// SELAdd implements mc.SELStore.
func (s *localSEL) SELAdd(_ context.Context, _ *ipmb.Request, e mc.SELEntry) (uint16, error) {
	stored, err := s.add(e)
	return stored.ID(), err
}

// add stores a record under the next id, and gives it as it is stored:
// timestamped types get the SEL time.
func (s *localSEL) add(e mc.SELEntry) (mc.SELEntry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for s.find(s.nextID) >= 0 {
		s.nextID = followingID(s.nextID) // ids have come round, and this one was never deleted
	}
	e.Stamp(s.nextID, now)
	row := selRow{s.nextKey, e}
	full := len(s.rows) >= selCapacity
	if err := s.db.Update(func(tx *kv.Tx) error { return s.insert(tx, row, full) }); err != nil {
		return e, fmt.Errorf("store a SEL record: %w", err)
	}
	if full {
		s.rows, s.overflow = s.rows[1:], true
	}
	s.rows = append(s.rows, row)
	s.nextKey, s.nextID, s.lastAdd = s.nextKey+1, followingID(s.nextID), now
	return e, nil
}

// insert puts a row into the file, in a full log instead of the oldest one.
func (s *localSEL) insert(tx *kv.Tx, row selRow, full bool) error {
	b, err := tx.Bucket(bucketSEL)
	if err != nil {
		return err
	}
	if full {
		if err := b.Delete(selKey(s.rows[0].key)); err != nil {
			return err
		}
	}
	if full && !s.overflow {
		if err := s.putMeta(tx, s.erased, s.lastErase, true); err != nil {
			return err
		}
	}
	return b.Put(selKey(row.key), row.entry[:])
}

func selKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// SELDelete implements mc.SELStore.
func (s *localSEL) SELDelete(_ context.Context, _ *ipmb.Request, id uint16) (uint16, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(id)
	if i < 0 {
		return 0, ipmb.ErrNotPresent
	}
	row := s.rows[i]
	err := s.erase(s.overflow, func(tx *kv.Tx) error {
		b, err := tx.Bucket(bucketSEL)
		if err != nil {
			return err
		}
		return b.Delete(selKey(row.key))
	})
	if err != nil {
		return 0, err
	}
	s.rows = append(s.rows[:i:i], s.rows[i+1:]...)
	return row.entry.ID(), nil
}

// SELClear implements mc.SELStore.
func (s *localSEL) SELClear(context.Context, *ipmb.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.erase(false, func(tx *kv.Tx) error { return tx.Drop(bucketSEL) }); err != nil {
		return err
	}
	s.rows = nil
	return nil
}

// erase runs f and notes the erasure, in one transaction.
func (s *localSEL) erase(overflow bool, f func(*kv.Tx) error) error {
	at := s.now()
	err := s.db.Update(func(tx *kv.Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		return s.putMeta(tx, s.erased+1, at, overflow)
	})
	if err != nil {
		return fmt.Errorf("erase in the SEL: %w", err)
	}
	s.erased++
	s.lastErase, s.overflow = at, overflow
	return nil
}

func (s *localSEL) now() time.Time { return time.Now().Add(s.offset) }

// SELTime implements mc.SELStore.
func (s *localSEL) SELTime(context.Context) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

// SELSetTime shifts the log's clock until the node's next start; the host's
// clock is nobody's to set from a guest.
func (s *localSEL) SELSetTime(_ context.Context, _ *ipmb.Request, t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset = time.Until(t)
	return nil
}
