package lab

import (
	"github.com/midplane-project/midplane/deploy/lab/proc"
	"github.com/midplane-project/midplane/deploy/lab/supervise"
)

// Summary is one shelf on this machine.
type Summary struct {
	Name       string `json:"name"`
	ID         int    `json:"id"`
	State      string `json:"state"` // up, partly or down
	Running    int    `json:"running"`
	Processes  int    `json:"processes"`
	Supervisor int    `json:"supervisor,omitempty"` // process id
	Replicas   int    `json:"replicas"`
	Nodes      int    `json:"nodes"`
	Dir        string `json:"dir"`
	Problem    string `json:"problem,omitempty"` // why it cannot be read
}

// List gives every shelf that has state here.
func (h Home) List() ([]Summary, error) {
	names, err := h.Names()
	if err != nil {
		return nil, err
	}
	all := make([]Summary, 0, len(names))
	for _, name := range names {
		l, err := h.Open(name)
		if err != nil {
			all = append(all, Summary{Name: name, State: "broken", Dir: h.at(name).StateDir, Problem: err.Error()})
			continue
		}
		all = append(all, l.Summary())
	}
	return all, nil
}

// Summary says what runs of the shelf.
func (l *Lab) Summary() Summary {
	s := Summary{
		Name: l.Name, ID: l.ID, State: "partly", Dir: l.StateDir,
		Replicas: l.Topology.Replicas, Nodes: len(l.Topology.Nodes),
	}
	for _, p := range l.Processes() {
		s.Processes++
		if p.PID != 0 {
			s.Running++
		}
	}
	if s.Processes == 0 {
		s.Processes = len(l.replicaNames()) + len(l.nodeNames())
		if l.ManagerLAN().IsValid() {
			s.Processes++
		}
	}
	switch s.Running {
	case 0:
		s.State = "down"
	case s.Processes:
		s.State = "up"
	}
	if p, err := l.dir().Supervisor(); err == nil {
		s.Supervisor = p.ID.PID
		p.Close()
	}
	return s
}

// ProcessState is one daemon, as its supervisor knows it.
type ProcessState struct {
	Name    string `json:"name"`
	PID     int    `json:"pid,omitempty"` // 0: does not run
	Held    bool   `json:"held"`          // killed on purpose
	Stopped bool   `json:"stopped"`       // stands still on purpose
	Starts  int    `json:"starts"`
	Exit    string `json:"exit,omitempty"` // how it ended last
	Log     string `json:"log"`
}

// Processes lists what should run.
func (l *Lab) Processes() []ProcessState {
	plan, err := l.dir().Plan()
	if err != nil {
		return nil
	}
	all := make([]ProcessState, 0, len(plan.Processes))
	for _, p := range plan.Processes {
		all = append(all, processState(l.dir(), p.Name))
	}
	return all
}

func processState(d supervise.Dir, name string) ProcessState {
	s := ProcessState{Name: name, Held: d.Held(name), Log: d.LogPath(name)}
	if r, ok := d.Record(name); ok {
		s.Starts, s.Exit = r.Starts, r.Exit
	}
	if r, ok := d.Running(name); ok {
		s.PID, s.Stopped = r.PID, proc.Stopped(r.PID)
	}
	return s
}
