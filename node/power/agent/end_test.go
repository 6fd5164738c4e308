package agent_test

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"github.com/midplane-project/midplane/node/power/agent"
	"github.com/midplane-project/midplane/node/power/agent/agenttest"
)

// withKill gives an agent whose sh ends the program that its last argument names, and one that is endless.
func withKill(t *testing.T, begun func(pid int64)) *agenttest.Agent {
	a := agenttest.Start(t)
	a.Endless("endless", begun)
	a.Install("sh", func(args []string, _ []byte) (stdout, stderr []byte, exit int) {
		pid, err := strconv.ParseInt(args[len(args)-1], 10, 64)
		if err != nil {
			t.Error(err)
		}
		go a.End(pid, 15)
		return nil, nil, 0
	})
	return a
}

func TestCancelledExecEndsItsProgram(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a := withKill(t, func(int64) { cancel() }) // before the agent has told which program it is
	_, err := client(t, a).Exec(ctx, agent.Command{Path: "endless"})
	if !errors.Is(err, context.Canceled) || a.Running() != 0 {
		t.Errorf("%d programs run, %v", a.Running(), err)
	}
}

func TestExecWithoutTimeLeavesItsProgram(t *testing.T) {
	ctx := timed{t.Context(), make(chan struct{})}
	a := withKill(t, func(int64) { close(ctx.up) })
	if _, err := client(t, a).Exec(ctx, agent.Command{Path: "endless"}); !errors.Is(err, context.DeadlineExceeded) || a.Running() != 1 {
		t.Errorf("%d programs run, %v", a.Running(), err)
	}
}

// timed is a context whose time is up when the channel is closed.
type timed struct {
	context.Context
	up chan struct{}
}

func (c timed) Done() <-chan struct{} { return c.up }

func (c timed) Err() error {
	select {
	case <-c.up:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

func TestExecOfALeavingClientLeavesItsProgram(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var c *agent.Client
	a := withKill(t, func(int64) { c.Leave(); cancel() })
	c = client(t, a)
	if _, err := c.Exec(ctx, agent.Command{Path: "endless"}); !errors.Is(err, agent.ErrClosed) || a.Running() != 1 {
		t.Errorf("%d programs run, %v", a.Running(), err)
	}
}
