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
		return s.loadErased(tx)
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

func (s *localSEL) loadErased(tx *kv.Tx) error {
	b, err := tx.Bucket(bucketNode)
	if err != nil {
		return err
	}
	v, err := b.Get([]byte(keyErased))
	if err != nil || len(v) != 16 {
		return err
	}
	s.erased = binary.BigEndian.Uint64(v)
	if ns := int64(binary.BigEndian.Uint64(v[8:])); ns != 0 {
		s.lastErase = time.Unix(0, ns)
	}
	return nil
}

func followingID(id uint16) uint16 {
	if id >= selLastID {
		return selFirstID
	}
	return id + 1
}

func (s *localSEL) SELInfo(context.Context) (mc.SELInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return mc.SELInfo{
		Entries: uint16(len(s.rows)), Free: uint16(selCapacity - len(s.rows)),
		LastAdd: s.lastAdd, LastErase: s.lastErase, Overflow: s.overflow,
		Reservation: uint16(s.erased%0xFFFF) + 1,
	}, nil
}

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

// SELAdd stores a record under the next id; timestamped types get the SEL time.
func (s *localSEL) SELAdd(_ context.Context, _ *ipmb.Request, e mc.SELEntry) (uint16, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	e.Stamp(s.nextID, now)
	row := selRow{s.nextKey, e}
	full := len(s.rows) >= selCapacity
	err := s.db.Update(func(tx *kv.Tx) error {
		b, err := tx.Bucket(bucketSEL)
		if err != nil {
			return err
		}
		if full {
			if err := b.Delete(selKey(s.rows[0].key)); err != nil {
				return err
			}
		}
		return b.Put(selKey(row.key), e[:])
	})
	if err != nil {
		return 0, fmt.Errorf("store a SEL record: %w", err)
	}
	if full {
		s.rows, s.overflow = s.rows[1:], true
	}
	s.rows = append(s.rows, row)
	s.nextKey, s.nextID, s.lastAdd = s.nextKey+1, followingID(s.nextID), now
	return e.ID(), nil
}

func selKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func (s *localSEL) SELDelete(_ context.Context, _ *ipmb.Request, id uint16) (uint16, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(id)
	if i < 0 {
		return 0, ipmb.ErrNotPresent
	}
	row := s.rows[i]
	err := s.erase(func(tx *kv.Tx) error {
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

func (s *localSEL) SELClear(context.Context, *ipmb.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.erase(func(tx *kv.Tx) error { return tx.Drop(bucketSEL) }); err != nil {
		return err
	}
	s.rows, s.overflow = nil, false
	return nil
}

// erase runs f and notes the erasure, in one transaction.
func (s *localSEL) erase(f func(*kv.Tx) error) error {
	at := s.now()
	err := s.db.Update(func(tx *kv.Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		b, err := tx.Bucket(bucketNode)
		if err != nil {
			return err
		}
		v := binary.BigEndian.AppendUint64(nil, s.erased+1)
		return b.Put([]byte(keyErased), binary.BigEndian.AppendUint64(v, uint64(at.UnixNano())))
	})
	if err != nil {
		return fmt.Errorf("erase in the SEL: %w", err)
	}
	s.erased++
	s.lastErase = at
	return nil
}

func (s *localSEL) now() time.Time { return time.Now().Add(s.offset) }

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
