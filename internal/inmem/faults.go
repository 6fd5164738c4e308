package inmem

import (
	"context"
	"maps"
	"time"

	"google.golang.org/protobuf/proto"
)

// Disturbance is what the network does to one message. Messages with unequal
// delays overtake each other.
type Disturbance struct {
	Delay  time.Duration
	Copies int // how often it arrives again
}

// faults is what ails the network; it is replaced, not changed, so that
// messages read it without a lock.
type faults struct {
	disturb func(from, to string, m proto.Message) Disturbance
	cuts    map[pair]chan struct{} // closed when the cut heals
}

// pair is one direction between two addresses.
type pair struct{ from, to string }

// change replaces the faults by a copy that f has changed.
func (n *Network) change(f func(*faults)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	old := n.faults.Load()
	next := &faults{disturb: old.disturb, cuts: maps.Clone(old.cuts)}
	f(next)
	n.faults.Store(next)
}

// Disturb asks f about every message from now on; nil asks nobody. Streams do
// not lose messages, and neither does f; that is what Cut is for.
func (n *Network) Disturb(f func(from, to string, m proto.Message) Disturbance) {
	n.change(func(fs *faults) { fs.disturb = f })
}

// Cut holds back everything between two addresses until Heal: as with a
// partition or a stopped process, what was sent arrives late or, when its
// stream has ended meanwhile, never.
func (n *Network) Cut(a, b string) {
	n.change(func(fs *faults) {
		fs.cut(pair{a, b})
		fs.cut(pair{b, a})
	})
}

// CutOneWay holds back what goes from one address to another, and nothing that
// comes from there.
func (n *Network) CutOneWay(from, to string) {
	n.change(func(fs *faults) { fs.cut(pair{from, to}) })
}

// HealOneWay ends the cut of one direction.
func (n *Network) HealOneWay(from, to string) {
	n.change(func(fs *faults) { fs.heal(pair{from, to}) })
}

// Heal ends a cut, in both directions.
func (n *Network) Heal(a, b string) {
	n.change(func(fs *faults) {
		fs.heal(pair{a, b})
		fs.heal(pair{b, a})
	})
}

// HealAll ends all cuts.
func (n *Network) HealAll() {
	n.change(func(fs *faults) {
		for k := range fs.cuts {
			fs.heal(k)
		}
	})
}

func (fs *faults) cut(k pair) {
	if fs.cuts[k] == nil {
		fs.cuts[k] = make(chan struct{})
	}
}

func (fs *faults) heal(k pair) {
	if c := fs.cuts[k]; c != nil {
		close(c)
		delete(fs.cuts, k)
	}
}

func (n *Network) disturbance(from, to string, m proto.Message) Disturbance {
	if f := n.faults.Load().disturb; f != nil {
		return f(from, to, m)
	}
	return Disturbance{}
}

// Pass waits until nothing that goes from one address to another is cut: for
// whatever else travels on this network.
func (n *Network) Pass(ctx context.Context, from, to string) error {
	for {
		cuts := n.faults.Load().cuts
		if len(cuts) == 0 {
			return nil
		}
		cut := cuts[pair{from, to}]
		if cut == nil {
			return nil
		}
		if err := waitFor(ctx, cut); err != nil {
			return err
		}
	}
}

func waitFor(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
