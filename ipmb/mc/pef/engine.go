package pef

import (
	"context"
	"time"
)

// Run filters until ctx ends.
func (p *PEF) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-timer.C:
		}
		events, again := p.due(time.Now())
		for i, e := range events {
			if ctx.Err() != nil {
				return // what is left is found again
			}
			p.handle(ctx, e, i == len(events)-1)
		}
		if again > 0 {
			timer.Reset(again)
		}
	}
}

// due gives the events that are to be filtered now, and after what time to
// look again, 0 for not before something happens.
func (p *PEF) due(now time.Time) (events []Event, again time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.postpone.tick(now) {
		p.Logger.Warn("PEF takes over: software did not process an event in time", "pending", len(p.pending))
		if err := p.Records.Put(recordPostpone, []byte{postponeOff}); err != nil {
			p.Logger.Error("PEF postpone timer not stored", "err", err)
		}
	}
	switch {
	case now.Before(p.heldTill):
		return nil, p.heldTill.Sub(now)
	case p.postpone.value == postponeOff:
		events, p.pending = p.pending, nil
		p.filtering = len(events) > 0
		return events, 0
	case !p.postpone.deadline.IsZero():
		return nil, p.postpone.deadline.Sub(now)
	}
	return nil, 0
}

// handle filters one event, and does what is to be done before it notes that:
// who is killed in between does it once more, rather than not at all.
func (p *PEF) handle(ctx context.Context, e Event, last bool) {
	acted := false
	if !e.ownAction(p.Source.generator()) {
		p.mu.Lock()
		todo := decide(p.filters[:], p.actions, e)
		tell := p.control&controlEventMessages != 0
		p.mu.Unlock()
		acted = todo.Actions != 0
		p.act(ctx, e, todo, tell && acted)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pass(e.ID)
	if !acted && !last {
		return // one write for many events that nobody asked for
	}
	if last {
		p.filtering = false
	}
	if last && len(p.pending) == 0 {
		p.skip(p.added)
		p.added = idNoLog
	}
	if err := p.Records.Put(recordProcessed, p.processed.record()); err != nil {
		p.Logger.Error("event filtered, but not noted", "record", e.ID, "err", err)
	}
}

// act does what was decided, telling of it first.
func (p *PEF) act(ctx context.Context, e Event, todo plan, tell bool) {
	if tell {
		if err := p.Report(ctx, actionEvent(p.Sensor, todo.Actions)); err != nil {
			p.Logger.Error("PEF action not logged", "err", err)
		}
	}
	if err := p.affect(ctx, e, todo); err != nil {
		p.Logger.Error("PEF action failed", "filter", todo.Filter, "record", e.ID, "err", err)
	}
	for _, a := range todo.Alerts {
		p.start(e, a)
	}
}

// affect does what is to be done to the system.
func (p *PEF) affect(ctx context.Context, e Event, todo plan) error {
	log := p.Logger.With("filter", todo.Filter, "record", e.ID)
	switch todo.Actions &^ ActionAlert {
	case ActionPowerOff:
		log.Warn("PEF powers the system off")
		return p.Target.PowerOff(ctx)
	case ActionPowerCycle:
		log.Warn("PEF power cycles the system")
		return p.Target.PowerCycle(ctx)
	case ActionReset:
		log.Warn("PEF resets the system")
		return p.Target.Reset(ctx)
	case ActionNMI:
		log.Warn("PEF raises a diagnostic interrupt")
		return p.Target.NMI(ctx)
	}
	return nil
}
