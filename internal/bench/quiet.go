package main

import (
	"context"
	"fmt"
	"time"
)

// quiet watches an idle shelf: every term that begins without a reason is a
// spurious election.
func (b *bench) quiet(ctx context.Context) error {
	if b.options.idle == 0 {
		return nil
	}
	s, err := b.stand(ctx, order{replicas: 3, nodes: 2})
	if err != nil {
		return err
	}
	defer s.close()
	before, err := s.status(ctx)
	if err != nil {
		return err
	}
	select {
	case <-time.After(b.idle):
	case <-ctx.Done():
		return ctx.Err()
	}
	after, err := s.status(ctx)
	if err != nil {
		return err
	}
	b.report.add(&measurement{
		Name: fmt.Sprintf("Spurious elections in %v without load", b.idle), Unit: "elections", Guests: "fake",
		Midplane: &summary{P50: float64(after.Term - before.Term), Trials: 1}, Required: []bound{atMost("p50", 0)},
		Note: "with the timing \"lab\": elections after 200 ms of silence",
	})
	return nil
}
