package uplink

import (
	"context"
	"time"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

const (
	eventBatch  = 64   // events in one message
	eventWindow = 1024 // events on their way without acknowledgement
	ackTimeout  = 2 * time.Second
)

// pumping is where the event pump stands.
type pumping struct {
	way  *way
	term uint64 // in which sent was sent
	sent uint64 // the last event that is on its way
}

// pump sends the outbox's events over one stream at a time, in order, and
// starts behind the last acknowledged one whenever that stream or the leader
// changes, or nothing is heard for too long.
func (u *Uplink) pump(ctx context.Context) {
	var p pumping
	late := time.NewTimer(ackTimeout)
	defer late.Stop()
	for {
		progress, err := u.pumpOnce(&p)
		if err != nil {
			u.cfg.Logger.Error("events stay in the outbox", "why", err)
		}
		if progress {
			late.Reset(ackTimeout)
		}
		select {
		case <-u.kicked:
		case <-u.cfg.Outbox.Changed():
		case <-late.C:
			p.sent = u.cfg.Outbox.Acked()
			late.Reset(ackTimeout)
		case <-ctx.Done():
			return
		}
	}
}

// pumpOnce takes an acknowledgement and sends what the window permits.
// progress: something was acknowledged, or all is new.
func (u *Uplink) pumpOnce(p *pumping) (progress bool, err error) {
	o := u.cfg.Outbox
	w, term := u.view.Load().toManager(), u.term.Load()
	if w != p.way || term != p.term {
		*p = pumping{way: w, term: term}
		progress = true
	}
	if w == nil {
		return progress, nil
	}
	if w.outbox != o.UUID() { // greeted before the outbox was renewed
		w.link.Close(errRenewed)
		return progress, nil
	}
	last, resend := u.answered(w)
	if last > o.Last() || resend > 0 && resend <= o.Acked() {
		return true, u.renew()
	}
	progress = progress || last > o.Acked()
	if err := o.Ack(last); err != nil {
		return progress, err
	}
	p.sent = max(p.sent, o.Acked())
	if resend > 0 && resend <= p.sent {
		p.sent = resend - 1
	}
	return progress, u.send(p)
}

// answered is what the shelf said by way w: the last event that it has, and
// from where it wants them again, 0 for no such wish. What another way brought
// may be older and does not count.
func (u *Uplink) answered(w *way) (last, resend uint64) {
	a := u.ack.Swap(nil)
	if a == nil || a.way != w {
		return w.lastEvent, 0
	}
	return max(w.lastEvent, a.GetLast()), a.GetResendFrom()
}

func (u *Uplink) send(p *pumping) error {
	o := u.cfg.Outbox
	for p.sent < o.Last() && p.sent-o.Acked() < eventWindow {
		events, err := o.After(p.sent, eventBatch)
		if err != nil || len(events) == 0 {
			return err
		}
		p.way.link.Send(&v1.AttachRequest{Kind: &v1.AttachRequest_Events{Events: &v1.EventBatch{Events: events}}})
		p.sent = events[len(events)-1].GetN()
	}
	return nil
}

// renew starts a new outbox, whose UUID the replicas learn by new hellos.
func (u *Uplink) renew() error {
	u.cfg.Logger.Warn("shelf and outbox disagree on past events: starting a new outbox")
	err := u.cfg.Outbox.Renew()
	for _, w := range u.view.Load().live {
		w.link.Close(errRenewed)
	}
	return err
}
