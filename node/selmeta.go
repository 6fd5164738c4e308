package node

import (
	"encoding/binary"
	"time"

	"github.com/midplane-project/midplane/internal/kv"
)

// selMeta is what is kept of the log beside its records. It is stored with
// each change of them, so that none of it moves with a restart.
type selMeta struct {
	erased    uint64    // counts erasures; gives the reservation
	lastErase time.Time // zero: never
	overflow  bool      // a record was lost to a full log, or refused by it
	lastAdd   time.Time // zero: never
	nextKey   uint64
	nextID    uint16
	offset    time.Duration // SEL clock less wall clock
}

// selMetaLen is the length of a stored selMeta: erased 8, last erase 8,
// overflow 1, last addition 8, next key 8, next id 2, offset 8. Big-endian,
// times in Unix nanoseconds, 0 for never. Nodes before the last four stored
// only what comes first; of theirs the records tell the rest.
const (
	selMetaLen    = 43
	selMetaOldLen = 17
)

// now is the time on the log's clock.
func (m *selMeta) now() time.Time { return time.Now().Add(m.offset) }

func (m *selMeta) load(tx *kv.Tx) error {
	b, err := tx.Bucket(bucketNode)
	if err != nil {
		return err
	}
	v, err := b.Get([]byte(keySEL))
	if err != nil || len(v) < selMetaOldLen {
		return err
	}
	m.erased, m.lastErase, m.overflow = binary.BigEndian.Uint64(v), storedTime(v[8:]), v[16] != 0
	if len(v) < selMetaLen {
		return nil
	}
	m.lastAdd, m.nextKey = storedTime(v[17:]), binary.BigEndian.Uint64(v[25:])
	m.nextID, m.offset = binary.BigEndian.Uint16(v[33:]), time.Duration(binary.BigEndian.Uint64(v[35:]))
	return nil
}

func (m *selMeta) store(tx *kv.Tx) error {
	b, err := tx.Bucket(bucketNode)
	if err != nil {
		return err
	}
	v := make([]byte, 0, selMetaLen)
	v = binary.BigEndian.AppendUint64(v, m.erased)
	v = appendTime(v, m.lastErase)
	overflow := byte(0)
	if m.overflow {
		overflow = 1
	}
	v = append(v, overflow)
	v = appendTime(v, m.lastAdd)
	v = binary.BigEndian.AppendUint64(v, m.nextKey)
	v = binary.BigEndian.AppendUint16(v, m.nextID)
	v = binary.BigEndian.AppendUint64(v, uint64(m.offset))
	return b.Put([]byte(keySEL), v)
}

func appendTime(b []byte, t time.Time) []byte {
	ns := int64(0)
	if !t.IsZero() {
		ns = t.UnixNano()
	}
	return binary.BigEndian.AppendUint64(b, uint64(ns))
}

func storedTime(b []byte) time.Time {
	if ns := int64(binary.BigEndian.Uint64(b)); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}
