package power

import (
	"log/slog"
	"sync"
	"time"

	"github.com/midplane-project/midplane/node/power/internal/feed"
)

// tracker is what every driver has: where the VM is, and who wants to hear of it.
type tracker struct {
	log  *slog.Logger
	feed feed.Feed[Event]

	mu    sync.Mutex
	state State
}

// State implements [Driver].
func (t *tracker) State() State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state
}

// VMTimePaused implements [Driver].
func (t *tracker) VMTimePaused() bool { return t.State().timePaused() }

// Subscribe implements [Driver].
func (t *tracker) Subscribe(size int) *Events { return t.feed.Subscribe(size) }

// enter changes the state and tells it.
func (t *tracker) enter(s State, e Event) {
	t.mu.Lock()
	t.state = s
	t.mu.Unlock()
	t.publish(e)
}

// publish hands e out with the present state.
func (t *tracker) publish(e Event) {
	e.State = t.State()
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	t.log.Debug("VM event", "kind", e.Kind, "state", e.State, "guest", e.Guest, "reason", e.Reason)
	t.feed.Publish(e)
}
