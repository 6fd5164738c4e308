package node

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb/mc"
)

const (
	recordHours = "hours"
	// hoursEvery is how often the hours are written down, and how exact they
	// are when the VM ends while its node is away or a VM of somebody else's
	// comes and goes: each time costs an fsync.
	hoursEvery = time.Minute
)

// counted is the time that the VM had power, up to a moment, and whether it has
// it since. It is kept as JSON.
type counted struct {
	Total time.Duration
	Since time.Time
	On    bool
}

// at is the count at a later moment. A clock that was set back counts nothing.
func (c counted) at(now time.Time) counted {
	if c.On {
		c.Total += max(0, now.Sub(c.Since))
	}
	c.Since = now
	return c
}

func (c counted) hours() uint32 { return uint32(c.Total / time.Hour) }

// hours counts the hours that the VM has power.
type hours struct {
	records mc.Records

	mu   sync.Mutex
	kept counted // on disk
}

func (h *hours) load() error {
	v, err := h.records.Get(recordHours)
	if err == nil && v != nil {
		err = json.Unmarshal(v, &h.kept)
	}
	if err != nil {
		return fmt.Errorf("read the power-on hours: %w", err)
	}
	return nil
}

// resume goes on counting. A VM that went on while no node was there had power
// all the time; one that is gone is not known to have had it.
func (h *hours) resume(on bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept.On = h.kept.On && on
	next := h.kept.at(time.Now())
	next.On = on
	return h.keep(next)
}

// note tells whether the VM has power. It stores a change, and each minute.
func (h *hours) note(on bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if on == h.kept.On && (!on || now.Sub(h.kept.Since) < hoursEvery) {
		return nil
	}
	next := h.kept.at(now)
	next.On = on
	return h.keep(next)
}

// read gives the hours. What was told once is not taken back after a crash.
func (h *hours) read() (uint32, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.kept.at(time.Now())
	if now.hours() == h.kept.hours() {
		return now.hours(), nil
	}
	return now.hours(), h.keep(now)
}

func (h *hours) keep(next counted) error {
	v, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := h.records.Put(recordHours, v); err != nil {
		return err
	}
	h.kept = next
	return nil
}

// countHours counts those of a VM that somebody else starts until ctx ends.
func (h *host) countHours(ctx context.Context) {
	tick := time.NewTicker(hoursEvery)
	defer tick.Stop()
	h.count(h.life.hours.resume)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.count(h.life.hours.note)
		}
	}
}

// count has the hours told whether the VM has power.
func (h *host) count(tell func(bool) error) {
	if err := tell(h.On()); err != nil {
		h.log.Error("power-on hours not stored", "err", err)
	}
}
