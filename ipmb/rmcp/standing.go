package rmcp

import (
	"context"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// UserChanged deals with the sessions of a user who was changed, and tells how
// many ended: they do when he may not log in any more, or not as he did, and
// otherwise have no more privilege than he. The one by which he was given another
// name or password goes on. His logins under way are over.
func (t *Sessions) UserChanged(ctx context.Context, id uint8, by ipmb.Origin) (ended int, err error) {
	changed, ended := t.follow(id, by)
	if t.cfg.Store == nil || ended == 0 && len(changed) == 0 {
		return ended, nil
	}
	return ended, t.settle(ctx, changed)
}

// follow does so; of those that changed and go on the store does not know yet.
func (t *Sessions) follow(id uint8, by ipmb.Origin) (changed []*session, ended int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, may := t.cfg.standing(id)
	own := t.ofOrigin(by)
	for _, s := range t.all {
		switch {
		case s.handle == 0:
			if s.login.account.ID == id {
				t.remove(s)
			}
		case s.user != id:
		case !may || s.stamp != now.Stamp && s != own:
			ended++
			t.remove(s)
			if s != own { // whose answer is not out yet
				s.wipe()
			}
		case s.stands(now):
			changed = append(changed, s)
		}
	}
	return changed, ended
}

// stands lets a session have what its user may, and reports whether it had
// something else.
func (s *session) stands(now mc.Standing) bool {
	limit, privilege := min(s.limit, now.Limit), min(s.privilege, now.Limit)
	changed := limit != s.limit || privilege != s.privilege || s.stamp != now.Stamp
	s.limit, s.privilege, s.stamp = limit, privilege, now.Stamp
	return changed
}

// UserChanged ends the payloads of a user who may not have them any more.
func (s *SOL) UserChanged(id uint8) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for instance, a := range s.active {
		if a.session.user == id && !s.mayGoOn(a.session) {
			a.stop(false)
			delete(s.active, instance)
		}
	}
}

func (s *SOL) mayGoOn(one *session) bool {
	least := s.least()
	s.Sessions.mu.Lock()
	defer s.Sessions.mu.Unlock()
	return s.Allowed(one.user) && one.privilege >= least
}
