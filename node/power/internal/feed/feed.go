// Package feed hands each published value to any number of subscribers through bounded queues.
//
// When a subscriber's queue is full its oldest value is thrown away and counted,
// so a slow reader never delays the publisher or another reader and always sees the newest values.
package feed

import (
	"sync"
	"sync/atomic"
)

// A Feed is the publishing side. Its zero value is ready to use.
type Feed[T any] struct {
	mu     sync.Mutex
	subs   map[*Subscription[T]]struct{}
	closed bool
}

// A Subscription is one reader's queue.
type Subscription[T any] struct {
	feed   *Feed[T]
	ch     chan T
	missed atomic.Uint64
}

// Subscribe adds a reader whose queue holds size values (at least one).
// On a closed feed the subscription's channel is closed already.
func (f *Feed[T]) Subscribe(size int) *Subscription[T] {
	s := &Subscription[T]{feed: f, ch: make(chan T, max(size, 1))}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		close(s.ch)
		return s
	}
	if f.subs == nil {
		f.subs = make(map[*Subscription[T]]struct{})
	}
	f.subs[s] = struct{}{}
	return s
}

// Publish hands v to every subscriber and never blocks.
func (f *Feed[T]) Publish(v T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.subs {
		s.push(v)
	}
}

// Close ends every subscription; values still queued can be read.
func (f *Feed[T]) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for s := range f.subs {
		close(s.ch)
	}
	clear(f.subs)
}

// push queues v; the feed's lock makes it the only sender, so dropping one value always makes room.
func (s *Subscription[T]) push(v T) {
	for {
		select {
		case s.ch <- v:
			return
		default:
		}
		select {
		case <-s.ch:
			s.missed.Add(1)
		default:
		}
	}
}

// C delivers the values; it is closed when the subscription or its feed ends.
func (s *Subscription[T]) C() <-chan T { return s.ch }

// Missed counts the values thrown away because the queue was full.
func (s *Subscription[T]) Missed() uint64 { return s.missed.Load() }

// Cancel ends the subscription. It may be called more than once.
func (s *Subscription[T]) Cancel() {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	if _, ok := s.feed.subs[s]; ok {
		delete(s.feed.subs, s)
		close(s.ch)
	}
}
