package manager

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sdr"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/state"
)

// keep takes over the device SDRs of a slot's holder.
func (r *repository) keep(ctx context.Context, sl state.Slot, device []mc.SDRRecord) error {
	if err := r.turn.take(ctx); err != nil {
		return err
	}
	defer r.turn.release()
	if now, ok := r.m.cfg.State.Slot(r.m.cfg.Shelf, sl.HW); !ok || !now.Held || now.Epoch != sl.Epoch {
		return nil // its next holder is asked for itself
	}
	stamp, entries, err := readRepository(r.m.cfg.State, r.m.cfg.Shelf)
	if err != nil {
		return err
	}
	locator, err := marshalLocator(slotLocator(sl))
	if err != nil {
		return err
	}
	e := newSDREntry(sl.HW, sl.Instance, locator, device, entries[sl.HW])
	return r.commit(ctx, stamp, entries, map[uint8]*sdrEntry{sl.HW: e})
}

// publish brings the repository's own entry and the locators to what the slots
// say, and drops what is there of controllers that are gone for good.
func (r *repository) publish(ctx context.Context) error {
	if err := r.turn.take(ctx); err != nil {
		return err
	}
	defer r.turn.release()
	stamp, entries, err := readRepository(r.m.cfg.State, r.m.cfg.Shelf)
	if err != nil {
		return err
	}
	changes, err := r.gaps(entries)
	if err != nil {
		return err
	}
	return r.commit(ctx, stamp, entries, changes)
}

// stale reports whether publish has something to do.
func (r *repository) stale() bool {
	_, entries, err := readRepository(r.m.cfg.State, r.m.cfg.Shelf)
	if err != nil {
		return true
	}
	changes, err := r.gaps(entries)
	return err != nil || len(changes) > 0
}

// gaps gives the entries that should be other than they are, nil for those that
// should not be.
func (r *repository) gaps(entries map[uint8]*sdrEntry) (changes map[uint8]*sdrEntry, err error) {
	changes = make(map[uint8]*sdrEntry)
	want := map[uint8]*sdrEntry{}
	own := ipmb.AddrShelfManager.HW()
	if want[own], err = r.own(); err != nil {
		return nil, err
	}
	for _, sl := range r.m.cfg.State.Slots(r.m.cfg.Shelf) {
		if !sl.Held {
			continue
		}
		if want[sl.HW], err = slotEntry(sl, entries[sl.HW]); err != nil {
			return nil, err
		}
	}
	for hw, e := range want {
		if !e.equal(entries[hw]) {
			changes[hw] = e
		}
	}
	for hw := range entries {
		if want[hw] == nil {
			changes[hw] = nil
		}
	}
	return changes, nil
}

// own is 0x20's entry.
func (r *repository) own() (*sdrEntry, error) {
	locator, err := marshalLocator(r.locator())
	if err != nil {
		return nil, err
	}
	var sensors []mc.SDRRecord
	for i, body := range ownSensors() {
		b, err := sdr.Marshal(uint16(i+1), body)
		if err != nil {
			return nil, err
		}
		sensors = append(sensors, b)
	}
	return newSDREntry(ipmb.AddrShelfManager.HW(), ownInstance, locator, sensors, nil), nil
}

// slotEntry is a slot's entry as far as it is known without asking the holder:
// what it had told before, else what its claim says of it.
func slotEntry(sl state.Slot, old *sdrEntry) (*sdrEntry, error) {
	if old != nil && old.instance == sl.Instance && old.records[0].device != 0 {
		return old, nil
	}
	locator, err := marshalLocator(slotLocator(sl))
	if err != nil {
		return nil, err
	}
	e := newSDREntry(sl.HW, sl.Instance, locator, nil, nil)
	if old != nil && old.instance == sl.Instance {
		e.records = append(e.records, old.records[1:]...)
	}
	return e, nil
}

func (e *sdrEntry) equal(other *sdrEntry) bool {
	return other != nil && bytes.Equal(e.append(nil), other.append(nil))
}

// commit puts changes and the time of them, if they are any. The caller has
// the turn.
func (r *repository) commit(ctx context.Context, stamp []byte, entries, changes map[uint8]*sdrEntry) error {
	c := &v1.PutRecords{Shelf: r.m.cfg.Shelf}
	for _, hw := range slices.Sorted(maps.Keys(changes)) {
		name := fmt.Sprintf("%s%02x", sdrEntryPrefix, hw)
		switch e := changes[hw]; {
		case e == nil:
			c.Delete = append(c.Delete, name)
		case !e.equal(entries[hw]):
			c.Put = append(c.Put, &v1.NamedRecord{Name: name, Value: e.append(nil)})
		}
	}
	if len(c.Put)+len(c.Delete) == 0 {
		return nil
	}
	c.Put = append(c.Put, &v1.NamedRecord{Name: sdrStamp, Value: nextStamp(stamp, time.Now())})
	return r.m.put(ctx, c)
}
