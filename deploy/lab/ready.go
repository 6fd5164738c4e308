package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/midplane-project/midplane/deploy/lab/supervise"
	"github.com/midplane-project/midplane/deploy/lab/topology"
	"github.com/midplane-project/midplane/internal/problem"
	"github.com/midplane-project/midplane/node"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Limits of waiting.
const (
	replicaLimit = 30 * time.Second // for a replica to be back in its cluster
	askLimit     = 3 * time.Second  // for a daemon to answer one question
)

// manyCrashes is how often a process may end by itself before it counts as broken.
const manyCrashes = 4

// awaitReady waits until every replica knows a leader, every node is attached
// and every guest answers, and says so line by line.
func (l *Lab) awaitReady(ctx context.Context, limit time.Duration, powerOn bool, say Say) error {
	plan, err := l.dir().Plan()
	if err != nil {
		return err
	}
	lines := make(chan string)
	g, gctx := errgroup.WithContext(ctx)
	watch := func(what string, held bool, ready func(context.Context) (string, error)) {
		if held {
			return
		}
		g.Go(func() error {
			var text string
			err := await(gctx, limit, func(ctx context.Context) (err error) {
				text, err = ready(ctx)
				return err
			})
			if err != nil {
				return l.notReady(what, err)
			}
			lines <- text
			return nil
		})
	}
	needs := needs{powerOn: powerOn}
	for _, name := range l.replicaNames() {
		p := l.processOf(plan, name)
		needs.replica = needs.replica || p != nil && !l.restsOnPurpose(p.Name)
		watch(name, p == nil || l.restsOnPurpose(p.Name), func(ctx context.Context) (string, error) {
			return "✓ " + name + " serves", l.replicaReady(ctx, name, p)
		})
	}
	for _, n := range l.Topology.Nodes {
		p := l.processOf(plan, nodePrefix+n.Name)
		watch(nodePrefix+n.Name, p == nil || l.restsOnPurpose(p.Name) || l.vmHeld(n.Name), func(ctx context.Context) (string, error) {
			return l.nodeReady(ctx, p, n, needs)
		})
	}
	p := l.processOf(plan, frontName)
	watch(frontName, p == nil || l.restsOnPurpose(p.Name) || !needs.replica, func(ctx context.Context) (string, error) {
		return l.frontReady(ctx, p)
	})
	go func() { _ = g.Wait(); close(lines) }()
	for line := range lines {
		say("%s", line)
	}
	return g.Wait()
}

// processOf finds the process in which a replica, a node or the front runs.
func (l *Lab) processOf(plan supervise.Plan, name string) *supervise.Process {
	if name == frontName && !l.ManagerLAN().IsValid() {
		return nil
	}
	for i := range plan.Processes {
		if p := &plan.Processes[i]; p.Name == name || p.Name == compactName {
			return p
		}
	}
	return nil
}

func (l *Lab) notReady(what string, err error) error {
	code := problem.Failed
	var p *problem.Error
	if errors.As(err, &p) {
		code = p.Code
	}
	do := "midplane logs " + what
	if name, ok := cutNode(what); ok {
		do = "midplane logs " + name
		if n, _ := l.Topology.Node(name); !n.QEMU.None {
			do += " and midplane logs --console " + name
		}
	}
	return &problem.Error{Code: code, What: what + " is not ready", Why: err, Do: do}
}

// starts reports what keeps a process from running.
func (l *Lab) starts(p *supervise.Process) error {
	r, ok := l.dir().Record(p.Name)
	switch {
	case !ok:
		return errors.New("it has not started")
	case r.Exit != "" && r.Hash == p.Hash && r.Crashes >= manyCrashes:
		return final(fmt.Errorf("it ends each time it starts (%s): %s", r.Exit, lastLine(l.dir().LogPath(p.Name))))
	case r.Exit != "":
		return fmt.Errorf("it ended (%s): %s", r.Exit, lastLine(l.dir().LogPath(p.Name)))
	case r.Hash != p.Hash:
		return errors.New("it has not restarted yet")
	}
	return nil
}

// replicaReady reports what a replica lacks: a process, an answer, a leader.
func (l *Lab) replicaReady(ctx context.Context, name string, p *supervise.Process) error {
	if err := l.starts(p); err != nil {
		return err
	}
	s, err := l.ReplicaStatus(ctx, Endpoint{Name: name, Unix: l.socket(name, "api")})
	if err != nil {
		return fmt.Errorf("it does not answer: %w", err)
	}
	if s.GetLeader() == "" {
		return errors.New("it knows no leader")
	}
	if !votes(s) {
		return errors.New("it has no vote yet") // until then the others bear no loss
	}
	return nil
}

// votes reports whether the replica that answered is a voter.
func votes(s *v1.ClusterStatusResponse) bool {
	return slices.ContainsFunc(s.GetMembers(), func(m *v1.Member) bool { return m.GetName() == s.GetReplica() && m.GetVoter() })
}

// nodeReady reports what a node lacks: a process, an answer, a replica, a VM, a
// guest.
func (l *Lab) nodeReady(ctx context.Context, p *supervise.Process, n topology.Node, needs needs) (string, error) {
	if err := l.starts(p); err != nil {
		return "", err
	}
	s, err := l.NodeStatus(ctx, n.Name)
	if err != nil {
		return "", fmt.Errorf("it does not answer: %w", err)
	}
	if r, _ := l.dir().Record(p.Name); int(s.GetPid()) != r.PID {
		return "", errors.New("the process before it still answers") // its doors are not open yet
	}
	if needs.replica && !attached(s) {
		return "", errors.New("it is not attached to a replica")
	}
	text := fmt.Sprintf("✓ %s%s is slot %d, %s", nodePrefix, n.Name, n.Slot, n.Addr())
	if n.QEMU.None {
		return text, nil
	}
	if err := l.vmReady(ctx, n, s, needs.powerOn); err != nil {
		return "", err
	}
	return text + ", its guest answers", nil
}

// needs is what a node is asked for beside an answer.
type needs struct {
	replica bool // one to be attached to: not when all were killed on purpose
	powerOn bool // a VM that is off is switched on
}

func attached(s *v1.NodeStatusResponse) bool {
	for _, u := range s.GetUplinks() {
		if u.GetConnected() {
			return true
		}
	}
	return false
}

func (l *Lab) vmReady(ctx context.Context, n topology.Node, s *v1.NodeStatusResponse, powerOn bool) error {
	switch state := s.GetVmState(); {
	case state == vmRunning:
	case powerOn && slices.Contains(vmAtRest, state):
		if err := l.PowerOn(ctx, n.Name); err != nil {
			return fmt.Errorf("its VM is %s: %w", s.GetVmState(), err)
		}
		return errors.New("its VM is being switched on")
	default:
		return fmt.Errorf("its VM is in state %s", s.GetVmState())
	}
	if !s.GetVmLink() {
		return errors.New("its VM is not connected to it")
	}
	if !usesLabGuest(n.QEMU) {
		return nil // whose guest it is nobody knows: perhaps one without an agent
	}
	return l.guestReady(ctx, n.Name)
}

// VM states that a node tells: see power.State.
const vmRunning = "running"

var vmAtRest = []string{"off", "crashed", "shutdown", "paused"}

// guestReady asks the lab guest's agent whether the guest has booted and found
// its BMC.
func (l *Lab) guestReady(ctx context.Context, name string) error {
	conn, err := l.NodeAPI(name).Dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	stream, err := v1.NewNodeClient(conn).Exec(ctx, &v1.ExecRequest{Argv: []string{"/bin/sh", "-c", guestCheck}})
	if err != nil {
		return err
	}
	for {
		r, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return errors.New("its guest's agent did not finish")
		case err != nil:
			return fmt.Errorf("its guest does not answer yet: %w", err)
		case r.GetExited() && r.GetExitCode() == 0:
			return nil
		case r.GetExited():
			return fmt.Errorf("its guest has found no BMC yet: %s", lastLine(l.ConsolePath(name)))
		}
	}
}

// guestCheck succeeds in a lab guest that is up: see deploy/guest's ready.
const guestCheck = "test -e /run/ready && test -c /dev/ipmi0"

// vmHeld reports whether a node's VM was killed on purpose.
func (l *Lab) vmHeld(name string) bool {
	_, err := os.Stat(l.vmHoldPath(name))
	return err == nil
}

func (l *Lab) vmHoldPath(name string) string { return filepath.Join(l.NodeDir(name), node.HoldFile) }
