package kv

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

const (
	// journalLimit bounds what the disk may lag behind, in bytes of one of the
	// two journals.
	journalLimit = 4 << 20
	// retryAfter is how long a disk that failed is left alone.
	retryAfter = time.Second
)

// ErrBehind says that the disk is too slow for what it is given.
var ErrBehind = errors.New("the disk lags too far behind")

// late is the way of a delayed file. A transaction is done when its changes
// stand in a journal, by write(2) without fsync: a SIGKILL leaves them there. A
// goroutine of its own puts them into bbolt, all that have come meanwhile in
// one commit, and until then readers look at them first.
//
// Two journals take turns: while the changes of one are put into bbolt, new
// ones come into the other. So neither is cut at a moment when it is written
// to, and none grows for ever under a load that never pauses. bbolt itself is
// written as ever: a loss of power costs the last transactions, each as a
// whole and none before an earlier one, and harms nothing else.
type late struct {
	db  *DB
	log *slog.Logger

	wake  chan struct{} // one slot; closed to end run
	ended chan struct{}

	mu       sync.RWMutex // who reads holds it to the end: its layers must not change
	settled  sync.Cond    // synced or err has changed
	journals [2]*journal  // the first takes what comes
	pending  changes      // what is in the first
	sealed   changes      // what is in the second, on its way into bbolt; nil: nothing
	last     uint64       // number of the newest transaction
	sealedTo uint64       // of the newest in sealed
	synced   uint64       // of the newest in bbolt
	err      error        // why sealed is not in bbolt
	lagging  bool         // an update was refused for the disk's sake
	closed   bool
}

func startLate(db *DB, log *slog.Logger) (*late, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	l := &late{
		db: db, log: log, wake: make(chan struct{}, 1), ended: make(chan struct{}), pending: make(changes),
	}
	l.settled.L = &l.mu
	var known bool
	var err error
	if l.synced, known, err = db.synced(); err == nil && !known {
		err = db.apply(nil, 0)
	}
	if err != nil {
		return nil, err
	}
	l.last = l.synced
	for i, path := range journalPaths(db.Path()) {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, errors.Join(err, l.closeJournals())
		}
		l.journals[i] = &journal{file: f}
	}
	go l.run()
	return l, nil
}

// view runs f on what is done, whether bbolt has it or not.
func (l *late) view(f func(*Tx) error) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.do(f, nil)
}

// do runs f in a transaction that writes to own.
func (l *late) do(f func(*Tx) error, own changes) error {
	over := make([]changes, 0, 3)
	if own != nil {
		over = append(over, own)
	}
	over = append(over, l.pending, l.sealed)
	return l.db.bolt.View(func(tx *bolt.Tx) error {
		return f(&Tx{tx: tx, file: l.db.Path(), over: over, own: own})
	})
}

func (l *late) update(f func(*Tx) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return bolterrors.ErrDatabaseNotOpen
	case l.err != nil:
		return fmt.Errorf("earlier changes are not on disk: %w", l.err)
	case l.journals[0].size >= journalLimit:
		l.lags()
		return ErrBehind
	}
	own := make(changes)
	if err := l.do(f, own); err != nil || own.empty() {
		return err
	}
	if err := l.journals[0].add(l.last+1, own); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	l.last++
	l.pending.add(own)
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return nil
}

// lags tells once that the disk does.
func (l *late) lags() {
	if !l.lagging {
		l.lagging = true
		l.log.Error("changes are not taken", "file", l.db.Path(), "err", ErrBehind)
	}
}

// run brings bbolt up to date until close.
func (l *late) run() {
	defer close(l.ended)
	for open := true; open; {
		var again <-chan time.Time
		if l.failure() != nil {
			again = time.After(retryAfter)
		}
		select {
		case _, open = <-l.wake:
		case <-again:
		}
		for l.flush() {
		}
	}
}

// flush puts what there is into bbolt. false: there was nothing, or it failed.
func (l *late) flush() bool {
	c, upTo := l.seal()
	if c == nil {
		return false
	}
	err := l.db.apply(c, upTo)
	l.settle(err)
	return err == nil
}

// seal lets the journals take turns, unless the sealed changes are those of an
// earlier try.
func (l *late) seal() (changes, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sealed == nil && len(l.pending) > 0 {
		l.sealed, l.sealedTo, l.pending = l.pending, l.last, make(changes)
		l.journals[0], l.journals[1] = l.journals[1], l.journals[0]
		l.journals[0].size, l.lagging = 0, false
	}
	return l.sealed, l.sealedTo
}

func (l *late) settle(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil && l.err == nil:
		l.log.Error("changes that were answered are not on disk; no more are taken", "file", l.db.Path(), "err", err)
	case err == nil && l.err != nil:
		l.log.Info("changes are on disk again", "file", l.db.Path())
	}
	if l.err = err; err == nil {
		l.sealed, l.synced = nil, l.sealedTo
	}
	l.settled.Broadcast()
}

func (l *late) sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for upTo := l.last; l.synced < upTo; l.settled.Wait() {
		if l.err != nil {
			return fmt.Errorf("changes are not on disk: %w", l.err)
		}
	}
	return nil
}

func (l *late) failure() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.err
}

// close brings bbolt up to date. If that fails, the journals stay.
func (l *late) close() error {
	l.mu.Lock()
	again := l.closed
	l.closed = true
	l.mu.Unlock()
	if again {
		return nil
	}
	close(l.wake)
	<-l.ended
	if err := errors.Join(l.failure(), l.closeJournals()); err != nil {
		return err
	}
	return l.db.removeJournals()
}

func (l *late) closeJournals() error {
	var all []error
	for _, j := range l.journals {
		if j != nil {
			all = append(all, j.file.Close())
		}
	}
	return errors.Join(all...)
}
