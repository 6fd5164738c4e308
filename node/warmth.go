package node

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/node/thermal"
)

const (
	recordWarmth = "thermal"
	// warmthEvery is how often the model's state is written down: each time may
	// cost an fsync. What it says is not exact, so a killed process loses little.
	warmthEvery = time.Minute
	// warmthExact is a difference in °C that nobody would see.
	warmthExact = 0.25
)

// warmth is the state of the thermal model at a moment, and what the VM did
// then. It is kept as JSON: the VM stays warm while its node is not there.
type warmth struct {
	State thermal.State
	Load  thermal.Load
	At    time.Time
}

// resume takes the model back to where an earlier process left it.
func (c *climate) resume(r mc.Records) error {
	c.records = r
	v, err := r.Get(recordWarmth)
	if err == nil && v != nil {
		err = json.Unmarshal(v, &c.kept)
	}
	if err != nil {
		return fmt.Errorf("read the model of the VM's warmth: %w", err)
	}
	if v != nil {
		c.now.State, c.at = c.kept.State, c.kept.At
		c.away = true
	}
	return nil
}

// meanwhile is what the VM did while no node was there: if it is on, what it
// did before.
func (c *climate) meanwhile(now thermal.Load) thermal.Load {
	if c.away && now.On {
		now.CPU = c.kept.Load.CPU
	}
	c.away = false
	return now
}

// keep writes down where the model is, unless that stands there.
func (c *climate) keep() error {
	next := warmth{State: c.now.State, Load: c.now.Load, At: c.at}
	cold := !next.Load.On && next.Load == c.kept.Load && math.Abs(next.State.CPU-c.kept.State.CPU) < warmthExact
	if cold || next.At.IsZero() {
		return nil
	}
	v, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := c.records.Put(recordWarmth, v); err != nil {
		return err
	}
	c.kept = next
	return nil
}

// keepWarmth is keep for the goroutine that measures.
func (s *sensors) keepWarmth() {
	if err := s.climate.keep(); err != nil {
		s.log.Error("the VM's warmth not stored", "err", err)
	}
}

// rounds is what happens at each round of the analog sensors.
type rounds struct {
	*climate
	sensors *sensors
}

// Round implements mc.Rounds. What the sensors read in the last one may be too hot.
func (r rounds) Round(now time.Time) {
	r.sensors.trip()
	r.climate.Round(now)
	switch {
	case r.due.IsZero():
		r.due = now.Add(warmthEvery)
	case !now.Before(r.due):
		r.due = now.Add(warmthEvery)
		r.sensors.keepWarmth()
	}
}

// measure reads the node's analog sensors until ctx ends.
func (s *sensors) measure(ctx context.Context) error {
	defer s.keepWarmth()
	return s.Scan(ctx, &faultyGauge{Rounds: rounds{s.climate, s}, faults: s.faults}, climateEvery, s.climate.keys...)
}
