package cluster

import (
	"errors"
	"runtime"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// guard stands between raft and the store. After the first failure nothing is
// written any more (a sync that failed once may succeed the next time and have
// lost the pages in between), and fail is told.
//
// Raft panics where it cannot store its term or read an entry that it needs.
// A panic would take the whole process down without the daemon's say; instead
// the goroutine of raft that asked ends there, its deferred calls run, and the
// rest is shut down in order.
type guard struct {
	*store
	fail   func(error)
	broken atomic.Pointer[error]
}

func newGuard(s *store, fail func(error)) *guard {
	return &guard{store: s, fail: fail}
}

// write runs one write, unless an earlier one has failed.
func (g *guard) write(fn func() error) error {
	if err := g.broken.Load(); err != nil {
		return *err
	}
	err := fn()
	if err != nil {
		g.give(err)
	}
	return err
}

// give records the first failure and reports it.
func (g *guard) give(err error) {
	if g.broken.CompareAndSwap(nil, &err) {
		g.fail(err)
	}
}

// GetLog reads an entry; a damaged one ends the calling goroutine.
func (g *guard) GetLog(index uint64, out *raft.Log) error {
	err := g.store.GetLog(index, out)
	var corrupt *CorruptRecordError
	if errors.As(err, &corrupt) {
		g.give(err)
		runtime.Goexit()
	}
	return err
}

// SetUint64 stores raft's term; a failure ends the calling goroutine.
func (g *guard) SetUint64(key []byte, val uint64) error {
	err := g.write(func() error { return g.store.SetUint64(key, val) })
	if err != nil {
		runtime.Goexit()
	}
	return nil
}

// Set stores raft's vote; a failure means that the vote is not given.
func (g *guard) Set(key, val []byte) error {
	return g.write(func() error { return g.store.Set(key, val) })
}

// StoreLog appends one entry.
func (g *guard) StoreLog(l *raft.Log) error {
	return g.write(func() error { return g.store.StoreLog(l) })
}

// StoreLogs appends entries.
func (g *guard) StoreLogs(logs []*raft.Log) error {
	return g.write(func() error { return g.store.StoreLogs(logs) })
}

// DeleteRange removes entries.
func (g *guard) DeleteRange(lo, hi uint64) error {
	return g.write(func() error { return g.store.DeleteRange(lo, hi) })
}
