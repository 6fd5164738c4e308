package rmcp

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// openPatience is how long a client waits for a port, at most.
const openPatience = 3 * time.Second

// timing reads the parameters: units of 5 ms for collecting, of 10 ms for
// retries.
func (s *SOL) timing() solTiming {
	collect, retry := s.Parameter(mc.SOLAccumulate), s.Parameter(mc.SOLRetry)
	return solTiming{
		accumulate: time.Duration(collect[0]) * 5 * time.Millisecond, threshold: int(collect[1]),
		retries: int(retry[0] & solRetryMask), interval: time.Duration(max(retry[1], 1)) * 10 * time.Millisecond,
	}
}

const solRetryMask = 0x07

// start begins a payload for a session. Its place is taken while the port opens.
func (s *SOL) start(ctx context.Context, own *session, instance uint8) error {
	a, err := s.reserve(own, instance)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, openPatience)
	defer cancel()
	if a.line, err = s.Console.Open(ctx, a.opening(false)); err != nil {
		s.forget(a)
		if errors.Is(err, context.DeadlineExceeded) {
			return ipmb.ErrDestination
		}
		return err
	}
	if err := s.begun(a); err != nil {
		s.forget(a)
		return errors.Join(err, a.line.Close())
	}
	return nil
}

// opening asks for the payload's port.
func (a *activeSOL) opening(resume bool) Opening {
	o := Opening{Instance: a.instance, Hold: a.timing.patience(), Resume: resume}
	if a.session.name != [nameLen]byte{} {
		o.Session = string(a.session.name[:])
	}
	return o
}

// reserve takes a payload's place.
func (s *SOL) reserve(own *session, instance uint8) (*activeSOL, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil || s.ctx.Err() != nil {
		return nil, ipmb.ErrState
	}
	if s.active[instance] != nil {
		return nil, ErrPayloadActive
	}
	for _, a := range s.active { // its packets do not say which payload they are for
		if a.session == own {
			return nil, ErrPayloadLimit
		}
	}
	a := newActiveSOL(own, s.timing(), s.log)
	a.instance = instance
	s.active[instance] = a
	return a, nil
}

// begun lets a payload run that has its port.
func (s *SOL) begun(a *activeSOL) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The door closed, somebody deactivated it, or its user was changed.
	if s.ctx == nil || s.ctx.Err() != nil || s.active[a.instance] != a || !s.mayGoOn(a.session) {
		return ipmb.ErrState
	}
	ctx, door, peer := s.ctx, s.door, s.Sessions.peerOf(a.session)
	s.group.Go(func() {
		ended := a.session.ended()
		idle := make(chan struct{})
		go func() {
			defer close(idle)
			s.Sessions.watchIdle(a.stopped, a.session)
		}()
		a.run(ctx, door, peer, ended)
		a.stop(true)
		<-idle
		s.forget(a)
		switch {
		case ctx.Err() != nil:
		case a.taken:
			s.tellEnd(ctx, a)
		default:
			s.keep(ctx, a.session, nil, nil)
		}
		s.log.Info("serial over LAN ended", "from", peer.String(), "instance", a.instance)
	})
	s.log.Info("serial over LAN", "from", peer.String(), "user", a.session.user, "instance", a.instance)
	return nil
}

func (t *Sessions) peerOf(s *session) netip.AddrPort {
	t.mu.Lock()
	defer t.mu.Unlock()
	return s.peer
}

// watchIdle ends a session that says nothing for too long, until stop: while it
// has a payload nobody else may come to see that.
func (t *Sessions) watchIdle(stop <-chan struct{}, s *session) {
	timer := time.NewTimer(IdleTime)
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return
		case <-timer.C:
		}
		t.mu.Lock()
		t.expire(time.Now())
		left := IdleTime - time.Since(s.last)
		t.mu.Unlock()
		timer.Reset(max(left, time.Second))
	}
}

// forget lets the next payload be activated.
func (s *SOL) forget(a *activeSOL) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.session.serial.CompareAndSwap(a, nil)
	if s.active[a.instance] == a {
		delete(s.active, a.instance)
	}
}
