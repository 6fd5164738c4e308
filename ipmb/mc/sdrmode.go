package mc

import (
	"context"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// sdrModeTimeout ends the update mode of one who has gone silent.
const sdrModeTimeout = time.Minute

// sdrUpdater tells one requester from another.
type sdrUpdater struct {
	speaker ipmb.Speaker
	door    ipmb.Door
	channel uint8
	source  ipmb.Addr
	lun     ipmb.LUN
	session uint32
}

func updaterOf(o ipmb.Origin) sdrUpdater {
	return sdrUpdater{o.Speaker, o.Door, o.Channel, o.Source, o.SourceLUN, o.Session}
}

// sdrMode is the modal update (IPMI 2.0 §33.19): one requester has the
// repository for itself until it leaves the mode or has been silent for long.
// A controller that starts again is not in it.
type sdrMode struct {
	mu    sync.Mutex
	owner sdrUpdater
	until time.Time
}

// admit lets anybody pass while nobody is in the mode, and its owner, for whom
// the time begins anew: D0h for others. held says that the mode is on.
func (m *sdrMode) admit(o ipmb.Origin) (held bool, err error) {
	now := time.Now()
	if !now.Before(m.until) {
		return false, nil
	}
	if updaterOf(o) != m.owner {
		return true, ipmb.ErrSDRUpdate
	}
	m.until = now.Add(sdrModeTimeout)
	return true, nil
}

func (m *sdrMode) enter(_ context.Context, req *ipmb.Request) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.admit(req.Origin); err != nil {
		return nil, err
	}
	m.owner, m.until = updaterOf(req.Origin), time.Now().Add(sdrModeTimeout)
	return nil, nil
}

// exit ends the mode: D5h when there is nothing to end.
func (m *sdrMode) exit(_ context.Context, req *ipmb.Request) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	held, err := m.admit(req.Origin)
	switch {
	case err != nil:
		return nil, err
	case !held:
		return nil, ipmb.ErrState
	}
	m.until = time.Time{}
	return nil, nil
}

// guard puts the mode before a command.
func (m *sdrMode) guard(do func(context.Context, *ipmb.Request) ([]byte, error)) func(context.Context, *ipmb.Request) ([]byte, error) {
	return func(ctx context.Context, req *ipmb.Request) ([]byte, error) {
		m.mu.Lock()
		_, err := m.admit(req.Origin)
		m.mu.Unlock()
		if err != nil {
			return nil, err
		}
		return do(ctx, req)
	}
}
