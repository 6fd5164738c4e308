package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// eventsFor is how long each measurement of events goes on.
const eventsFor = 5 * time.Second

// events measures what three replicas commit, each with its own file that is
// synced to disk: Add SEL Entry to 0x20, one and 64 outstanding, from a
// controller and through a guest's door, and controllers' events through the
// durable outbox. The limit for one at a time is a bare write and fdatasync.
func (b *bench) events(ctx context.Context) error {
	s, err := b.stand(ctx, order{replicas: 3, nodes: 1, spare: 1})
	if err != nil {
		return err
	}
	defer s.close()
	sp, err := s.speaker(ctx, 2)
	if err != nil {
		return err
	}
	defer sp.close()
	if err := b.speakerEvents(ctx, sp); err != nil {
		return err
	}
	if err := b.outboxEvents(ctx, sp); err != nil {
		return err
	}
	return b.guestEvents(ctx, s)
}

func (b *bench) speakerEvents(ctx context.Context, sp *speaker) error {
	limit, err := b.syncs()
	if err != nil {
		return err
	}
	for _, n := range []int{1, 64} {
		rates, took, err := sp.events(ctx, n)
		if err != nil {
			return err
		}
		m := &measurement{
			Name: fmt.Sprintf("Events committed, %d at a time, from a controller", n), Unit: "1/s", Guests: "none", Midplane: rates,
			Note: fmt.Sprintf("Add SEL Entry to 0x20 over TLS; each took p50 %s, p99 %s ms", number(took.P50), number(took.P99)),
		}
		if n == 1 {
			m.Limit = limit
		} else {
			m.Required, m.Stretch = []bound{atLeast("p50", 8000)}, []bound{atLeast("p50", 15000)}
		}
		b.report.add(m)
	}
	return nil
}

// events adds SEL entries for a while, so many at a time, and gives the rate
// of each second and what they took.
func (sp *speaker) events(ctx context.Context, n int) (rates, took *summary, err error) {
	ctx, cancel := context.WithTimeout(ctx, eventsFor+time.Second)
	defer cancel()
	var (
		done   atomic.Int64
		wg     sync.WaitGroup
		mu     sync.Mutex
		all    sample
		failed error
	)
	for i := range n {
		wg.Go(func() {
			var own sample
			for j := uint32(0); ctx.Err() == nil; j++ {
				began := time.Now()
				err := sp.ask(ctx, ipmb.NetFnStorage, cmdAddSEL, selRecord(uint32(i)<<20|j))
				if ctx.Err() != nil {
					break
				}
				if err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
					cancel()
					break
				}
				done.Add(1)
				own = append(own, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, own...)
		})
	}
	rates = perSecond(ctx, func() int { return int(done.Load()) })
	cancel()
	wg.Wait()
	return rates, summarise(millis, all), failed
}

// perSecond watches a counter: the first second warms up, the others count.
func perSecond(ctx context.Context, count func() int) *summary {
	var rates []float64
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	began, before := time.Now(), count()
	for len(rates) <= int(eventsFor/time.Second) {
		select {
		case <-ctx.Done():
			if len(rates) == 0 {
				return single(0)
			}
			return single(rates[min(1, len(rates)-1):]...)
		case now := <-tick.C:
			n := count()
			rates = append(rates, float64(n-before)/now.Sub(began).Seconds())
			began, before = now, n
		}
	}
	return single(rates[1:]...)
}

// outboxEvents measures the way of a controller's own events: stored on its
// disk, sent in batches, committed, acknowledged, removed.
func (b *bench) outboxEvents(ctx context.Context, sp *speaker) error {
	const total = 4000
	began := time.Now()
	body := []byte{0x04, 0xC0, 0x01, 0x6F, 0x00, 0xFF, 0xFF} // an OEM sensor's event
	for range total {
		if _, err := sp.outbox.Append(&v1.Event{Body: body, Generator: sp.generator, Time: time.Now().UnixNano()}); err != nil {
			return err
		}
	}
	err := eventually(ctx, time.Minute, func() error {
		if n := sp.outbox.Last() - sp.outbox.Acked(); n > 0 {
			return fmt.Errorf("%d events are not committed", n)
		}
		return nil
	})
	if err != nil {
		return err
	}
	rate := total / time.Since(began).Seconds()
	b.report.add(&measurement{
		Name: "Events committed, through one controller's outbox", Unit: "1/s", Guests: "none", Midplane: &summary{P50: rate, Trials: total},
		Note: "each synced to the controller's disk before it is sent",
	})
	return nil
}

// guestEvents measures Add SEL Entry to 0x20 through a guest's door.
func (b *bench) guestEvents(ctx context.Context, s *stand) error {
	for _, n := range []int{1, 64} {
		g, err := s.guest(ctx, 1)
		if err != nil {
			return err
		}
		l := newLoad(g, ipmb.AddrShelfManager, writes, n)
		run, cancel := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- l.run(run, 0) }()
		rates := perSecond(run, func() int { return l.now().answered })
		cancel()
		err = <-ended
		g.close()
		if err != nil {
			return err
		}
		took, t := summarise(millis, l.taken()), l.now()
		if took == nil || t.failed > 0 {
			return fmt.Errorf("%d of %d events failed: %v", t.failed, t.sent, t.reasons)
		}
		b.report.add(&measurement{
			Name: fmt.Sprintf("Events committed, %d at a time, from one guest", n), Unit: "1/s", Guests: "fake", Midplane: rates,
			Note: fmt.Sprintf("each took p50 %s, p99 %s ms", number(took.P50), number(took.P99)),
		})
	}
	return nil
}

// syncs is how often one process can append 100 bytes to a file and sync it.
func (b *bench) syncs() (*summary, error) {
	f, err := os.Create(b.scratch("syncs"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	record := make([]byte, 100)
	s, err := timed(1000, func() error {
		if _, err := f.Write(record); err != nil {
			return err
		}
		return f.Sync()
	})
	if err != nil {
		return nil, err
	}
	var rates []float64
	for part := range 10 {
		var sum time.Duration
		for _, d := range s[part*100 : (part+1)*100] {
			sum += d
		}
		rates = append(rates, 100/sum.Seconds())
	}
	return single(rates...), nil
}
