package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"github.com/midplane-project/midplane/deploy/lab/supervise"
	"github.com/midplane-project/midplane/deploy/lab/topology"
	"github.com/midplane-project/midplane/internal/jsonfile"
	"github.com/midplane-project/midplane/node"
	"github.com/midplane-project/midplane/node/power"
)

// Names of processes: a replica is called as it is, a node node/NAME, the front
// front, and the one process of a compact shelf compact.
const (
	nodePrefix  = "node/"
	vmPrefix    = "vm/"
	compactName = "compact"
)

// draft is all that a shelf needs to run, before it is written.
type draft struct {
	plan  supervise.Plan
	files map[string][]byte // by path
	dirs  []string
}

// draft makes the daemons' files and the plan, for the program exe.
func (l *Lab) draft(exe string) (*draft, error) {
	stamp, err := programStamp(exe)
	if err != nil {
		return nil, err
	}
	d := &draft{files: map[string][]byte{}}
	if l.Compact {
		return d, l.draftCompact(d, exe, stamp)
	}
	for i := range l.Topology.Replicas {
		c := l.replicaConfig(i)
		if err := d.add(c.Name, exe, "shelf", c.Dir, c, stamp, nil); err != nil {
			return nil, err
		}
	}
	for _, n := range l.Topology.Nodes {
		c, err := l.nodeConfig(n)
		if err != nil {
			return nil, err
		}
		vms, err := vmsOf(c)
		if err != nil {
			return nil, err
		}
		if err := d.add(nodePrefix+n.Name, exe, "node", c.Dir, c, stamp, vms); err != nil {
			return nil, err
		}
	}
	if c := l.frontConfig(); c != nil {
		return d, d.add(frontName, exe, frontName, l.StateDir, c, stamp, nil)
	}
	return d, nil
}

func (l *Lab) draftCompact(d *draft, exe, stamp string) error {
	all := Compact{Front: l.frontConfig()}
	var vms []supervise.VM
	for i := range l.Topology.Replicas {
		c := l.replicaConfig(i)
		all.Replicas = append(all.Replicas, c)
		d.dirs = append(d.dirs, c.Dir)
	}
	for _, n := range l.Topology.Nodes {
		c, err := l.nodeConfig(n)
		if err != nil {
			return err
		}
		own, err := vmsOf(c)
		if err != nil {
			return err
		}
		vms = append(vms, own...)
		all.Nodes = append(all.Nodes, c)
		d.dirs = append(d.dirs, c.Dir)
	}
	return d.add(compactName, exe, compactName, l.StateDir, all, stamp, vms)
}

// add drafts one daemon, which runs as: exe verb --config FILE.
func (d *draft) add(name, exe, verb, dir string, config any, stamp string, vms []supervise.VM) error {
	data, err := jsonfile.Marshal(config)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	path := configPath(dir, verb)
	argv := []string{exe, verb, "--config", path, "--log-level", "info"}
	takesOver := verb == "node" // its guest notices nothing then
	if takesOver {
		argv = append(argv, "--take-over")
	}
	d.dirs = append(d.dirs, dir)
	d.files[path] = data
	d.plan.Processes = append(d.plan.Processes, supervise.Process{
		Name: name, Argv: argv, Hash: hash(argv, stamp, string(data)), VMs: vms, TakesOver: takesOver,
	})
	return nil
}

// configPath is the file of a daemon that runs as verb.
func configPath(dir, verb string) string { return filepath.Join(dir, verb+".json") }

func vmsOf(c node.Config) ([]supervise.VM, error) {
	if c.VM == nil {
		return nil, nil
	}
	argv, err := power.Args(*c.VM)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", c.Name, err)
	}
	return []supervise.VM{{UUID: c.VM.UUID, Hash: hash(argv)}}, nil
}

// programStamp changes when the program is built anew, so that what runs the
// old one is restarted.
func programStamp(exe string) (string, error) {
	info, err := os.Stat(exe)
	if err != nil {
		return "", fmt.Errorf("the midplane program: %w", err)
	}
	return fmt.Sprint(info.Size(), info.ModTime().UnixNano()), nil
}

func hash(argv []string, more ...string) string {
	h := sha256.New()
	for _, s := range append(argv[:len(argv):len(argv)], more...) {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// write puts the daemons' files in place.
func (d *draft) write() error {
	for _, dir := range d.dirs {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	for path, data := range d.files {
		if err := jsonfile.Replace(path, data); err != nil {
			return err
		}
	}
	return nil
}

// dir is the shelf as its supervisor sees it.
func (l *Lab) dir() supervise.Dir { return supervise.Dir(l.StateDir) }

// nodeNames lists the nodes.
func (l *Lab) nodeNames() []string {
	names := make([]string, 0, len(l.Topology.Nodes))
	for _, n := range l.Topology.Nodes {
		names = append(names, n.Name)
	}
	return names
}

// replicaNames lists the replicas.
func (l *Lab) replicaNames() []string {
	names := make([]string, 0, l.Topology.Replicas)
	for i := range l.Topology.Replicas {
		names = append(names, topology.ReplicaName(i))
	}
	return names
}
