package supervise

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/midplane-project/midplane/deploy/lab/proc"
	"github.com/midplane-project/midplane/internal/jsonfile"
)

// lookEvery is how often plan, holds and logs are looked at.
const lookEvery = 250 * time.Millisecond

// vmGrace is how long a QEMU may take to write its disks back.
const vmGrace = 2 * time.Second

// Supervisor is the one owner of a shelf's processes.
type Supervisor struct {
	dir      Dir
	log      *slog.Logger
	children map[string]*child
	planFile os.FileInfo
	plan     Plan
	wake     chan struct{}
	watchers sync.WaitGroup
}

// New makes a supervisor; a nil log is quiet.
func New(dir Dir, log *slog.Logger) *Supervisor {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Supervisor{dir: dir, log: log, children: map[string]*child{}, wake: make(chan struct{}, 1)}
}

// Run keeps the processes as the plan says until ctx ends, and leaves them
// running then. The error is [ErrRunning] when another supervisor is at it.
func (s *Supervisor) Run(ctx context.Context) error {
	// First and last of all: a nudge must not end a supervisor that begins or ends.
	nudge := make(chan os.Signal, 1)
	signal.Notify(nudge, syscall.SIGHUP)
	defer signal.Stop(nudge)
	lock, err := s.dir.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	defer os.Remove(s.dir.idPath()) // before the lock goes, so that it is never a successor's
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	defer s.letGo()
	s.log.Info("supervisor begins", "pid", os.Getpid())
	for {
		s.look(ctx, time.Now())
		select {
		case <-ctx.Done():
			s.log.Info("supervisor ends; what runs goes on")
			return nil
		case <-tick.C:
		case <-nudge:
		case <-s.wake:
		}
	}
}

func (s *Supervisor) letGo() {
	for _, c := range s.children {
		if c.p != nil {
			c.p.Close()
		}
		if c.old != nil {
			c.old.Close()
		}
	}
	s.watchers.Wait()
}

// look brings every process one step nearer to the plan.
func (s *Supervisor) look(ctx context.Context, now time.Time) {
	s.readPlan()
	wanted := map[string]*Process{}
	for i := range s.plan.Processes {
		p := &s.plan.Processes[i]
		wanted[p.Name] = p
		if s.children[p.Name] == nil {
			s.children[p.Name] = s.adopt(p.Name, p)
		}
	}
	leaving := s.leaving(wanted)
	for _, c := range slices.SortedFunc(maps.Values(s.children), func(a, b *child) int { return cmp.Compare(a.name, b.name) }) {
		s.step(ctx, c, wanted[c.name], leaving, now)
		s.bound(c.name)
	}
	s.bound(selfName)
}

// readPlan reads the plan when it has been replaced. A plan that cannot be read
// changes nothing.
func (s *Supervisor) readPlan() {
	info, err := os.Stat(s.dir.planPath())
	if err != nil || s.planFile != nil && os.SameFile(info, s.planFile) && info.ModTime().Equal(s.planFile.ModTime()) {
		return
	}
	plan, err := s.dir.Plan()
	if err != nil {
		s.log.Error("plan not read", "err", err)
		return
	}
	first := s.planFile == nil
	s.planFile, s.plan = info, plan
	if first {
		s.adoptRest()
	}
}

// leaving reports whether something that is no longer planned has not ended.
func (s *Supervisor) leaving(wanted map[string]*Process) bool {
	for name, c := range s.children {
		if wanted[name] == nil && (c.p != nil || c.old != nil) {
			return true
		}
	}
	return false
}

func (s *Supervisor) step(ctx context.Context, c *child, want *Process, leaving bool, now time.Time) {
	if c.ended() {
		s.lost(c, now)
	}
	if err := c.seeOff(now); err != nil {
		s.log.Error("predecessor not ended", "process", c.name, "err", err)
	}
	switch {
	case c.p != nil && want != nil && want.Hash != c.rec.Hash && c.replaceable(want):
		s.log.Info("replacing", "process", c.name)
		c.old, c.oldEnd, c.p = c.p, now.Add(Grace), nil
		s.start(ctx, c, want, now)
	case c.p != nil && (want == nil || want.Hash != c.rec.Hash):
		if c.killAt.IsZero() {
			s.log.Info("stopping", "process", c.name)
		}
		if err := c.stop(now); err != nil {
			s.log.Error("not stopped", "process", c.name, "err", err)
		}
	case c.p != nil:
	case c.old != nil: // its successor failed; nothing starts before it has ended
	case want == nil:
		s.forget(ctx, c)
	case leaving: // what goes may still have the files, ports and VMs of what comes
	case s.dir.Held(c.name):
		c.next, c.pause = time.Time{}, 0
	case !now.Before(c.next):
		s.start(ctx, c, want, now)
	}
}

// lost takes note of the end of a process.
func (s *Supervisor) lost(c *child, now time.Time) {
	wished, held := !c.killAt.IsZero(), s.dir.Held(c.name)
	c.killAt = time.Time{}
	switch {
	case held:
		c.next, c.pause = time.Time{}, 0
		c.rec.Crashes = 0
	case wished:
		c.rec.Crashes = 0
	default:
		c.delay(now)
	}
	s.log.Info("ended", "process", c.name, "how", c.rec.Exit, "wished", wished, "held", held)
	s.save(c)
}

func (s *Supervisor) start(ctx context.Context, c *child, want *Process, now time.Time) {
	s.endVMs(ctx, c, want.VMs)
	crashes := c.rec.Crashes
	if want.Hash != c.rec.Hash {
		crashes = 0 // those of another configuration
	}
	c.rec = Record{Process: *want, Starts: c.rec.Starts + 1, Crashes: crashes}
	c.known, c.began = true, now
	p, err := proc.Start(want.Argv, s.dir.LogPath(c.name))
	if err != nil {
		c.rec.Exit = err.Error()
		c.delay(now)
		s.log.Error("not started", "process", c.name, "err", err)
	} else {
		c.rec.ID = p.ID
		s.hold(c, p)
		s.log.Info("started", "process", c.name, "pid", p.ID.PID)
	}
	s.save(c)
}

// hold makes the supervisor look again when the process ends.
func (s *Supervisor) hold(c *child, p *proc.Process) {
	c.p = p
	s.watchers.Go(func() {
		<-p.Done()
		select {
		case s.wake <- struct{}{}:
		default:
		}
	})
}

func (s *Supervisor) forget(ctx context.Context, c *child) {
	var keep []VM
	for _, p := range s.plan.Processes {
		keep = append(keep, p.VMs...) // another process takes them over
	}
	s.endVMs(ctx, c, keep)
	if err := os.Remove(s.dir.recordPath(c.name)); err != nil && !os.IsNotExist(err) {
		s.log.Error("record stays", "process", c.name, "err", err)
	}
	delete(s.children, c.name)
}

// endVMs ends every QEMU that a process which is gone has left and whose command
// line no longer holds.
func (s *Supervisor) endVMs(ctx context.Context, c *child, keep []VM) {
	for _, vm := range c.rec.VMs {
		if slices.Contains(keep, vm) {
			continue
		}
		ids, err := FindVM(vm.UUID)
		if err == nil {
			_, err = proc.Stop(ctx, ids, vmGrace)
		}
		if err != nil {
			s.log.Error("VM not ended", "uuid", vm.UUID, "err", err)
		}
	}
}

// FindVM finds the processes of a VM by its UUID.
func FindVM(uuid string) ([]proc.ID, error) { return proc.Find(proc.Option("-uuid", uuid)) }

func (s *Supervisor) save(c *child) {
	if err := jsonfile.Write(s.dir.recordPath(c.name), c.rec); err != nil {
		s.log.Error("record not written", "process", c.name, "err", err)
	}
}
