package agent

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// endWithin is how long a program that is told to end is looked after.
const endWithin = 10 * time.Second

// endScript sends SIGTERM to a program and to all that it started, the parents first: a shell whose command
// is ended begins the next one. A kernel that does not list children (CONFIG_PROC_CHILDREN) has the program end alone.
const endScript = `end() {
	set -- "$1" $(cat /proc/"$1"/task/*/children 2>/dev/null)
	kill "$1"
	shift
	for child; do end "$child"; done
}
end "$1"`

// end ends a program, as the agent itself cannot, and takes its result, which the agent keeps until somebody asks.
func (c *Client) end(ctx context.Context, pid int64) error {
	s, err := c.status(ctx, pid)
	if err != nil || s.Exited { // and its pid may be another's
		return err
	}
	killer, err := c.start(ctx, Command{Path: "sh", Args: []string{"-c", endScript, "sh", strconv.FormatInt(pid, 10)}})
	if err == nil {
		_, err = c.await(ctx, killer)
	}
	if err == nil {
		_, err = c.await(ctx, pid)
	}
	if err != nil {
		return fmt.Errorf("end it in the guest: %w", err)
	}
	return nil
}

// outlast gives a context that ends a while after ctx.
func outlast(ctx context.Context) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(endWithin, cancel) })
	return late, func() { stop(); cancel() }
}
