package supervise

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/midplane-project/midplane/deploy/lab/proc"
	"github.com/midplane-project/midplane/internal/jsonfile"
)

// adopt finds what an earlier supervisor started under this name.
func (s *Supervisor) adopt(name string, want *Process) *child {
	c := &child{name: name, began: time.Now()}
	c.rec, c.known = s.dir.Record(name)
	c.rec.Starts, c.rec.Crashes = 0, 0
	if c.known && c.rec.Exit == "" {
		if p, err := proc.Open(c.rec.ID); err == nil {
			s.log.Info("adopted", "process", name, "pid", p.ID.PID)
			s.hold(c, p)
			return c
		}
		c.rec.Exit = "ended unseen"
	}
	if want != nil {
		s.adoptUnrecorded(c, want)
	}
	return c
}

// adoptUnrecorded finds a process whose supervisor died between its start and
// writing that down.
func (s *Supervisor) adoptUnrecorded(c *child, want *Process) {
	ids, err := proc.Find(proc.Same(want.Argv))
	if err != nil || len(ids) != 1 {
		return
	}
	p, err := proc.Open(ids[0])
	if err != nil {
		return
	}
	s.log.Info("adopted without a record", "process", c.name, "pid", p.ID.PID)
	// What it has read at its start is not known, so it cannot be taken for up to date.
	process := *want
	process.Hash = ""
	c.rec, c.known = Record{ID: p.ID, Process: process}, true
	s.hold(c, p)
	s.save(c)
}

// adoptRest takes over what is recorded and no longer planned, so that it can
// be stopped.
func (s *Supervisor) adoptRest() {
	paths, err := filepath.Glob(filepath.Join(string(s.dir), "run", "*.json"))
	if err != nil {
		return
	}
	for _, path := range paths {
		var r Record
		if strings.HasSuffix(path, "plan.json") || jsonfile.Read(path, &r) != nil || r.Name == "" {
			continue
		}
		if s.children[r.Name] == nil {
			s.children[r.Name] = s.adopt(r.Name, nil)
		}
	}
}
