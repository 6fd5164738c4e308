package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/midplane-project/midplane/deploy/lab/proc"
	"github.com/midplane-project/midplane/deploy/lab/supervise"
	"github.com/midplane-project/midplane/internal/problem"
)

// startLimit is how long a process may take to start again.
const startLimit = 10 * time.Second

// noteLimit is how long the supervisor may take to see that a process ended.
const noteLimit = 2 * time.Second

// restsOnPurpose reports whether somebody killed or stopped a process.
func (l *Lab) restsOnPurpose(name string) bool {
	r, running := l.dir().Running(name)
	return !running && l.dir().Held(name) || running && proc.Stopped(r.PID)
}

// Trouble says why nobody answers at an endpoint of l, and what to do; empty when
// its process runs, and in a shelf that is down.
func (l *Lab) Trouble(e Endpoint) (what, do string) {
	name := e.Name
	if !l.isReplica(name) {
		name = nodePrefix + name
	}
	return l.trouble(l.hostOf(name))
}

// trouble is that of a process.
func (l *Lab) trouble(process string) (what, do string) {
	if !l.planned(process) {
		return "", ""
	}
	switch s := processState(l.dir(), process); {
	case s.PID == 0:
		return process + " does not run", "midplane start " + process
	case s.Stopped:
		return process + " stands still", "midplane resume " + process
	}
	return "", ""
}

// planned reports whether there should be such a process now.
func (l *Lab) planned(process string) bool {
	plan, err := l.dir().Plan()
	return err == nil && slices.ContainsFunc(plan.Processes, func(p supervise.Process) bool { return p.Name == process })
}

// victim is a process that kill, stop, resume and start act on.
type victim struct {
	name string // shm1, front, node/blade1, vm/blade1
	vm   string // the node whose VM it is; empty for daemons
}

// victim reads leader, shm2, front, node/blade1, vm/blade1 or, for people in a hurry,
// blade1 for its node.
func (l *Lab) victim(ctx context.Context, s string) (victim, error) {
	if s == "leader" {
		leader, err := l.Leader(ctx)
		if err != nil {
			return victim{}, err
		}
		s = leader
	}
	kind, rest, ok := strings.Cut(s, "/")
	if !ok {
		kind, rest = "", s
	}
	switch {
	case kind == "vm":
		t, err := l.ResolveNode(rest)
		if err != nil {
			return victim{}, err
		}
		if t.Node.QEMU.None {
			return victim{}, problem.Refusedf("use the program that started it", "the VM of %s was not started by its node", t.Name)
		}
		return victim{vmPrefix + t.Name, t.Name}, nil
	case kind == "" && l.isReplica(s):
		return victim{name: s}, l.notCompact(s)
	case kind == "" && s == compactName && l.Compact:
		return victim{name: s}, nil
	case kind == "" && s == frontName && l.ManagerLAN().IsValid():
		return victim{name: s}, l.notCompact(s)
	case kind == "node" || kind == "":
		t, err := l.ResolveNode(rest)
		if err != nil {
			return victim{}, err
		}
		return victim{name: nodePrefix + t.Name}, l.notCompact(nodePrefix + t.Name)
	}
	return victim{}, problem.Usagef("%q: want leader, shm1, front, node/NAME or vm/NAME", s)
}

func (l *Lab) isReplica(s string) bool {
	for _, name := range l.replicaNames() {
		if name == s {
			return true
		}
	}
	return false
}

func (l *Lab) notCompact(what string) error {
	if !l.Compact {
		return nil
	}
	return problem.Refusedf("name it: midplane kill compact", "%s is no process of its own: the shelf is compact, one process has all", what)
}

// find takes hold of the running process.
func (l *Lab) find(v victim) (*proc.Process, error) {
	id, running := proc.ID{}, false
	if v.vm == "" {
		r, ok := l.dir().Running(v.name)
		id, running = r.ID, ok
	} else {
		ids, err := supervise.FindVM(l.VMUUID(v.vm))
		if err != nil {
			return nil, err
		}
		if running = len(ids) > 0; running {
			id = ids[0]
		}
	}
	if !running {
		return nil, problem.NotFoundf("midplane start "+v.name+" starts it; midplane ls shows the shelf", "%s does not run", v.name)
	}
	return proc.Open(id)
}

// Kill kills a process by SIGKILL. It stays down until Start. The name of what
// was killed is returned, which leader alone does not tell.
func (l *Lab) Kill(ctx context.Context, what string) (string, error) {
	v, err := l.victim(ctx, what)
	if err != nil {
		return "", err
	}
	p, err := l.find(v)
	if err != nil {
		return v.name, err
	}
	defer p.Close()
	if err := l.hold(v); err != nil {
		return v.name, err
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return v.name, err
	}
	select {
	case <-p.Done():
		l.awaitNote(ctx, v)
		return v.name, nil
	case <-ctx.Done():
		return v.name, ctx.Err()
	}
}

// awaitNote waits until the supervisor, if there is one, has taken note of the
// end of a process that is held: it would take a release before that for a
// crash, and be in no hurry.
func (l *Lab) awaitNote(ctx context.Context, v victim) {
	s, err := l.dir().Supervisor()
	if err != nil || v.vm != "" {
		return
	}
	s.Close()
	_ = await(ctx, noteLimit, func(context.Context) error { // without it, start only takes longer
		if r, ok := l.dir().Record(v.name); ok && r.Exit == "" {
			return errors.New("it has not")
		}
		return nil
	})
}

func (l *Lab) hold(v victim) error {
	if v.vm == "" {
		return l.dir().Hold(v.name)
	}
	return os.WriteFile(l.vmHoldPath(v.vm), nil, 0o600)
}

// Stop makes a process stand still (SIGSTOP).
func (l *Lab) Stop(ctx context.Context, what string) (string, error) {
	return l.signal(ctx, what, syscall.SIGSTOP)
}

// Resume lets a stopped process go on (SIGCONT).
func (l *Lab) Resume(ctx context.Context, what string) (string, error) {
	return l.signal(ctx, what, syscall.SIGCONT)
}

func (l *Lab) signal(ctx context.Context, what string, sig syscall.Signal) (string, error) {
	v, err := l.victim(ctx, what)
	if err != nil {
		return "", err
	}
	p, err := l.find(v)
	if err != nil {
		return v.name, err
	}
	defer p.Close()
	return v.name, p.Signal(sig)
}

// Start starts a process that was killed, or a VM that is off, and waits until
// it runs.
func (l *Lab) Start(ctx context.Context, what, exe string, say Say) (string, error) {
	if what == "leader" {
		return "", problem.Usagef("start leader: say which replica, such as shm1; who leads is decided by the replicas")
	}
	v, err := l.victim(ctx, what)
	if err != nil {
		return "", err
	}
	if v.vm != "" {
		return v.name, l.startVM(ctx, v)
	}
	release, err := l.Home.takeTurn(ctx, l.Name, nil)
	if err != nil {
		return v.name, err
	}
	defer release()
	if _, err := l.dir().Release(v.name); err != nil {
		return v.name, err
	}
	if plan, err := l.dir().Plan(); err != nil || len(plan.Processes) == 0 {
		return v.name, errors.Join(err, problem.NotFoundf("midplane up --shelf "+l.Name, "shelf %s is down", l.Name))
	}
	if err := l.ensureSupervisor(ctx, exe, say); err != nil {
		return v.name, err
	}
	if _, err := l.dir().Nudge(); err != nil {
		return v.name, err
	}
	return v.name, await(ctx, startLimit, func(context.Context) error {
		if !l.runs(v.name) {
			return fmt.Errorf("%s does not run: %s", v.name, lastLine(l.dir().LogPath(v.name)))
		}
		return nil
	})
}

func (l *Lab) startVM(ctx context.Context, v victim) error {
	if err := os.Remove(l.vmHoldPath(v.vm)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := l.PowerOn(ctx, v.vm); err != nil {
		return fmt.Errorf("ask %s%s to start its VM: %w", nodePrefix, v.vm, err)
	}
	return await(ctx, startLimit, func(context.Context) error {
		ids, err := supervise.FindVM(l.VMUUID(v.vm))
		if err == nil && len(ids) == 0 {
			err = fmt.Errorf("%s does not run; midplane logs %s", v.name, v.vm)
		}
		return err
	})
}
