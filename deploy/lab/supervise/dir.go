package supervise

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/midplane-project/midplane/deploy/lab/proc"
	"github.com/midplane-project/midplane/internal/jsonfile"
)

// Dir is the state directory of a shelf.
type Dir string

// Plan says what shall run.
type Plan struct {
	Processes []Process `json:"processes"`
}

// Process is one daemon.
type Process struct {
	Name string   `json:"name"` // shm1, node/blade1
	Argv []string `json:"argv"` // program first, by its full path
	// Hash stands for the command line and all that it reads at its start: a
	// process with another one is restarted.
	Hash string `json:"hash"`
	VMs  []VM   `json:"vms,omitempty"` // that it starts
	// TakesOver says that the program, started beside its predecessor, takes
	// over from it and makes it end.
	TakesOver bool `json:"takes_over,omitempty"`
}

// VM is a QEMU, which outlives its node as long as Hash stays.
type VM struct {
	UUID string `json:"uuid"`
	Hash string `json:"hash"`
}

// Record says what became of a process.
type Record struct {
	proc.ID
	Process
	Starts  int    `json:"starts"`            // by this supervisor
	Crashes int    `json:"crashes,omitempty"` // how often it ended early, and by itself, since it last did not
	Exit    string `json:"exit,omitempty"`    // how it ended; empty while it runs
}

// Make makes the directories.
func (d Dir) Make() error {
	for _, sub := range []string{"run", "hold", "logs"} {
		if err := os.MkdirAll(filepath.Join(string(d), sub), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// Key is a process's name in file names.
func Key(name string) string { return strings.ReplaceAll(name, "/", "-") }

// LogPath is where a process's output goes.
func (d Dir) LogPath(name string) string { return filepath.Join(string(d), "logs", Key(name)+".log") }

func (d Dir) planPath() string { return filepath.Join(string(d), "run", "plan.json") }

func (d Dir) recordPath(name string) string {
	return filepath.Join(string(d), "run", Key(name)+".json")
}

func (d Dir) holdPath(name string) string { return filepath.Join(string(d), "hold", Key(name)) }

// Plan reads the plan; empty when there is none.
func (d Dir) Plan() (Plan, error) {
	var p Plan
	err := jsonfile.Read(d.planPath(), &p)
	if errors.Is(err, fs.ErrNotExist) {
		return Plan{}, nil
	}
	return p, err
}

// SetPlan replaces the plan. The supervisor acts on it when it looks next.
func (d Dir) SetPlan(p Plan) error { return jsonfile.Write(d.planPath(), p) }

// Record reads what is known about a process; false when nothing is.
func (d Dir) Record(name string) (Record, bool) {
	var r Record
	err := jsonfile.Read(d.recordPath(name), &r)
	return r, err == nil
}

// Running finds a process that runs.
func (d Dir) Running(name string) (Record, bool) {
	r, ok := d.Record(name)
	if !ok || r.Exit != "" || !alive(r.ID) {
		return Record{}, false
	}
	return r, true
}

func alive(id proc.ID) bool {
	now, err := proc.Identify(id.PID)
	return err == nil && now == id
}

// Hold keeps a process down, once it has ended, until [Dir.Release].
func (d Dir) Hold(name string) error {
	return os.WriteFile(d.holdPath(name), nil, 0o600)
}

// Release lets a held process start again. It reports whether it was held.
func (d Dir) Release(name string) (bool, error) {
	err := os.Remove(d.holdPath(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Held reports whether a process is kept down.
func (d Dir) Held(name string) bool {
	_, err := os.Stat(d.holdPath(name))
	return err == nil
}

// Forget removes what was written about processes that have been stopped.
func (d Dir) Forget() error {
	var all []error
	for _, pattern := range []string{"run/*.json", "hold/*"} {
		paths, err := filepath.Glob(filepath.Join(string(d), pattern))
		if err != nil {
			return err
		}
		for _, p := range paths {
			all = append(all, os.Remove(p))
		}
	}
	return errors.Join(all...)
}
