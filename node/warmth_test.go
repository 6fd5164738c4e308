package node

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/node/template"
	"github.com/midplane-project/midplane/node/thermal"
)

// measured runs a board's measuring for a while and ends it as a stop does.
func (b *board) measured(d time.Duration) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), d)
	defer cancel()
	if err := b.sensors.measure(ctx); err != nil {
		b.t.Error(err)
	}
}

// A VM is as warm as it was when its node starts again, and as much cooler as
// the time makes it if it is off meanwhile.
func TestWarmthStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := thermal.Load{On: true, CPU: 1}
		for name, c := range map[string]struct {
			away     time.Duration
			does     thermal.Load
			from, to float64
		}{
			"at once":            {0, thermal.Load{On: true}, 54, 56},
			"busy meanwhile":     {time.Hour, thermal.Load{On: true}, 54, 56},
			"off for a while":    {20 * time.Second, thermal.Load{}, 35, 50},
			"off for long":       {time.Hour, thermal.Load{}, 23.5, 24.5},
			"clock was set back": {-time.Hour, thermal.Load{On: true}, 54, 56},
		} {
			does := busy
			b := newBoard(t, ProfileServer)
			x, err := template.Parse("t.yaml", []byte("environment: {}"), "")
			if err != nil {
				t.Fatal(err)
			}
			b.stop()
			b.template, b.load = x, func(time.Time) thermal.Load { return does }
			b.start()
			b.measured(10 * time.Minute)
			b.stop()
			does = c.does
			if c.away > 0 {
				time.Sleep(c.away)
			}
			b.start()
			if c.away < 0 {
				b.sensors.climate.at = b.sensors.climate.at.Add(-c.away)
			}
			b.sensors.climate.Round(time.Now())
			if got := b.sensors.climate.now.State.CPU; got < c.from || got > c.to {
				t.Errorf("%s: %.1f °C, want %g to %g", name, got, c.from, c.to)
			}
		}
	})
}

// It is written down once a minute and at the end, and not at all while the VM
// is off and cold.
func TestWarmthIsRarelyWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		does := thermal.Load{}
		b := newBoard(t, ProfileServer)
		b.stop()
		b.load = func(time.Time) thermal.Load { return does }
		b.start()
		writes := &countedRecords{Records: b.sensors.climate.records}
		b.sensors.climate.records = writes
		b.measured(time.Hour)
		if writes.n > 1 {
			t.Errorf("cold: written %d times", writes.n)
		}
		writes.n, does = 0, thermal.Load{On: true, CPU: 1}
		b.measured(10 * time.Minute)
		if writes.n < 9 || writes.n > 11 {
			t.Errorf("busy for ten minutes: written %d times", writes.n)
		}
	})
}

// countedRecords counts what is written.
type countedRecords struct {
	mc.Records
	n int
}

func (r *countedRecords) Put(name string, value []byte) error {
	r.n++
	return r.Records.Put(name, value)
}
