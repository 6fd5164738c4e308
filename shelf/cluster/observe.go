package cluster

import "github.com/hashicorp/raft"

// EventKind says what an [Event] is about.
type EventKind string

// Kinds of events.
const (
	LeaderKnown EventKind = "leader"  // Leader is the leader now; zero: none known
	PeerLost    EventKind = "lost"    // Peer does not answer this leader
	PeerBack    EventKind = "back"    // Peer answers this leader again
	PeerAdded   EventKind = "added"   // this leader replicates to Peer from now on
	PeerRemoved EventKind = "removed" // and no longer
)

// Event is something that this replica noticed. Events are for people and for
// relays; the right to act comes from [Cluster.LeadershipChanges] only.
type Event struct {
	Kind   EventKind
	Peer   string // node id
	Leader Leader // of LeaderKnown
}

// observe passes raft's observations on until the replica stops. If the
// observer is slow, events are dropped rather than raft held up.
func (c *Cluster) observe(r *raft.Raft) {
	ch := make(chan raft.Observation, 64)
	o := raft.NewObserver(ch, false, func(o *raft.Observation) bool {
		_, ok := eventOf(o.Data)
		return ok
	})
	r.RegisterObserver(o)
	defer r.DeregisterObserver(o)
	for {
		select {
		case o := <-ch:
			e, _ := eventOf(o.Data)
			if e.Kind == LeaderKnown {
				e.Leader, _ = c.Leader()
			}
			c.cfg.Observer(e)
		case <-c.ctx.Done():
			return
		}
	}
}

func eventOf(data any) (Event, bool) {
	switch d := data.(type) {
	case raft.LeaderObservation:
		return Event{Kind: LeaderKnown}, true
	case raft.FailedHeartbeatObservation:
		return Event{Kind: PeerLost, Peer: string(d.PeerID)}, true
	case raft.ResumedHeartbeatObservation:
		return Event{Kind: PeerBack, Peer: string(d.PeerID)}, true
	case raft.PeerObservation:
		if d.Removed {
			return Event{Kind: PeerRemoved, Peer: string(d.Peer.ID)}, true
		}
		return Event{Kind: PeerAdded, Peer: string(d.Peer.ID)}, true
	}
	return Event{}, false
}
