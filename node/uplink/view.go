package uplink

import (
	"context"
	"errors"

	"github.com/midplane-project/midplane/internal/link"
	"github.com/midplane-project/midplane/internal/wire"
	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// slots is the number of hardware addresses.
const slots = 0x80

// presence is what one replica says of every slot of the shelf.
type presence [slots]struct {
	state v1.PresenceState
	here  bool   // attached to that very replica
	air   uint32 // v1.Presence.airflow
}

// view is what Send goes by. It is never changed, so Send takes no lock.
type view struct {
	live   []*way // in the order of the replicas
	leader *way   // to the leader, nil when there is none
	state  [slots]v1.PresenceState
	best   [slots]*way   // for each target
	air    [slots]uint32 // what fan trays move, as v1.Presence.airflow has it
}

// toManager is the way to 0x20: straight to the leader, else by any replica,
// which passes it on.
func (v *view) toManager() *way {
	if v.leader != nil || len(v.live) == 0 {
		return v.leader
	}
	return v.live[0]
}

// look makes a new view. The caller has u.mu.
func (u *Uplink) look() {
	old := u.view.Load()
	v := &view{state: old.state, air: old.air}
	for _, r := range u.replicas {
		if r.way == nil {
			continue
		}
		v.live = append(v.live, r.way)
		if r.name == u.leader {
			v.leader = r.way
		}
	}
	v.judge()
	u.view.Store(v)
}

// judge merges what the replicas say. One that is cut off sees less than the
// others, so the best news of a slot is the true one; with no news at all the
// last ones stay.
func (v *view) judge() {
	if len(v.live) == 0 {
		return
	}
	var fresh [slots]v1.PresenceState
	var air [slots]uint32
	told := false
	for hw := range v.best {
		v.best[hw] = v.live[0]
		rank := 0
		for _, w := range v.live {
			if w.presence == nil {
				continue
			}
			told = true
			p := w.presence[hw]
			air[hw] = max(air[hw], p.air)
			if n := worth(p.state, p.here); n > rank {
				rank, v.best[hw], fresh[hw] = n, w, p.state
			}
		}
	}
	if told {
		v.state = fresh
		v.breathe(air)
	}
}

// worth ranks what a replica says of a slot.
func worth(s v1.PresenceState, here bool) int {
	switch {
	case here:
		return 4
	case s == v1.PresenceState_PRESENCE_STATE_PRESENT:
		return 3
	case s == v1.PresenceState_PRESENCE_STATE_LOST:
		return 2
	}
	return 1
}

// Send sends m as this node's frame. Nil: it left, or nothing can take it right
// now and its sender will try again. Errors: D3h when the shelf knows nobody at
// that address, C0h when a request finds the queue full, or what is wrong with m.
func (u *Uplink) Send(_ context.Context, m ipmb.Message) error {
	v, to := u.view.Load(), m.Frame.To
	w := v.toManager()
	if to != ipmb.AddrShelfManager {
		if !to.Valid() || v.state[to.HW()] == v1.PresenceState_PRESENCE_STATE_ABSENT {
			return ipmb.ErrDestination
		}
		w = v.best[to.HW()]
	}
	if w == nil {
		return nil
	}
	m.Frame.From, m.Epoch, m.Plane = u.self, w.epoch, w.plane
	if to == ipmb.AddrShelfManager {
		m.Term = u.term.Load()
	}
	e, err := wire.ToEnvelope(m)
	if err != nil {
		return err
	}
	if err := w.link.Post(e); errors.Is(err, link.ErrFull) && !m.Frame.IsResponse() {
		return ipmb.ErrBusy
	}
	return nil
}

// Presence is what the shelf knows of an address, unspecified before a replica
// has told. 0x20 counts as present while there is a way to it.
func (u *Uplink) Presence(a ipmb.Addr) v1.PresenceState {
	v := u.view.Load()
	switch {
	case a == ipmb.AddrShelfManager && v.toManager() != nil:
		return v1.PresenceState_PRESENCE_STATE_PRESENT
	case a == ipmb.AddrShelfManager:
		return v1.PresenceState_PRESENCE_STATE_LOST
	case !a.Valid():
		return v1.PresenceState_PRESENCE_STATE_ABSENT
	}
	return v.state[a.HW()]
}

// Planes gives the halves of IPMB-0 that have a stream, as bits by ipmb.Plane.
func (u *Uplink) Planes() (bits uint8) {
	for _, w := range u.view.Load().live {
		bits |= 1 << w.plane
	}
	return bits
}
