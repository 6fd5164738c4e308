package agent

import (
	"context"
	"fmt"
	"time"
)

// The rhythm of asking whether a program has ended: at once for short ones, gentle for long ones.
const (
	firstPoll = 5 * time.Millisecond
	lastPoll  = 250 * time.Millisecond
)

// A Command is a program to run in the guest.
type Command struct {
	Path  string   // looked up in the agent's PATH when it has no slash
	Args  []string // without the program's own name
	Env   []string // NAME=VALUE; empty: the agent's environment
	Stdin []byte   // its whole standard input
}

// A Result is how a program ended. The agent keeps the first 16 MiB of each output.
type Result struct {
	ExitCode        int
	Signal          int // the signal that ended it, 0 if it exited by itself
	Stdout, Stderr  []byte
	StdoutTruncated bool
	StderrTruncated bool
}

// execStatus is guest-exec-status's answer; []byte fields travel as base64.
type execStatus struct {
	Exited       bool   `json:"exited"`
	ExitCode     int    `json:"exitcode"`
	Signal       int    `json:"signal"`
	OutData      []byte `json:"out-data"`
	ErrData      []byte `json:"err-data"`
	OutTruncated bool   `json:"out-truncated"`
	ErrTruncated bool   `json:"err-truncated"`
}

// Exec runs a program and waits for its end. When ctx ends first the program goes on in the guest,
// because the agent cannot stop one. A program that cannot be started is an *[Error].
func (c *Client) Exec(ctx context.Context, cmd Command) (Result, error) {
	var started struct {
		PID int64 `json:"pid"`
	}
	if err := c.call(ctx, "guest-exec", execArguments(cmd), &started); err != nil {
		return Result{}, err
	}
	for wait := firstPoll; ; wait = min(2*wait, lastPoll) {
		var s execStatus
		if err := c.call(ctx, "guest-exec-status", map[string]int64{"pid": started.PID}, &s); err != nil {
			return Result{}, err
		}
		if s.Exited {
			return Result{s.ExitCode, s.Signal, s.OutData, s.ErrData, s.OutTruncated, s.ErrTruncated}, nil
		}
		select {
		case <-ctx.Done():
			return Result{}, fmt.Errorf("%s still runs in the guest: %w", cmd.Path, ctx.Err())
		case <-c.closed:
			return Result{}, ErrClosed
		case <-time.After(wait):
		}
	}
}

func execArguments(cmd Command) map[string]any {
	a := map[string]any{"path": cmd.Path, "capture-output": true}
	if len(cmd.Args) > 0 {
		a["arg"] = cmd.Args
	}
	if len(cmd.Env) > 0 {
		a["env"] = cmd.Env
	}
	if len(cmd.Stdin) > 0 {
		a["input-data"] = cmd.Stdin
	}
	return a
}
