package mc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// What a repository has room for beside its controller's own records.
const (
	sdrCapacity = 64 << 10 / sdrUnit // allocation units
	sdrMaxLen   = sdrMaxUnits * sdrUnit
)

// sdrAddedID is the lowest id of a record that was added. A controller's own
// records have ids below it, so that neither kind ever moves the other's.
const sdrAddedID = 0x4000

// SDRConfig is what a repository is built on.
type SDRConfig struct {
	Own     SDRSource // the controller's own records, their ids below 4000h
	Records Records   // keeps what is added
	Addr    ipmb.Addr // the controller's
	// Sensors is asked by the initialization agent to set sensors up, and Spawn
	// runs it beside the request that starts it.
	Sensors ipmb.Handler
	Spawn   func(func(context.Context))
}

// SDRRepository is an SDR repository that can be written. It holds the records
// that its controller provides, and behind them those that were added. The
// former describe what is really there: they can be neither deleted (CDh) nor
// cleared, as on servers' BMCs, which make theirs anew at each start. Without
// them software would lose the controller's sensors until its next reset.
type SDRRepository struct {
	cfg     SDRConfig
	partial partialAdd
	mode    sdrMode
	agent   sdrAgent

	mu    sync.Mutex
	added []SDRRecord // ids ascending
	own   []SDRRecord // as seen last
	all   []SDRRecord // both; replaced whole, since answers are made of it
	meta  sdrMeta
}

// Names in the records: of the repository itself, and before the ids of what was added.
const (
	sdrMetaName   = "sdr/info"
	sdrRecordName = "sdr/record/"
)

func sdrName(id uint16) string { return fmt.Sprintf("%s%04x", sdrRecordName, id) }

// OpenSDRRepository reads what was kept.
func OpenSDRRepository(cfg SDRConfig) (*SDRRepository, error) {
	r := &SDRRepository{cfg: cfg, partial: partialAdd{limit: sdrMaxLen}, meta: sdrMeta{next: sdrAddedID}}
	if err := r.load(); err != nil {
		return nil, fmt.Errorf("read the SDR repository: %w", err)
	}
	return r, nil
}

func (r *SDRRepository) load() error {
	v, err := r.cfg.Records.Get(sdrMetaName)
	if err == nil && v != nil {
		r.meta, err = parseSDRMeta(v)
	}
	if err != nil {
		return err
	}
	var bad error
	err = r.cfg.Records.Each(sdrRecordName, func(name string, value []byte) bool {
		if err := checkSDR(value); err != nil {
			bad = fmt.Errorf("record %s: %w", name, err)
		}
		r.added = append(r.added, value)
		return bad == nil
	})
	return errors.Join(err, bad)
}

// look gives the repository as it is.
func (r *SDRRepository) look(ctx context.Context) (sdrView, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.refresh(ctx); err != nil {
		return sdrView{}, err
	}
	support := byte(sdrSupports | sdrModal | sdrDelete | sdrPartial)
	if r.meta.overflow {
		support |= sdrOverflow
	}
	return sdrView{r.all, r.meta.added, r.meta.erased, r.meta.reservation(), sdrCapacity - sdrUnits(r.added...), support}, nil
}

// refresh takes over the controller's own records when they have changed,
// which counts as adding and erasing.
func (r *SDRRepository) refresh(ctx context.Context) error {
	own, changed, err := r.cfg.Own.SDRs(ctx)
	if err != nil {
		return err
	}
	m := r.meta
	if !m.own.Equal(changed) {
		first := m.own.IsZero()
		m.own = changed
		m.change(&m.added)
		if !first {
			m.change(&m.erased)
		}
		if err := r.commit(nil, m); err != nil {
			return err
		}
		r.all = nil
	}
	if r.all == nil {
		r.own, r.all = own, append(slices.Clone(own), r.added...)
	}
	return nil
}

// commit makes a change last.
func (r *SDRRepository) commit(values map[string][]byte, m sdrMeta) error {
	all := map[string][]byte{sdrMetaName: m.append(nil)}
	for name, v := range values {
		all[name] = v
	}
	if err := r.cfg.Records.PutAll(all); err != nil {
		return fmt.Errorf("store the SDR repository: %w", err)
	}
	r.meta = m
	return nil
}

// add stores a record under an id of its own.
func (r *SDRRepository) add(ctx context.Context, record SDRRecord) (uint16, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.refresh(ctx); err != nil {
		return 0, err
	}
	if sdrUnits(r.added...)+sdrUnits(record) > sdrCapacity {
		return 0, r.refuse()
	}
	m := r.meta
	for findAdded(r.added, m.next) >= 0 {
		m.next = sdrFollowing(m.next) // ids have come round
	}
	id := m.next
	m.next = sdrFollowing(id)
	m.change(&m.added)
	record = slices.Clone(record)
	binary.LittleEndian.PutUint16(record, id)
	if err := r.commit(map[string][]byte{sdrName(id): record}, m); err != nil {
		return 0, err
	}
	i, _ := slices.BinarySearchFunc(r.added, id, compareSDR)
	r.added, r.all = slices.Insert(r.added, i, record), nil
	return id, nil
}

// refuse notes that a record found no room.
func (r *SDRRepository) refuse() error {
	if m := r.meta; !m.overflow {
		m.overflow = true
		if err := r.commit(nil, m); err != nil {
			return err
		}
	}
	return ipmb.ErrOutOfSpace
}

func sdrFollowing(id uint16) uint16 {
	if id >= sdrLast-1 {
		return sdrAddedID
	}
	return id + 1
}

func compareSDR(r SDRRecord, id uint16) int { return int(r.ID()) - int(id) }

// findAdded gives the position of a record among those that were added.
func findAdded(added []SDRRecord, id uint16) int {
	if i, ok := slices.BinarySearchFunc(added, id, compareSDR); ok {
		return i
	}
	return -1
}

// remove deletes one record, if the reservation holds.
func (r *SDRRepository) remove(ctx context.Context, reservation, id uint16) (uint16, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.reserved(ctx, reservation); err != nil {
		return 0, err
	}
	i := findSDR(r.all, id)
	if i < 0 {
		return 0, ipmb.ErrNotPresent
	}
	if i < len(r.own) {
		return 0, ipmb.ErrIllegal
	}
	id = r.all[i].ID()
	if err := r.erase(map[string][]byte{sdrName(id): nil}); err != nil {
		return 0, err
	}
	i -= len(r.own)
	r.added, r.all = slices.Delete(r.added, i, i+1), nil
	return id, nil
}

// clear deletes all that was added, if the reservation holds.
func (r *SDRRepository) clear(ctx context.Context, reservation uint16) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.reserved(ctx, reservation); err != nil {
		return err
	}
	gone := make(map[string][]byte, len(r.added))
	for _, record := range r.added {
		gone[sdrName(record.ID())] = nil
	}
	if err := r.erase(gone); err != nil {
		return err
	}
	r.added, r.all = nil, nil
	return nil
}

func (r *SDRRepository) reserved(ctx context.Context, reservation uint16) error {
	if err := r.refresh(ctx); err != nil {
		return err
	}
	if reservation != r.meta.reservation() {
		return ipmb.ErrReservation
	}
	return nil
}

func (r *SDRRepository) erase(gone map[string][]byte) error {
	m := r.meta
	m.overflow = false
	m.change(&m.erased)
	return r.commit(gone, m)
}

// time is the repository's clock.
func (r *SDRRepository) time() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.meta.now()
}

// setTime shifts the clock. Times of changes that were are left alone.
func (r *SDRRepository) setTime(t time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.meta
	m.offset = time.Until(t)
	return r.commit(nil, m)
}
