package power

import (
	"context"

	"github.com/midplane-project/midplane/node/power/qmp"
)

// eventKinds are QEMU's names of what we pass on (qapi/run-state.json).
var eventKinds = map[string]EventKind{
	"RESET":          EventReset,
	"POWERDOWN":      EventPowerDown,
	"SHUTDOWN":       EventShutdown,
	"STOP":           EventStop,
	"RESUME":         EventResume,
	"SUSPEND":        EventSuspend,
	"WAKEUP":         EventWakeup,
	"GUEST_PANICKED": EventPanicked,
	"WATCHDOG":       EventWatchdog,
	"MEMORY_FAILURE": EventMemory,
}

// apply moves the state by one of QEMU's events and publishes it. A stop says nothing of its cause, so the
// state is asked for.
func (m *monitor) apply(ctx context.Context, c *qmp.Client, e qmp.Event) {
	kind, ok := eventKinds[e.Name]
	if !ok {
		return
	}
	if kind == EventStop && m.brokeDown(ctx, c) {
		m.enter(Crashed, Event{Kind: EventStop, Time: e.Time, Reason: InternalError})
		return
	}
	var data struct {
		Guest  bool   `json:"guest"`
		Reason string `json:"reason"`
		Action string `json:"action"`
	}
	if err := e.Decode(&data); err != nil {
		m.log.Warn("VM event with unexpected fields", "error", err)
	}
	ours := Event{Kind: kind, Time: e.Time, Guest: data.Guest, Reason: or(data.Reason, data.Action)}
	if m.step(ours) {
		m.publish(ours)
	}
}

// brokeDown reports whether QEMU cannot run the VM on.
func (m *monitor) brokeDown(ctx context.Context, c *qmp.Client) bool {
	ctx, cancel := context.WithTimeout(ctx, queryLimit)
	defer cancel()
	status, err := c.QueryStatus(ctx)
	return err == nil && status.Status == InternalError
}

// step moves the state and reports whether the event is to be told.
func (m *monitor) step(e Event) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch e.Kind {
	case EventStop:
		m.resets.stopped(e.Time)
		if m.state != Crashed {
			m.state = stopState(m.shutdown)
		}
	case EventResume:
		m.resets.resumed(e.Time)
		m.state, m.shutdown = Running, false
	case EventShutdown:
		m.shutdown = true
	case EventReset:
		if m.state == Shutdown || m.state == Paused || m.state == Crashed {
			m.state, m.shutdown = Prelaunch, false
		}
		return m.resets.counts(e.Time, e.Guest)
	case EventSuspend:
		m.state = Suspended
	case EventWakeup:
		m.state = Running
	case EventPanicked:
		if e.Reason == "pause" {
			m.state = Crashed
		}
	}
	return true
}

// stopState is what a stop means: after a shutdown that QEMU was told to survive, the machine is off.
func stopState(afterShutdown bool) State {
	if afterShutdown {
		return Shutdown
	}
	return Paused
}
