package cluster

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// fsm stands between raft and the caller's state machine: it lets commands
// through and nothing else, keeps a backup apart from an apply, and after a
// halt shows the state machine nothing any more.
type fsm struct {
	inner  raft.FSM
	batch  raft.BatchingFSM // inner, if it is one
	halted atomic.Pointer[error]

	mu sync.Mutex // one call into inner at a time
}

// haltedResponse takes the place of every response after a halt.
type haltedResponse struct{ err error }

func newFSM(inner raft.FSM) *fsm {
	batch, _ := inner.(raft.BatchingFSM)
	return &fsm{inner: inner, batch: batch}
}

func (f *fsm) halt(err error) { f.halted.CompareAndSwap(nil, &err) }

func (f *fsm) haltErr() error {
	if p := f.halted.Load(); p != nil {
		return *p
	}
	return nil
}

// Apply applies one command.
func (f *fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch applies what raft has committed, in order.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	f.mu.Lock()
	defer f.mu.Unlock()
	responses := make([]any, len(logs))
	commands, places := commandsOf(logs)
	results := f.applyCommands(commands)
	if err := f.haltErr(); err != nil {
		for i := range responses {
			responses[i] = haltedResponse{err}
		}
		return responses
	}
	for i, at := range places {
		responses[at] = results[i]
	}
	return responses
}

// commandsOf picks the commands and their places among logs.
func commandsOf(logs []*raft.Log) (commands []*raft.Log, places []int) {
	commands = make([]*raft.Log, 0, len(logs))
	places = make([]int, 0, len(logs))
	for i, l := range logs {
		if l.Type == raft.LogCommand {
			commands = append(commands, l)
			places = append(places, i)
		}
	}
	return commands, places
}

// applyCommands hands commands to inner until it is halted.
func (f *fsm) applyCommands(commands []*raft.Log) []any {
	if len(commands) == 0 || f.haltErr() != nil {
		return nil
	}
	if f.batch != nil {
		return f.batch.ApplyBatch(commands)
	}
	results := make([]any, 0, len(commands))
	for _, l := range commands {
		if f.haltErr() != nil {
			return nil
		}
		results = append(results, f.inner.Apply(l))
	}
	return results
}

// Snapshot takes inner's state.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.haltErr(); err != nil {
		return nil, err
	}
	return f.inner.Snapshot()
}

// Restore puts a snapshot in the place of inner's state.
func (f *fsm) Restore(r io.ReadCloser) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.haltErr(); err != nil {
		return errors.Join(err, r.Close())
	}
	return f.inner.Restore(r)
}
