package backplane

import (
	"fmt"
	"sync/atomic"
)

// Fate is what became of a frame at the switch.
type Fate uint8

// Fates. All but the first three are drops, of which the sender hears nothing
// unless it says so here.
const (
	Switched   Fate = iota // to a node that is attached here
	Relayed                // to another replica
	Served                 // to the shelf manager of this replica
	Malformed              // no valid frame or envelope
	Forged                 // its sender's address is not the stream's slot
	OldEpoch               // of a claim that is over
	OldTerm                // of a leader that is none any more, or for one
	Spent                  // no hop left
	Unroutable             // nobody there right now, or no leader
	Absent                 // the presence table knows nobody there: answered with D3h
	Refused                // by the guest policy: answered with D4h or CCh
	Busy                   // a queue is full; requests to 0x20 are answered with C0h
	fates
)

var fateNames = [fates]string{
	"switched", "relayed", "served", "malformed", "forged", "old epoch", "old term",
	"no hop left", "unroutable", "absent", "refused", "busy",
}

func (f Fate) String() string {
	if f < fates {
		return fateNames[f]
	}
	return fmt.Sprintf("fate(%d)", uint8(f))
}

// counters counts frames by fate.
type counters [fates]atomic.Uint64

// Stats gives the number of frames by fate since the start.
func (s *Switch) Stats() map[Fate]uint64 {
	out := make(map[Fate]uint64, fates)
	for f := range fates {
		out[f] = s.counts[f].Load()
	}
	return out
}
