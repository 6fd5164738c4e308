package mc

import (
	"encoding/binary"
	"fmt"
	"time"
)

// sdrMeta is what is kept of a repository beside its records.
type sdrMeta struct {
	own      time.Time     // when the controller's own records changed; zero: never seen
	added    time.Time     // on the repository's clock, as erased; zero: never
	erased   time.Time     //
	changes  uint64        // gives the reservation
	next     uint16        // where the search for a free id begins
	offset   time.Duration // repository's clock less wall clock
	overflow bool          // a record was refused for want of space
}

// sdrMetaLen is the length of a stored sdrMeta: three times and the count 8
// each, next id 2, offset 8, overflow 1. Big-endian, times in Unix nanoseconds.
const sdrMetaLen = 43

func (m *sdrMeta) append(b []byte) []byte {
	for _, t := range []time.Time{m.own, m.added, m.erased} {
		ns := int64(0)
		if !t.IsZero() {
			ns = t.UnixNano()
		}
		b = binary.BigEndian.AppendUint64(b, uint64(ns))
	}
	b = binary.BigEndian.AppendUint64(b, m.changes)
	b = binary.BigEndian.AppendUint16(b, m.next)
	b = binary.BigEndian.AppendUint64(b, uint64(m.offset))
	if m.overflow {
		return append(b, 1)
	}
	return append(b, 0)
}

func parseSDRMeta(b []byte) (sdrMeta, error) {
	if len(b) != sdrMetaLen {
		return sdrMeta{}, fmt.Errorf("record %s has %d bytes, want %d", sdrMetaName, len(b), sdrMetaLen)
	}
	var times [3]time.Time
	for i := range times {
		if ns := int64(binary.BigEndian.Uint64(b[8*i:])); ns != 0 {
			times[i] = time.Unix(0, ns)
		}
	}
	return sdrMeta{
		own: times[0], added: times[1], erased: times[2], changes: binary.BigEndian.Uint64(b[24:]),
		next: binary.BigEndian.Uint16(b[32:]), offset: time.Duration(binary.BigEndian.Uint64(b[34:])), overflow: b[42] != 0,
	}, nil
}

func (m *sdrMeta) now() time.Time { return time.Now().Add(m.offset) }

// reservation is the same for all who ask until something changes, and never 0.
func (m *sdrMeta) reservation() uint16 { return uint16(m.changes%0xFFFF) + 1 }

// sdrStampWindow is how far a time of change may run ahead of the clock.
const sdrStampWindow = time.Minute

// change notes a change and its time. FreeIPMI takes its cache of the records
// for good as long as both times, in seconds, are what they were: of several
// changes within a second each gets a second of its own.
func (m *sdrMeta) change(at *time.Time) {
	now := m.now()
	if ahead := at.Unix() - now.Unix(); ahead >= 0 && ahead < int64(sdrStampWindow/time.Second) {
		now = at.Add(time.Second)
	}
	*at = now
	m.changes++
}
