package sim

import (
	"bytes"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/midplane-project/midplane/shelf"
	"github.com/midplane-project/midplane/shelf/state"
)

// settleTime is how long a shelf may take to be whole again after the last fault.
const settleTime = 40 * time.Second

func votersOf(r *shelf.Replica) (n int) {
	members, err := r.Cluster().Members()
	if err != nil {
		return 0
	}
	for _, m := range members {
		if m.Voter {
			n++
		}
	}
	return n
}

// Settle waits until a shelf that nothing disturbs any more is whole: a leader
// that has declared it, three voters, every node attached and in contact, every
// outbox empty, and all replicas with equal states.
func (w *World) Settle(nodes []string) bool {
	return w.eventually("three voters and a shelf", settleTime, func() error {
		l := w.Leader()
		if l == nil {
			return fmt.Errorf("no leader")
		}
		if _, ok := l.State().Shelf(Shelf); !ok { // its first leader leads before it declares it
			return fmt.Errorf("the shelf is not declared")
		}
		if n := votersOf(l); n != len(replicaNames) {
			return fmt.Errorf("%d voters", n)
		}
		return nil
	}) && w.eventually("all nodes attached and their outboxes empty", settleTime, func() error {
		for _, name := range nodes {
			if err := w.attached(name); err != nil {
				return err
			}
		}
		return nil
	}) && w.eventually("equal states", settleTime, w.agree)
}

func (w *World) attached(name string) error {
	n := w.node(name)
	if n == nil {
		return fmt.Errorf("%s does not run", name)
	}
	st := n.Status()
	live := 0
	for _, u := range st.Uplinks {
		if u.Connected {
			live++
		}
	}
	if live != len(replicaNames) || st.OutboxPending != 0 {
		return fmt.Errorf("%s has %d streams and %d events to tell: %v", name, live, st.OutboxPending, st.Uplinks)
	}
	l := w.Leader()
	if l == nil {
		return fmt.Errorf("no leader")
	}
	for _, sl := range l.State().Slots(Shelf) {
		if uint32(sl.Addr()) == st.Address && sl.Held && sl.Instance == string(st.Instance) && !sl.ContactLost && sl.EventReceiverSet {
			return nil
		}
	}
	return fmt.Errorf("the slot of %s is not as it should be", name)
}

// agree compares the states of all replicas, byte for byte.
func (w *World) agree() error {
	var first []byte
	var of string
	var index uint64
	for name, r := range w.running() {
		at := r.State().Applied()
		b, err := snapshotOf(r.State())
		switch {
		case err != nil:
			return err
		case of == "":
			first, of, index = b, name, at
		case at != index:
			return fmt.Errorf("%s has applied %d, %s %d", of, index, name, at)
		case !bytes.Equal(first, b):
			return fmt.Errorf("%s and %s differ at index %d", of, name, at)
		}
	}
	return nil
}

// snapshotOf encodes a state as its replica would store it.
func snapshotOf(f *state.FSM) ([]byte, error) {
	s, err := f.Snapshot()
	if err != nil {
		return nil, err
	}
	defer s.Release()
	var sink memorySink
	err = s.Persist(&sink)
	return sink.Bytes(), err
}

// memorySink is a snapshot in memory.
type memorySink struct{ bytes.Buffer }

var _ raft.SnapshotSink = (*memorySink)(nil)

func (*memorySink) ID() string    { return "memory" }
func (*memorySink) Close() error  { return nil }
func (*memorySink) Cancel() error { return nil }
