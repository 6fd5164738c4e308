package agent

import (
	"context"
	"fmt"
)

// A Mode says how the guest's system is to end.
type Mode string

// The modes that the agent knows.
const (
	PowerDown Mode = "powerdown"
	Halt      Mode = "halt"
	Reboot    Mode = "reboot"
)

// Shutdown asks the guest's own system to end. Nil means that the agent did not refuse.
//
// The agent is silent on success and answers only a refusal, so a synchronisation follows the request:
// what comes before its answer is the refusal. The agent may also be gone by then, which is success.
func (c *Client) Shutdown(ctx context.Context, mode Mode) error {
	return c.exchange(ctx, func(l *link) error {
		if err := l.write(command{"guest-shutdown", map[string]Mode{"mode": mode}}); err != nil {
			return fmt.Errorf("guest-shutdown: %w", err)
		}
		id, err := l.sendSync()
		if err != nil {
			return nil
		}
		return l.refusalBefore(id)
	})
}

// refusalBefore reads up to the answer of synchronisation id.
func (l *link) refusalBefore(id int64) error {
	for {
		line, err := l.in.line()
		if err != nil {
			l.broken = true
			return nil
		}
		r, err := parse(trimSentinel(line))
		switch {
		case err != nil:
		case r.Error != nil:
			l.broken = true // the synchronisation's answer is still to come
			return fmt.Errorf("guest-shutdown: %w", r.Error)
		case r.syncs(id):
			return nil
		}
	}
}
