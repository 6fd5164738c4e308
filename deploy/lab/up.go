package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/midplane-project/midplane/deploy/lab/topology"
	"github.com/midplane-project/midplane/internal/jsonfile"
	"github.com/midplane-project/midplane/internal/problem"
	"github.com/midplane-project/midplane/node/power"
)

// Say prints one line about what is being done.
type Say func(format string, args ...any)

// UpOptions say what Up shall bring up, and how.
type UpOptions struct {
	File    string // a shelf file; empty: see [Up]
	Shelf   string // a shelf that has state, by name
	Compact bool   // replicas and nodes in one process
	// KeepForm lets a shelf that is up be as compact as it is.
	KeepForm bool
	Kernel   string // for every lab guest
	Modules  string // of that kernel
	Exe      string // the midplane program
	Dry      bool   // say what would be done
	// Foreground runs the supervisor in this process, until its context ends.
	Foreground bool
	// Timeout bounds the wait for replicas and guests; 0 does not wait.
	Timeout time.Duration
	Say     Say
}

// Up brings a shelf up: that of a file, of a name, of the shelf.yaml here, or
// the built-in one, in this order. What runs as it should is left alone, what
// is missing is started, what has changed is restarted, what is no longer in
// the file is stopped. Several Ups at once take turns.
func Up(ctx context.Context, o UpOptions) (*Lab, error) {
	h, err := OpenHome()
	if err != nil {
		return nil, err
	}
	t, source, err := o.topology(h)
	if err != nil {
		return nil, err
	}
	for _, warning := range t.Exposed() {
		o.Say("○ %s", warning)
	}
	o.kernelFor(t)
	l := h.at(t.Name)
	l.Topology = t
	release, err := h.takeTurn(ctx, l.Name, func() { o.Say("… another midplane is at work on shelf %s", l.Name) })
	if err != nil {
		return nil, err
	}
	defer l.endClaim()
	own, err := l.bring(ctx, o, source)
	release()
	if err != nil || o.Dry {
		return l, err
	}
	if o.Timeout > 0 {
		err = l.awaitReady(ctx, o.Timeout, true, o.Say)
	}
	l.endClaim()
	if own == nil {
		return l, err
	}
	if err != nil {
		o.Say("✗ %s", problem.Text(err)) // own goes on until somebody ends it
	}
	return l, errors.Join(err, own())
}

// topology reads what shall be brought up, and says where it comes from.
func (o UpOptions) topology(h Home) (t *topology.Shelf, source string, err error) {
	name := first(o.Shelf, os.Getenv(EnvShelf))
	switch {
	case o.File != "":
		t, err = LoadFile(o.File)
		source = o.File
	case name != "" && name != builtIn:
		l, err := h.Open(name)
		if err != nil {
			return nil, "", err
		}
		return l.Topology, l.Source, nil
	case name == "" && exists(topology.FileName):
		t, err = LoadFile(topology.FileName)
		source = topology.FileName
	default:
		return topology.BuiltIn(), "", nil
	}
	if err != nil {
		return nil, "", err
	}
	source, err = filepath.Abs(source)
	return t, source, err
}

// LoadFile reads a shelf file, relative to the working directory.
func LoadFile(path string) (*topology.Shelf, error) {
	t, err := topology.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, problem.NotFoundf("midplane init writes one to start from", "there is no shelf file %s", path)
	}
	return t, err
}

// builtIn is the name of the shelf that needs no file.
var builtIn = topology.BuiltIn().Name

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// kernelFor gives every lab guest the kernel of the command line.
func (o UpOptions) kernelFor(t *topology.Shelf) {
	if o.Kernel == "" {
		return
	}
	for i := range t.Nodes {
		if q := &t.Nodes[i].QEMU; usesLabGuest(*q) {
			q.Kernel, q.Modules = o.Kernel, o.Modules
		}
	}
}

// bring does all that must not be done twice at once. With Foreground, own runs
// the supervisor.
func (l *Lab) bring(ctx context.Context, o UpOptions, source string) (own func() error, err error) {
	shared, err := l.Home.takeTurn(ctx, "", nil) // ids are shared among shelves
	if err != nil {
		return nil, err
	}
	err = l.settle(o, source)
	shared()
	if err != nil {
		return nil, err
	}
	if err := l.decide(ctx, o.Dry, o.Say); err != nil {
		return nil, err
	}
	d, err := l.draft(o.Exe)
	if err != nil {
		return nil, err
	}
	if o.Dry {
		l.explain(d, o.Say)
		return nil, nil
	}
	if err := l.checkVMs(); err != nil {
		return nil, err
	}
	if err := l.checkPorts(); err != nil {
		return nil, err
	}
	if err := l.checkLAN(); err != nil {
		return nil, err
	}
	made, err := l.ensureCerts()
	if err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	if made > 0 {
		o.Say("✓ certificates: %d issued in %s", made, l.PKIDir())
	}
	if err := errors.Join(l.passwords(o), l.ensureLANKey()); err != nil {
		return nil, fmt.Errorf("secrets of the LAN doors: %w", err)
	}
	if err := jsonfile.Write(l.choicesPath(), l.Choices); err != nil {
		return nil, err
	}
	return l.apply(ctx, d, o)
}

// settle chooses what is chosen once and, unless this is a dry run, writes the
// shelf down.
func (l *Lab) settle(o UpOptions, source string) error {
	if err := l.choose(o.Say); err != nil {
		return err
	}
	if plan, err := l.dir().Plan(); err != nil || len(plan.Processes) == 0 || !o.KeepForm {
		l.Compact = o.Compact
	}
	l.Source = source
	if err := l.checkSockets(); err != nil {
		return err
	}
	if o.Dry {
		return nil
	}
	if err := privateDir(l.StateDir, os.Getuid()); err != nil {
		return err
	}
	if err := privateDir(l.RunDir, os.Getuid()); err != nil {
		return err
	}
	if err := l.dir().Make(); err != nil {
		return err
	}
	if err := l.writeTopology(); err != nil {
		return err
	}
	return jsonfile.Write(l.choicesPath(), l.Choices)
}

// checkSockets makes sure that the kernel can take the paths of all sockets.
func (l *Lab) checkSockets() error {
	for _, path := range l.sockets() {
		if err := power.CheckSocketPath(path); err != nil {
			return &problem.Error{
				Code: problem.Failed, What: "the path of a socket is too long", Where: path, Why: err,
				Do: "set XDG_RUNTIME_DIR to a shorter directory, or choose shorter names",
			}
		}
	}
	return nil
}

// writeTopology keeps the shelf as it was brought up: defaults filled in, paths
// absolute.
func (l *Lab) writeTopology() error {
	t := *l.Topology
	t.Defaults = topology.Node{}
	text, err := yaml.Marshal(&t)
	if err != nil {
		return fmt.Errorf("write the shelf file: %w", err)
	}
	from := first(l.Source, "the built-in shelf")
	head := "# Written by midplane up, from " + from + ".\n"
	return jsonfile.Replace(filepath.Join(l.StateDir, topology.FileName), append([]byte(head), text...))
}
