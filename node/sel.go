package node

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/midplane-project/midplane/internal/kv"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// Record ids that are not used: 0000h means the first, FFFFh the last.
const (
	selFirstID = 0x0001
	selLastID  = 0xFFFE
)

// localSEL is the node's own log. Reads are served from memory; what changes
// it is on disk when it is answered, and seen by readers no sooner. On disk a
// record's key counts up for ever, so that records with wrapped ids keep their
// order.
type localSEL struct {
	db       *kv.DB
	limit    int  // records it holds
	refuses  bool // one more, rather than lose the oldest
	self     ipmb.Addr
	logging  func() bool            // event logging is enabled
	announce func(mc.SELEntry)      // takes the events of the log itself, when they are logged
	tells    func(offset byte) bool // an event of the log itself is enabled
	filled   func(records int)      // told of each new number of records; must not wait for the log

	adds  kv.Group[*selAdd]
	write sync.Mutex // held by whoever changes the log, over the fsync

	mu   sync.RWMutex      // of what follows; who changes it holds write too
	rows []selRow          // oldest first, keys ascending
	keys map[uint16]uint64 // of the rows, by record id
	meta selMeta
}

type selRow struct {
	key   uint64
	entry mc.SELEntry
}

func openSEL(db *kv.DB, c SELConfig) (*localSEL, error) {
	s := &localSEL{
		db: db, limit: c.capacity(), refuses: c.Overflow == SELRefuse,
		keys: make(map[uint16]uint64), meta: selMeta{nextID: selFirstID},
		logging: func() bool { return true }, announce: func(mc.SELEntry) {},
		tells: func(byte) bool { return true }, filled: func(int) {},
	}
	err := db.View(func(tx *kv.Tx) error {
		b, err := tx.Bucket(bucketSEL)
		if err != nil {
			return err
		}
		if err := b.Each(nil, s.loadRow); err != nil {
			return err
		}
		return s.meta.load(tx)
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
	s.append(row)
	s.meta.nextKey, s.meta.nextID = row.key+1, followingID(row.entry.ID())
	if row.entry.Type() < mc.SELTypeOEMPlain {
		s.meta.lastAdd = time.Unix(int64(binary.LittleEndian.Uint32(row.entry[3:])), 0)
	}
	return true
}

// append puts a row behind the others. The slice moves only when as many have
// come as a quarter of those it holds: a full log costs no more than a short one.
func (s *localSEL) append(row selRow) {
	s.rows = append(s.rows, row)
	s.keys[row.entry.ID()] = row.key
}

// forget drops the n oldest rows.
func (s *localSEL) forget(n int) {
	for _, r := range s.rows[:n] {
		delete(s.keys, r.entry.ID())
	}
	s.rows = s.rows[n:]
}

// verify reads the whole log back from the disk. One that is not there yet,
// and should be, is as bad as one that is damaged.
func (s *localSEL) verify() error {
	if err := s.db.Err(); err != nil {
		return err
	}
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
	s.mu.RLock()
	defer s.mu.RUnlock()
	return mc.SELInfo{
		Entries: uint16(len(s.rows)), Free: uint16(max(0, s.limit-len(s.rows))), // it may have been larger
		LastAdd: s.meta.lastAdd, LastErase: s.meta.lastErase, Overflow: s.meta.overflow,
		Reservation: uint16(s.meta.erased%0xFFFF) + 1,
	}, nil
}

// SELGet implements mc.SELStore.
func (s *localSEL) SELGet(_ context.Context, id uint16) (e mc.SELEntry, next uint16, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
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

// find gives the position of a record, -1 when it is not there.
func (s *localSEL) find(id uint16) int {
	switch {
	case len(s.rows) == 0:
		return -1
	case id == 0x0000:
		return 0
	case id == 0xFFFF:
		return len(s.rows) - 1
	}
	key, ok := s.keys[id]
	if !ok {
		return -1
	}
	i, _ := slices.BinarySearchFunc(s.rows, key, func(r selRow, k uint64) int { return cmp.Compare(r.key, k) })
	return i
}

// SELTime implements mc.SELStore.
func (s *localSEL) SELTime(context.Context) time.Time {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.meta.now()
}
