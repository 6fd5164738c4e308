// Package tap lets any number of onlookers watch the messages that pass a
// point, without ever holding a message up.
package tap

import (
	"sync"
	"sync/atomic"

	midplanev1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Depth is how many entries wait for one onlooker; a slower one misses the
// newest and is told how many.
const Depth = 4096

// Hub spreads trace entries. The zero Hub is ready. Without onlookers an entry
// costs one atomic load: ask Watched before making one.
type Hub struct {
	watched atomic.Int32
	mu      sync.RWMutex
	viewers map[*Viewer]struct{}
}

// Viewer is one onlooker.
type Viewer struct {
	hub     *Hub
	entries chan *midplanev1.TraceEntry
	dropped atomic.Uint64
}

// Watched reports whether anybody looks.
func (h *Hub) Watched() bool { return h.watched.Load() > 0 }

// Put shows an entry to all onlookers. It never blocks.
func (h *Hub) Put(e *midplanev1.TraceEntry) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for v := range h.viewers {
		select {
		case v.entries <- e:
		default:
			v.dropped.Add(1)
		}
	}
}

// Watch adds an onlooker; Close ends it.
func (h *Hub) Watch() *Viewer {
	v := &Viewer{hub: h, entries: make(chan *midplanev1.TraceEntry, Depth)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.viewers == nil {
		h.viewers = make(map[*Viewer]struct{})
	}
	h.viewers[v] = struct{}{}
	h.watched.Add(1)
	return v
}

// Entries is where the entries come. It is never closed.
func (v *Viewer) Entries() <-chan *midplanev1.TraceEntry { return v.entries }

// Dropped gives how many entries were missed since it was last asked.
func (v *Viewer) Dropped() uint64 { return v.dropped.Swap(0) }

// Close ends the onlooking.
func (v *Viewer) Close() {
	v.hub.mu.Lock()
	defer v.hub.mu.Unlock()
	if _, ok := v.hub.viewers[v]; ok {
		delete(v.hub.viewers, v)
		v.hub.watched.Add(-1)
	}
}
