package rmcp

import (
	"context"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// How long a payload that another process had waits for its port, and how long
// between tries: the port's own process may just be on its way to this one.
const (
	resumePatience = 30 * time.Second
	resumeAgain    = 100 * time.Millisecond
)

// keep has the store know which payload a session has now; by is the request
// that made it so, with its answer, or nil. It is false when that is not stored.
func (s *SOL) keep(ctx context.Context, own *session, by *ipmb.Request, answer []byte) bool {
	t := s.Sessions
	if t.cfg.Store == nil {
		return true
	}
	t.storeTurn.Lock()
	defer t.storeTurn.Unlock()
	instance := uint8(0)
	if a := s.of(own); a != nil {
		instance = a.instance
	}
	if ctx.Err() != nil { // with the door its payloads are gone here, and the next process goes on with them
		return false
	}
	t.mu.Lock()
	if t.find(own.id) != own || own.state != stateKept || by == nil && own.payload == instance {
		t.mu.Unlock()
		return true
	}
	own.payload = instance
	c := Change{Put: []Kept{own.kept()}, By: by, Answer: answer}
	t.mu.Unlock()
	if err := t.cfg.Store.Save(ctx, c); err != nil {
		s.log.Info("the session's payload is not stored", "user", own.user, "instance", instance, "err", err)
		return false
	}
	return true
}

// end ends a session's payload as if it had never begun.
func (s *SOL) end(own *session) {
	if a := s.of(own); a != nil {
		a.stop(true)
		s.forget(a)
	}
}

// resume goes on with the payloads of sessions that another process had. The
// caller has mu.
func (s *SOL) resume() {
	if s.Console == nil || s.Parameter(mc.SOLEnable)[0] == 0 {
		return
	}
	ctx := s.ctx
	for _, own := range s.Sessions.withPayload() {
		if s.active[own.payload] != nil || !s.Allowed(own.user) {
			s.group.Go(func() { s.keep(ctx, own, nil, nil) })
			continue
		}
		a := newActiveSOL(own, s.timing(), s.log)
		a.instance, a.resumed = own.payload, true
		a.begin()
		s.active[a.instance] = a
		s.group.Go(func() { s.takeUp(ctx, a) })
	}
}

// withPayload gives the sessions that have one by the store.
func (t *Sessions) withPayload() (list []*session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.handles {
		if s != nil && s.payload != 0 {
			list = append(list, s)
		}
	}
	return list
}

// takeUp opens the port of a payload that goes on here. Where that cannot be
// its console is told that the payload has ended.
func (s *SOL) takeUp(ctx context.Context, a *activeSOL) {
	patient, cancel := context.WithTimeout(ctx, resumePatience)
	defer cancel()
	for {
		line, err := s.reopenPort(patient, a)
		if err == nil {
			a.line = line
			if s.begun(a) != nil {
				_ = line.Close()
			}
			return
		}
		select {
		case <-a.stopped:
			return
		case <-time.After(resumeAgain):
			continue
		case <-patient.Done():
		}
		break
	}
	s.forget(a)
	if ctx.Err() != nil {
		return
	}
	s.tellEnd(ctx, a)
}

// tellEnd tells a console that its payload was ended by somebody else. Where
// there is a store that has it first: a process that is not the one to serve the
// door any more has nothing to tell.
func (s *SOL) tellEnd(ctx context.Context, a *activeSOL) {
	if !s.keep(ctx, a.session, nil, nil) {
		return
	}
	s.mu.Lock()
	door := s.door
	s.mu.Unlock()
	door.send(a.session.seal(PayloadSOL, solPacket{Op: solDeactivated}.append(nil)), s.Sessions.peerOf(a.session))
}

func (s *SOL) reopenPort(ctx context.Context, a *activeSOL) (Line, error) {
	ctx, cancel := context.WithTimeout(ctx, openPatience)
	defer cancel()
	return s.Console.Open(ctx, a.opening(true))
}
