package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

const (
	fakeCallers    = 2  // fake guests that ask 0x20
	failoverWindow = 16 // requests that each of them keeps in flight
)

// failover kills the leader again and again while two guests ask 0x20, half of
// it with side effects, and measures the time until the first answer to a
// request that was sent after the kill.
func (b *bench) failover(ctx context.Context) error {
	if b.failovers == 0 {
		return nil
	}
	o := order{replicas: 3, nodes: fakeCallers}
	if b.guests {
		vm, err := b.machines(ctx, fakeCallers)
		if err != nil {
			return err
		}
		o.vm, o.nodes = vm, fakeCallers+len(realInterfaces)
	}
	s, err := b.stand(ctx, o)
	if err != nil {
		return err
	}
	defer s.close()
	var real *crew
	if b.guests {
		real, err = s.crew(ctx, s.nodes[fakeCallers:])
		defer real.close()
		if err != nil {
			return err
		}
	}
	return b.kill(ctx, s, real)
}

// kill kills leaders while the callers, and the real guests if there are any,
// are at work.
func (b *bench) kill(ctx context.Context, s *stand, real *crew) error {
	c, err := s.callers(ctx, fakeCallers, failoverWindow)
	if err != nil {
		return err
	}
	took, inFlight, err := s.killLeaders(ctx, b.failovers, c)
	t, cerr := c.end()
	if err = errors.Join(err, cerr); err != nil {
		return err
	}
	kind := "fake"
	if real != nil {
		kind = "fake, beside real ones"
	}
	b.report.add(&measurement{
		Name: "Leader killed, until the first answer at 0x20", Unit: millis, Guests: kind, Midplane: summarise(millis, took),
		Required: []bound{atMost("p99", 1000)}, Stretch: []bound{atMost("p99", 500)},
		Note: fmt.Sprintf("slowest %s ms", number(in(millis, took.quantile(1)))),
	})
	b.addFailed(t, inFlight, kind)
	if real == nil {
		return nil
	}
	if t, err = real.end(); err != nil {
		return err
	}
	b.addFailed(t, len(took)*loopInFlight*len(realInterfaces), "real")
	return nil
}

func (b *bench) addFailed(t tally, inFlight int, guests string) {
	b.report.add(&measurement{
		Name: "Requests failed while leaders were killed", Unit: "requests", Guests: guests,
		Midplane: &summary{P50: float64(t.failed), Trials: t.sent}, Required: []bound{atMost("p50", 0)},
		Note: fmt.Sprintf("%d sent, %d answered, %d in flight at the kills; failures: %v", t.sent, t.answered, inFlight, t.reasons),
	})
}

// callers are guests that ask 0x20 without pause.
type callers struct {
	loads []*load
	stop  context.CancelFunc
	ended chan error
}

func (s *stand) callers(ctx context.Context, n, window int) (*callers, error) {
	c := &callers{ended: make(chan error, n)}
	for i := range n {
		g, err := s.bridges(ctx, i+1, ipmb.AddrShelfManager)
		if err != nil {
			return nil, err
		}
		c.loads = append(c.loads, newLoad(g, ipmb.AddrShelfManager, mixed, window))
	}
	run, stop := context.WithCancel(ctx)
	c.stop = stop
	for _, l := range c.loads {
		go func() {
			defer l.g.close()
			c.ended <- l.run(run, 0)
		}()
	}
	return c, nil
}

// inFlight is how many requests wait for an answer at this moment.
func (c *callers) inFlight() (n int) {
	for _, l := range c.loads {
		n += l.now().open
	}
	return n
}

// end stops sending, waits for the last answers and sums up.
func (c *callers) end() (sum tally, err error) {
	c.stop()
	for range c.loads {
		err = errors.Join(err, <-c.ended)
	}
	sum.reasons = make(map[string]int)
	for _, l := range c.loads {
		t := l.now()
		sum.sent, sum.answered, sum.failed = sum.sent+t.sent, sum.answered+t.answered, sum.failed+t.failed
		for why, n := range t.reasons {
			sum.reasons[why] += n
		}
	}
	return sum, err
}

// killLeaders kills the leader so many times; each time it is started again,
// and joins again, before the next.
func (s *stand) killLeaders(ctx context.Context, times int, c *callers) (took sample, inFlight int, err error) {
	for range times {
		i, err := s.leader(ctx)
		if err != nil {
			return took, inFlight, err
		}
		inFlight += c.inFlight()
		d, err := s.killed(ctx, i, c)
		if err != nil {
			return took, inFlight, err
		}
		took = append(took, d)
		if err := s.startReplica(i); err != nil {
			return took, inFlight, err
		}
		if err := s.settled(ctx); err != nil {
			return took, inFlight, fmt.Errorf("after the restart of %s: %w", replicaName(i), err)
		}
		for _, l := range c.loads {
			l.taken() // not wanted here, and would grow
		}
	}
	return took, inFlight, nil
}

// killed kills replica i and gives the time until 0x20 answers again.
func (s *stand) killed(ctx context.Context, i int, c *callers) (time.Duration, error) {
	began := time.Now()
	s.replicas[i].kill()
	gone := time.Now()
	first := c.loads[0].expect(gone)
	select {
	case at := <-first:
		return at.Sub(began), nil
	case <-time.After(2 * unanswered):
		return 0, fmt.Errorf("nobody answered after %s was killed", replicaName(i))
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
