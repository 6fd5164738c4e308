package backplane

import (
	"context"
	"time"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

const (
	maxEventBatches = 64   // of one node, waiting for the commit before
	maxEventRun     = 1024 // events in one commit
	eventTimeout    = 5 * time.Second
)

// takeEvents queues events for the leader. Beyond the bound they are dropped:
// the shelf then finds a gap and asks the node for them again.
func (p *port) takeEvents(b *v1.EventBatch) {
	select {
	case p.events <- b:
	default:
		p.s.counts[Busy].Add(1)
	}
}

// sendEvents brings a node's events to the leader, one run at a time and in
// order; what gathers meanwhile makes the next run.
func (p *port) sendEvents() {
	for {
		select {
		case b := <-p.events:
			p.commit(p.gather(b))
		case <-p.link.Done():
			return
		}
	}
}

func (p *port) gather(b *v1.EventBatch) []*v1.Event {
	events := b.GetEvents()
	for len(events) < maxEventRun {
		select {
		case b := <-p.events:
			events = append(events[:len(events):len(events)], b.GetEvents()...)
		default:
			return events
		}
	}
	return events
}

func (p *port) commit(events []*v1.Event) {
	if len(events) == 0 || p.s.cfg.Slot(p.shelf, p.hw).Epoch > p.epoch {
		return
	}
	ctx, cancel := context.WithTimeout(p.s.ctx, eventTimeout)
	defer cancel()
	run := &v1.RelayEvents{Shelf: p.shelf, HardwareAddress: uint32(p.hw), Outbox: p.outbox, Epoch: p.epoch, Events: events}
	if ack := p.s.logEvents(ctx, run); ack != nil {
		p.link.Send(&v1.AttachResponse{Kind: &v1.AttachResponse_EventAck{EventAck: ack}})
	}
}

// logEvents commits events at the leader; nil when none could be reached.
func (s *Switch) logEvents(ctx context.Context, run *v1.RelayEvents) *v1.EventAck {
	_, leader := s.cfg.Leader()
	if leader == s.cfg.Replica {
		return s.cfg.Brain.Events(ctx, run)
	}
	if p := s.peer(leader); p != nil {
		return p.logEvents(ctx, run)
	}
	return nil
}
