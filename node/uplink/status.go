package uplink

import (
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// Status is what an uplink knows of the backplane.
type Status struct {
	Term      uint64
	Leader    string // empty: none known
	Links     []LinkStatus
	Malformed uint64 // frames dropped: no valid frame or envelope
	Misrouted uint64 // frames dropped: to another address
	OldTerm   uint64 // frames dropped: of a leader that is none any more
}

// LinkStatus is the state of the stream to one replica.
type LinkStatus struct {
	Replica string
	Addr    string
	Plane   ipmb.Plane
	Live    bool
	Epoch   uint64        // of the slot's claim, while live
	RTT     time.Duration // of the last heartbeat, while live
	Err     error         // why it is not live
}

// Status describes the streams in the order of the replicas.
func (u *Uplink) Status() Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := Status{
		Term: u.term.Load(), Leader: u.leader,
		Malformed: u.counts[malformed].Load(), Misrouted: u.counts[misrouted].Load(), OldTerm: u.counts[oldTerm].Load(),
	}
	for _, r := range u.replicas {
		l := LinkStatus{Replica: r.name, Addr: r.addr, Plane: r.plane(), Err: r.err}
		if w := r.way; w != nil {
			l.Live, l.Epoch, l.RTT = true, w.epoch, w.link.RTT()
		}
		s.Links = append(s.Links, l)
	}
	return s
}
