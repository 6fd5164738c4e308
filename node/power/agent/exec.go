package agent

import (
	"context"
	"errors"
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

// Exec runs a program and waits for its end. When ctx is cancelled it ends the program; when ctx's time is up, or
// the client is closed, the program goes on in the guest. A program that cannot be started is an *[Error].
func (c *Client) Exec(ctx context.Context, cmd Command) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	late, stop := outlast(ctx)
	defer stop()
	pid, err := c.start(late, cmd) // a caller who goes now would leave a program that nobody knows
	if err != nil {
		return Result{}, err
	}
	res, err := c.await(ctx, pid)
	switch {
	case err == nil || ctx.Err() == nil:
		return res, err
	case errors.Is(ctx.Err(), context.Canceled):
		return Result{}, errors.Join(fmt.Errorf("%s: %w", cmd.Path, ctx.Err()), c.end(late, pid))
	}
	return Result{}, fmt.Errorf("%s still runs in the guest: %w", cmd.Path, ctx.Err())
}

func (c *Client) start(ctx context.Context, cmd Command) (pid int64, err error) {
	var started struct {
		PID int64 `json:"pid"`
	}
	err = c.call(ctx, "guest-exec", execArguments(cmd), &started)
	return started.PID, err
}

// await waits until a program has ended.
func (c *Client) await(ctx context.Context, pid int64) (Result, error) {
	for wait := firstPoll; ; wait = min(2*wait, lastPoll) {
		s, err := c.status(ctx, pid)
		if err != nil {
			return Result{}, err
		}
		if s.Exited {
			return Result{s.ExitCode, s.Signal, s.OutData, s.ErrData, s.OutTruncated, s.ErrTruncated}, nil
		}
		select {
		case <-ctx.Done():
			return Result{}, ctx.Err()
		case <-c.closed:
			return Result{}, ErrClosed
		case <-time.After(wait):
		}
	}
}

func (c *Client) status(ctx context.Context, pid int64) (s execStatus, err error) {
	err = c.call(ctx, "guest-exec-status", map[string]int64{"pid": pid}, &s)
	return s, err
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
