package manager

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/shelf/state"
)

// Replicated records of the repository: when it changed last, and an entry for
// each controller, under its hardware address in hex.
const (
	sdrStamp       = "sdr"
	sdrEntryPrefix = "sdr/"
	sdrStampLen    = 8 // big-endian, nanoseconds since 1970
)

// ownInstance is that of 0x20's entry: it is in no slot.
var ownInstance = string(make([]byte, entryInstanceLen))

// repository is the SDR repository of 0x20: its own records, and those of each
// controller that holds a slot, its locator and its device SDRs. It is
// replicated with the time of its last change, so that a new leader gives the
// same under the same ids and times before it has asked anybody; FreeIPMI keeps
// a cache by the times.
type repository struct {
	m    *Manager
	turn turn // of who changes it

	mu      sync.Mutex
	stamp   []byte // of records
	records []mc.SDRRecord
}

// SDRs gives the records in order of their ids, and when they changed last.
func (r *repository) SDRs(context.Context) ([]mc.SDRRecord, time.Time, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	st, name := r.m.cfg.State, r.m.cfg.Shelf
	if stamp := st.Record(name, sdrStamp); stamp != nil && bytes.Equal(stamp, r.stamp) {
		return r.records, parseStamp(stamp), nil
	}
	stamp, entries, err := readRepository(st, name)
	if err != nil {
		return nil, time.Time{}, err
	}
	r.stamp, r.records = stamp, nil
	for _, e := range entries {
		for _, one := range e.records {
			r.records = append(r.records, one.record)
		}
	}
	slices.SortFunc(r.records, func(a, b mc.SDRRecord) int { return cmp.Compare(a.ID(), b.ID()) })
	return r.records, parseStamp(stamp), nil
}

// readRepository gives the repository as of one moment.
func readRepository(st *state.FSM, shelf string) (stamp []byte, entries map[uint8]*sdrEntry, err error) {
	entries = make(map[uint8]*sdrEntry)
	for _, r := range st.Records(shelf, sdrStamp) {
		if r.Name == sdrStamp {
			stamp = r.Value
			continue
		}
		hw, err := strconv.ParseUint(strings.TrimPrefix(r.Name, sdrEntryPrefix), 16, 8)
		if err != nil {
			return nil, nil, fmt.Errorf("record %q: %w", r.Name, err)
		}
		if entries[uint8(hw)], err = parseSDREntry(r.Value); err != nil {
			return nil, nil, fmt.Errorf("record %q: %w", r.Name, err)
		}
	}
	return stamp, entries, nil
}

func parseStamp(b []byte) time.Time {
	if len(b) != sdrStampLen {
		return time.Time{}
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(b)))
}

// nextStamp is the time of a change. Clients read it in seconds: of two changes
// within one, the later gets a second of its own.
func nextStamp(last []byte, now time.Time) []byte {
	if t := parseStamp(last); len(last) == sdrStampLen && now.Unix() <= t.Unix() {
		now = t.Add(time.Second)
	}
	return binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano()))
}
