package node

import (
	"context"
	"time"

	"github.com/midplane-project/midplane/internal/link"
	"github.com/midplane-project/midplane/ipmb"
)

// Local and bus status of one half of IPMB-0, as the reading and event data 3
// of the IPMB link sensor have it (PICMG 3.0, IPMB link sensor): the
// lower nibble is IPMB-A's, the upper one IPMB-B's.
const (
	halfLocal = 0x08 // not isolated by this controller
	halfLost  = 0x07 // it fails, and nobody has found out why
	halfWidth = 4
)

// linkSettles is how long a half may be gone without being lost: as long as a
// stream may be silent before it is given up. One that breaks is made anew in
// less, and nobody needs to hear of that.
const linkSettles = link.Silence

// linkState is the halves of IPMB-0 as the sensor tells of them. The streams to
// the replicas are IPMB-0: they take turns to be IPMB-A and IPMB-B, and a half
// is there while any of its streams is. A half is bit ipmb.Plane.
type linkState struct {
	shown uint8        // halves that the sensor has
	gone  [2]time.Time // since when one of them is not there; zero: it is
}

// see takes what is there at a moment. It gives how long to wait before looking
// again, 0 when there is nothing to wait for.
func (l *linkState) see(live uint8, now time.Time) (wait time.Duration) {
	for half := range l.gone {
		bit := uint8(1) << half
		if live&bit != 0 || l.shown&bit == 0 {
			l.shown |= live & bit
			l.gone[half] = time.Time{}
			continue
		}
		if l.gone[half].IsZero() {
			l.gone[half] = now
		}
		left := linkSettles - now.Sub(l.gone[half])
		if left <= 0 {
			l.shown &^= bit
			continue
		}
		if wait == 0 || left < wait {
			wait = left
		}
	}
	return wait
}

// linkStatus is the status byte of the halves.
func linkStatus(shown uint8) (status uint8) {
	for half := range 2 {
		nibble := uint8(halfLocal)
		if shown>>half&1 == 0 {
			nibble |= halfLost
		}
		status |= nibble << (half * halfWidth)
	}
	return status
}

// tellLink takes the sensor to the halves that are there. How it is found at
// first is no event.
func (s *sensors) tellLink(shown uint8, found bool) {
	s.note(s.SetByte(sensorLink, linkStatus(shown)))
	if found {
		s.note(s.Begin(sensorLink, shown))
		return
	}
	s.note(s.Enter(sensorLink, shown, ipmb.ChannelIPMB<<4, linkStatus(shown)))
}

// watchLink makes the sensor follow the node's streams until ctx ends. live
// gives the halves that are there, and changed has something when they may be
// others. Before the first stream nothing is known: what was never there is not lost.
func (s *sensors) watchLink(ctx context.Context, live func() uint8, changed <-chan struct{}) error {
	for live() == 0 {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
	state := linkState{shown: 1<<ipmb.PlaneA | 1<<ipmb.PlaneB}
	look := time.NewTimer(0)
	defer look.Stop()
	told, found := uint8(0), true
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-look.C:
		}
		wait := state.see(live(), time.Now())
		if wait > 0 {
			look.Reset(wait)
		}
		settled := wait == 0
		if found && settled || !found && state.shown != told {
			s.tellLink(state.shown, found)
			told, found = state.shown, false
		}
	}
}

// watchLink follows the uplink's streams, on a board that has the sensor.
func (n *Node) watchLink(ctx context.Context) error {
	if n.cfg.Profile == ProfileServer {
		return nil
	}
	return n.controller.sensors.watchLink(ctx, n.uplink.Planes, n.ways)
}

func (n *Node) waysChanged() {
	select {
	case n.ways <- struct{}{}:
	default:
	}
}
