package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/midplane-project/midplane/internal/problem"
)

// Conditions that Wait knows.
const (
	UntilReady    = "ready"     // shelf: all of it; node: attached, and its guest answers
	UntilLeader   = "leader"    // shelf: there is an active shelf manager
	UntilPowerOn  = "power=on"  // node: its VM runs
	UntilPowerOff = "power=off" // node: its VM does not
)

// Conditions lists what can be waited for.
var Conditions = []string{UntilReady, UntilLeader, UntilPowerOn, UntilPowerOff}

// Wait waits until a condition holds for a target, at most for limit.
func (l *Lab) Wait(ctx context.Context, t Target, condition string, limit time.Duration) error {
	if !slices.Contains(Conditions, condition) {
		return problem.Usagef("%q: want one of %s", condition, strings.Join(Conditions, ", "))
	}
	if t.Shelf {
		return l.waitShelf(ctx, condition, limit)
	}
	if t.Node == nil {
		return l.noTarget("%s has no node", t.Name)
	}
	if condition == UntilLeader {
		return problem.Usagef("%s: a node has no leader, wait for the shelf's: midplane wait shelf --for leader", t.Name)
	}
	if err := await(ctx, limit, func(ctx context.Context) error { return l.nodeHolds(ctx, t, condition) }); err != nil {
		return fmt.Errorf("%s is not %s: %w", t.Name, condition, err)
	}
	return nil
}

func (l *Lab) nodeHolds(ctx context.Context, t Target, condition string) error {
	if condition == UntilReady {
		plan, err := l.dir().Plan()
		if err != nil {
			return final(err)
		}
		p := l.processOf(plan, nodePrefix+t.Name)
		if p == nil {
			return fmt.Errorf("shelf %s is down", l.Name)
		}
		_, err = l.nodeReady(ctx, p, *t.Node, needs{replica: true})
		return err
	}
	s, err := l.NodeStatus(ctx, t.Name)
	if err != nil {
		return err
	}
	if on := s.GetVmState() == vmRunning; on != (condition == UntilPowerOn) {
		return fmt.Errorf("its VM is %s", s.GetVmState())
	}
	return nil
}

func (l *Lab) waitShelf(ctx context.Context, condition string, limit time.Duration) error {
	switch condition {
	case UntilReady:
		if plan, err := l.dir().Plan(); err != nil || len(plan.Processes) == 0 {
			return problem.NotFoundf("midplane up --shelf "+l.Name, "shelf %s is down", l.Name)
		}
		return l.awaitReady(ctx, limit, false, func(string, ...any) {})
	case UntilLeader:
		return await(ctx, limit, func(ctx context.Context) error {
			_, err := l.Leader(ctx)
			return err
		})
	}
	return problem.Usagef("the shelf has no %s: name a node", condition)
}
