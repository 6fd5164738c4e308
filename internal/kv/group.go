package kv

import "sync"

// Group lets concurrent callers share one piece of work, such as an fsync:
// what comes in while one run is under way is done by the next, all at once.
// Nobody waits for company. The zero value is ready.
type Group[T any] struct {
	running sync.Mutex

	mu      sync.Mutex
	waiting []*member[T]
}

type member[T any] struct {
	item T
	done bool // guarded by running
}

// Do returns after a run that had item among its items. All callers of a
// group must give the same run; one of them runs it for all who wait.
func (g *Group[T]) Do(item T, run func(items []T)) {
	m := &member[T]{item: item}
	g.mu.Lock()
	g.waiting = append(g.waiting, m)
	g.mu.Unlock()
	g.running.Lock()
	defer g.running.Unlock()
	if m.done {
		return
	}
	batch := g.look()
	items := make([]T, len(batch))
	for i, b := range batch {
		items[i] = b.item
	}
	run(items)
	for _, b := range batch {
		b.done = true
	}
	g.drop(len(batch))
}

// look gives those who wait. They stay until the run is over, so that a run
// which panics leaves nobody with an answer.
func (g *Group[T]) look() []*member[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting
}

func (g *Group[T]) drop(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append([]*member[T](nil), g.waiting[n:]...)
}
