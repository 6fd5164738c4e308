package state

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// ErrHalted answers every command after one that this program does not know.
var ErrHalted = errors.New("state: halted at a command that this program does not know")

// FSM puts a [State] behind raft. Commands are applied in batches under one
// lock; readers take their views under the same lock.
type FSM struct {
	halt func(error)

	mu      sync.RWMutex
	state   *State
	halted  bool
	changed chan struct{} // nil: nobody watches
}

var _ raft.BatchingFSM = (*FSM)(nil)

// NewFSM wraps a state. halt is called once, from raft's goroutine, with the
// [*UnknownCommandError] or decoding error at which the replica must stop; it
// must not wait for raft. It may be nil when SetHalt follows.
func NewFSM(s *State, halt func(error)) *FSM { return &FSM{state: s, halt: halt} }

// SetHalt says what to call in place of NewFSM's halt. It must come before the
// first command.
func (f *FSM) SetHalt(halt func(error)) { f.halt = halt }

// Apply applies one log entry. The result is a *v1.Answer, or an error.
func (f *FSM) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch applies log entries in order; each result is a *v1.Answer, an
// error, or nil for an entry that is no command.
func (f *FSM) ApplyBatch(logs []*raft.Log) []any {
	commands := decode(logs)
	out := make([]any, len(logs))
	f.mu.Lock()
	var stop error
	for i, l := range logs {
		if l.Type != raft.LogCommand {
			continue
		}
		answer, err := f.apply(l.Index, commands[i])
		if err != nil {
			out[i] = err
			stop = errors.Join(stop, f.stopOnce(err))
			continue
		}
		out[i] = answer
	}
	f.announce()
	f.mu.Unlock()
	if stop != nil {
		f.halt(stop)
	}
	return out
}

// decoded is a command, or why it could not be read.
type decoded struct {
	command *v1.Command
	err     error
}

func decode(logs []*raft.Log) []decoded {
	out := make([]decoded, len(logs))
	for i, l := range logs {
		if l.Type != raft.LogCommand {
			continue
		}
		c := &v1.Command{}
		out[i] = decoded{c, proto.Unmarshal(l.Data, c)}
	}
	return out
}

func (f *FSM) apply(index uint64, d decoded) (*v1.Answer, error) {
	switch {
	case f.halted:
		return nil, ErrHalted
	case d.err != nil:
		return nil, fmt.Errorf("state: reading log entry %d: %w", index, d.err)
	}
	return f.state.Apply(index, d.command)
}

// stopOnce gives err the first time.
func (f *FSM) stopOnce(err error) error {
	if f.halted {
		return nil
	}
	f.halted = true
	return err
}

// announce wakes all who watch; f.mu must be held for writing.
func (f *FSM) announce() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// Watch gives a channel that is closed at the next change of anything. Take it
// first, then read, then wait: no change is missed, and none waits for a reader.
func (f *FSM) Watch() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return f.changed
}

// Snapshot captures the state; encoding happens in Persist, without the lock.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.halted {
		return nil, ErrHalted
	}
	return &snapshot{f.state.capture()}, nil
}

// Restore replaces the state by a snapshot that Persist wrote.
func (f *FSM) Restore(r io.ReadCloser) error {
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("state: reading a snapshot: %w", err)
	}
	fresh := New(f.state.config)
	if err := fresh.decodeSnapshot(b); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state = fresh
	f.announce()
	return nil
}

// snapshot is a captured state on its way to disk.
type snapshot struct{ capture capture }

// Persist writes the encoded snapshot.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	b, err := s.capture.appendBinary(nil)
	if err == nil {
		_, err = sink.Write(b)
	}
	if err == nil {
		err = sink.Close()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("state: writing a snapshot: %w", err), sink.Cancel())
	}
	return nil
}

// Release has nothing to release: the capture goes with the snapshot.
func (s *snapshot) Release() {}
