package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// crowdSize is how many guests talk at once.
const crowdSize = 16

// crowd measures bridged requests of 16 guests at once, each to the next
// slot's controller with one outstanding, with one and with two processors for
// each daemon. ipmi_sim cannot do this: only its BMC's guest gets answers.
func (b *bench) crowd(ctx context.Context) error {
	for _, compact := range []bool{true, false} {
		for _, procs := range []int{1, 2} {
			o := order{replicas: 3, nodes: crowdSize, compact: compact, env: []string{fmt.Sprintf("GOMAXPROCS=%d", procs)}}
			name := "processes with TLS"
			if compact {
				name = "--compact"
			}
			if err := b.crowdIn(ctx, o, fmt.Sprintf("16 guests bridging, %s, GOMAXPROCS=%d", name, procs)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) crowdIn(ctx context.Context, o order, name string) error {
	s, err := b.stand(ctx, o)
	if err != nil {
		return err
	}
	defer s.close()
	guests, err := s.all(ctx)
	if err != nil {
		return err
	}
	defer closeAll(guests)
	var (
		wg   sync.WaitGroup
		got  = make([]sample, len(guests))
		errs = make([]error, len(guests))
	)
	each := b.requests * b.rounds / (4 * crowdSize)
	began := time.Now()
	for i, g := range guests {
		to := ipmb.SlotAddr((i+1)%len(guests) + 1)
		wg.Go(func() { got[i], errs[i] = timed(each, func() error { return g.bridged(to) }) })
	}
	wg.Wait()
	took := time.Since(began)
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("guest %d: %w", i+1, err)
		}
	}
	rate := float64(each*len(guests)) / took.Seconds()
	b.report.add(&measurement{
		Name: name, Unit: micros, Guests: "fake", Midplane: summarise(micros, got...),
		Note: fmt.Sprintf("%.0f bridged requests a second in all", rate),
	})
	return nil
}

// all connects a guest to every node, each of which reaches the next.
func (s *stand) all(ctx context.Context) (guests []*guest, err error) {
	for i := range s.nodes {
		g, err := s.bridges(ctx, i+1, ipmb.SlotAddr((i+1)%len(s.nodes)+1))
		if err != nil {
			closeAll(guests)
			return nil, err
		}
		guests = append(guests, g)
	}
	return guests, nil
}

func closeAll(guests []*guest) {
	for _, g := range guests {
		g.close()
	}
}
