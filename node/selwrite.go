package node

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/midplane-project/midplane/internal/kv"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// selAdd is a record on its way into the log.
type selAdd struct {
	entry mc.SELEntry
	level *mc.SELEntry // what the log had to say of itself after it
	err   error
}

// selChange is a change of the log that is not on disk yet.
type selChange struct {
	meta selMeta
	rows []selRow // new ones
	lost int      // of the oldest, to make room
}

// SELAdd implements mc.SELStore.
func (s *localSEL) SELAdd(_ context.Context, _ *ipmb.Request, e mc.SELEntry) (uint16, error) {
	stored, err := s.add(e)
	return stored.ID(), err
}

// add stores a record under the next id, and gives it as it is stored:
// timestamped types get the SEL time. Records that come while others are
// written share one fsync.
func (s *localSEL) add(e mc.SELEntry) (mc.SELEntry, error) {
	a := &selAdd{entry: e}
	s.adds.Do(a, s.insert)
	if a.err != nil {
		return e, fmt.Errorf("store a SEL record: %w", a.err)
	}
	if a.level != nil {
		s.announce(*a.level)
	}
	return a.entry, nil
}

// insert puts records into the file in one transaction, then into memory.
func (s *localSEL) insert(adds []*selAdd) {
	logging := s.logging()
	s.write.Lock()
	defer s.write.Unlock()
	c := selChange{meta: s.meta}
	for _, a := range adds {
		if s.refuses && s.after(&c) >= s.limit {
			a.err, c.meta.overflow = ipmb.ErrOutOfSpace, true
			continue
		}
		a.entry = s.stage(&c, a.entry)
		if level, ok := s.levelEvent(s.after(&c)); ok && logging {
			level = s.stage(&c, level)
			a.level = &level
		}
	}
	if len(c.rows) == 0 && c.meta.overflow == s.meta.overflow {
		return // all were refused, and none as the first
	}
	if err := s.db.Batch(func(tx *kv.Tx) error { return s.save(tx, &c) }); err != nil {
		for _, a := range adds {
			a.err = err
		}
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range c.rows {
		s.append(r)
	}
	s.forget(c.lost)
	s.meta = c.meta
	s.filled(len(s.rows))
}

// after counts the records once c has been made.
func (s *localSEL) after(c *selChange) int { return len(s.rows) + len(c.rows) - c.lost }

// stage adds a record to a change, in a full log instead of the oldest one.
func (s *localSEL) stage(c *selChange, e mc.SELEntry) mc.SELEntry {
	for s.find(c.meta.nextID) >= 0 {
		c.meta.nextID = followingID(c.meta.nextID) // ids have come round, and this one was never deleted
	}
	at := c.meta.now()
	e.Stamp(c.meta.nextID, at)
	c.rows = append(c.rows, selRow{c.meta.nextKey, e})
	c.meta.nextKey, c.meta.nextID, c.meta.lastAdd = c.meta.nextKey+1, followingID(c.meta.nextID), at
	for s.after(c) > s.limit { // by more than one in a log that was larger
		c.lost++
		c.meta.overflow = true
	}
	return e
}

// save writes a change of records into the file.
func (s *localSEL) save(tx *kv.Tx, c *selChange) error {
	b, err := tx.Bucket(bucketSEL)
	if err != nil {
		return err
	}
	for _, r := range c.rows {
		if err := b.Put(selKey(r.key), r.entry[:]); err != nil {
			return err
		}
	}
	for i := range c.lost {
		if err := b.Delete(selKey(s.oldest(c, i))); err != nil {
			return err
		}
	}
	return c.meta.store(tx)
}

// oldest gives the key of the row at i once c has been made.
func (s *localSEL) oldest(c *selChange, i int) uint64 {
	if i < len(s.rows) {
		return s.rows[i].key
	}
	return c.rows[i-len(s.rows)].key
}

func selKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// SELDelete implements mc.SELStore.
func (s *localSEL) SELDelete(_ context.Context, _ *ipmb.Request, id uint16) (uint16, error) {
	s.write.Lock()
	defer s.write.Unlock()
	i := s.find(id)
	if i < 0 {
		return 0, ipmb.ErrNotPresent
	}
	row := s.rows[i]
	err := s.erase(s.meta.overflow, func(tx *kv.Tx) error {
		b, err := tx.Bucket(bucketSEL)
		if err != nil {
			return err
		}
		return b.Delete(selKey(row.key))
	}, func() {
		s.rows = slices.Delete(s.rows, i, i+1)
		delete(s.keys, row.entry.ID())
	})
	return row.entry.ID(), err
}

// SELClear implements mc.SELStore. Many servers log that they were cleared, as
// the new log's first record (sensor type 10h, offset 2). This one does not:
// clients take a log that was cleared for empty (ipmitool says so, ipmi-sel
// counts 0), monitors warn of any record, and OpenIPMI's lanserv has none either.
func (s *localSEL) SELClear(context.Context, *ipmb.Request) error {
	s.write.Lock()
	defer s.write.Unlock()
	return s.erase(false, func(tx *kv.Tx) error { return tx.Drop(bucketSEL) }, func() {
		s.rows = nil
		clear(s.keys)
	})
}

// erase takes records out of the file and notes it, in one transaction, and
// then out of memory.
func (s *localSEL) erase(overflow bool, file func(*kv.Tx) error, memory func()) error {
	m := s.meta
	m.erased, m.lastErase, m.overflow = m.erased+1, m.now(), overflow
	err := s.db.Batch(func(tx *kv.Tx) error {
		if err := file(tx); err != nil {
			return err
		}
		return m.store(tx)
	})
	if err != nil {
		return fmt.Errorf("erase in the SEL: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	memory()
	s.meta = m
	s.filled(len(s.rows))
	return nil
}

// SELSetTime shifts the log's clock; the host's clock is nobody's to set from
// a guest.
func (s *localSEL) SELSetTime(_ context.Context, _ *ipmb.Request, t time.Time) error {
	s.write.Lock()
	defer s.write.Unlock()
	m := s.meta
	m.offset = time.Until(t)
	if err := s.db.Batch(m.store); err != nil {
		return fmt.Errorf("store the SEL time: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meta = m
	return nil
}
