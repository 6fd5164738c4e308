package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
	"time"

	"github.com/midplane-project/midplane/deploy/lab/proc"
	"github.com/midplane-project/midplane/deploy/lab/supervise"
	"github.com/midplane-project/midplane/internal/problem"
)

// SupervisorVerb is the hidden verb that runs the supervisor of a state
// directory: midplane supervisor --state DIR.
const SupervisorVerb = "supervisor"

// supervisorLimit is how long a supervisor may take to begin or to end.
const supervisorLimit = 10 * time.Second

// change is what up does to one process.
type change struct {
	name, what string
	want       *supervise.Process // nil: it is stopped
}

// What up does to a process.
const (
	isStarted   = "start"
	isRestarted = "restart"
	isLeft      = "leave"
	isStopped   = "stop"
	isHeld      = "leave down"
	isPaused    = "leave stopped"
)

// changes compares the plan with what runs.
func (l *Lab) changes(plan supervise.Plan) []change {
	var all []change
	planned := map[string]bool{}
	for i := range plan.Processes {
		p := &plan.Processes[i]
		planned[p.Name] = true
		all = append(all, change{p.Name, l.changeOf(p), p})
	}
	for _, name := range l.runningNames() {
		if !planned[name] {
			all = append(all, change{name, isStopped, nil})
		}
	}
	return all
}

func (l *Lab) changeOf(p *supervise.Process) string {
	r, running := l.dir().Running(p.Name)
	switch {
	case running && r.Hash == p.Hash && proc.Stopped(r.PID):
		return isPaused
	case running && r.Hash == p.Hash:
		return isLeft
	case running:
		return isRestarted
	case l.dir().Held(p.Name):
		return isHeld
	}
	return isStarted
}

// runningNames lists the processes that run.
func (l *Lab) runningNames() []string {
	old, err := l.dir().Plan()
	if err != nil {
		return nil
	}
	var names []string
	for _, p := range old.Processes {
		if l.runs(p.Name) {
			names = append(names, p.Name)
		}
	}
	return names
}

func (l *Lab) runs(name string) bool {
	_, ok := l.dir().Running(name)
	return ok
}

// explain says what up would do.
func (l *Lab) explain(d *draft, say Say) {
	say("shelf %s, id %d, in %s", l.Name, l.ID, l.StateDir)
	for _, c := range l.changes(d.plan) {
		say("%-14s %s", c.name, c.what)
	}
}

// apply writes the daemons' files and the plan, and sees to a supervisor. With
// Foreground, own waits for the one in this process.
func (l *Lab) apply(ctx context.Context, d *draft, o UpOptions) (own func() error, err error) {
	changes := l.changes(d.plan)
	if err := d.write(); err != nil {
		return nil, err
	}
	plan, late := l.holdBack(d.plan, changes)
	if err := l.setPlan(plan); err != nil {
		return nil, err
	}
	if o.Foreground {
		own, err = l.superviseHere(ctx, o.Say)
	} else {
		err = l.ensureSupervisor(ctx, o.Exe, o.Say)
	}
	if err != nil {
		return nil, err
	}
	l.tell(changes, o)
	return own, l.roll(ctx, plan, late, o.Say)
}

// tell says what happens to processes of which the wait for readiness will say
// nothing.
func (l *Lab) tell(changes []change, o UpOptions) {
	for _, c := range changes {
		switch c.what {
		case isLeft:
			if o.Timeout == 0 {
				o.Say("✓ %s runs already", c.name)
			}
		case isHeld:
			o.Say("○ %s stays down, it was killed on purpose: midplane start %s", c.name, c.name)
		case isPaused:
			o.Say("○ %s stands still, it was stopped on purpose: midplane resume %s", c.name, c.name)
		case isStopped:
			o.Say("✓ %s is no longer wanted and stops", c.name)
		}
	}
	for _, n := range l.Topology.Nodes {
		if l.vmHeld(n.Name) {
			o.Say("○ %s stays down, it was killed on purpose: midplane start %s", vmPrefix+n.Name, vmPrefix+n.Name)
		}
	}
}

// holdBack leaves changed replicas as they are for now.
func (l *Lab) holdBack(plan supervise.Plan, changes []change) (now supervise.Plan, late []*supervise.Process) {
	now.Processes = slices.Clone(plan.Processes)
	for i, p := range plan.Processes {
		restarts := slices.ContainsFunc(changes, func(c change) bool { return c.name == p.Name && c.what == isRestarted })
		old, running := l.dir().Running(p.Name)
		if restarts && running && slices.Contains(l.replicaNames(), p.Name) {
			now.Processes[i] = old.Process
			late = append(late, &plan.Processes[i])
		}
	}
	return now, late
}

// roll restarts changed replicas one after the other, so that the shelf never
// loses its majority.
func (l *Lab) roll(ctx context.Context, plan supervise.Plan, late []*supervise.Process, say Say) error {
	for _, want := range late {
		say("… %s has changed and restarts", want.Name)
		i := slices.IndexFunc(plan.Processes, func(p supervise.Process) bool { return p.Name == want.Name })
		plan.Processes[i] = *want
		if err := l.setPlan(plan); err != nil {
			return err
		}
		err := await(ctx, replicaLimit, func(ctx context.Context) error {
			if err := l.replicaReady(ctx, want.Name, want); err != nil {
				return err
			}
			_, err := l.Leader(ctx) // perhaps a new one: it was the old one that restarted
			return err
		})
		if err != nil {
			return fmt.Errorf("restart of replica %s; those after it were left as they are: %w", want.Name, err)
		}
	}
	return nil
}

func (l *Lab) setPlan(p supervise.Plan) error {
	if err := l.dir().SetPlan(p); err != nil {
		return err
	}
	_, err := l.dir().Nudge()
	return err
}

// ensureSupervisor starts a supervisor in the background unless one lives.
func (l *Lab) ensureSupervisor(ctx context.Context, exe string, say Say) error {
	if p, err := l.dir().Supervisor(); err == nil {
		p.Close()
		return nil
	}
	log := l.dir().LogPath(SupervisorVerb)
	p, err := proc.Start([]string{exe, SupervisorVerb, "--state", l.StateDir}, log)
	if err != nil {
		return err
	}
	defer p.Close()
	err = await(ctx, supervisorLimit, func(context.Context) error {
		select {
		case <-p.Done():
			return final(fmt.Errorf("it ended at once (%s): %s", p.Exit(), lastLine(log)))
		default:
		}
		s, err := l.dir().Supervisor()
		if err == nil {
			s.Close()
		}
		return err
	})
	if err != nil {
		return &problem.Error{Code: problem.Failed, What: "the supervisor did not start", Where: log, Why: err}
	}
	say("✓ supervisor: process %d", p.ID.PID)
	return nil
}

// endSupervisor ends the supervisor, if there is one; what it started goes on.
// It may be one of up --foreground, whose process has more to do than that.
func (l *Lab) endSupervisor(ctx context.Context) error {
	p, err := l.dir().Supervisor()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer p.Close()
	if err := errors.Join(p.Signal(syscall.SIGTERM), p.Signal(syscall.SIGCONT)); err != nil {
		return err
	}
	err = await(ctx, supervisorLimit, func(context.Context) error {
		now, err := l.dir().Supervisor()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			now.Close()
			err = errors.New("it goes on")
		}
		return err
	})
	if err != nil && ctx.Err() == nil {
		return p.Signal(syscall.SIGKILL)
	}
	return err
}
