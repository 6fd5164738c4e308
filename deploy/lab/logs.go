package lab

import (
	"path/filepath"
	"strings"

	"github.com/midplane-project/midplane/internal/problem"
)

// LogFile is one log and what it is of.
type LogFile struct {
	Name string `json:"name"`
	Path string `json:"path"`
}

// Logs finds the logs of a target: a replica, front, supervisor, a node, vm/NODE
// (QEMU's own messages), shelf (the replicas) or, when it is empty, of all.
func (l *Lab) Logs(target string) ([]LogFile, error) {
	log := func(name string) LogFile { return LogFile{name, l.dir().LogPath(name)} }
	switch {
	case target == "":
		all := []LogFile{log(SupervisorVerb)}
		for _, p := range l.Processes() {
			all = append(all, log(p.Name))
		}
		return all, nil
	case target == SupervisorVerb:
		return []LogFile{log(target)}, nil
	case target == compactName && l.Compact, target == frontName && l.ManagerLAN().IsValid(), l.isReplica(target):
		return []LogFile{log(l.hostOf(target))}, nil
	case strings.HasPrefix(target, vmPrefix):
		t, err := l.ResolveNode(strings.TrimPrefix(target, vmPrefix))
		if err != nil {
			return nil, err
		}
		return []LogFile{{vmPrefix + t.Name, filepath.Join(l.NodeDir(t.Name), "vm", "qemu.log")}}, nil
	}
	t, err := l.ResolveTarget(strings.TrimPrefix(target, nodePrefix))
	switch {
	case err != nil:
		return nil, err
	case t.Shelf:
		if l.Compact {
			return []LogFile{log(compactName)}, nil
		}
		var all []LogFile
		for _, name := range l.replicaNames() {
			all = append(all, log(name))
		}
		return all, nil
	case t.Node == nil:
		return nil, l.noTarget("%s has no node", t.Name)
	}
	return []LogFile{log(l.hostOf(nodePrefix + t.Name))}, nil
}

// Consoles finds the record of a VM's serial console, or of all.
func (l *Lab) Consoles(target string) ([]LogFile, error) {
	names := l.nodeNames()
	if target != "" {
		t, err := l.ResolveNode(strings.TrimPrefix(strings.TrimPrefix(target, nodePrefix), vmPrefix))
		if err != nil {
			return nil, err
		}
		if t.Node.QEMU.None {
			return nil, problem.NotFoundf("look at the program that started it", "the VM of %s is not started by its node, nor is its console recorded", t.Name)
		}
		names = []string{t.Name}
	}
	var all []LogFile
	for _, name := range names {
		all = append(all, LogFile{name, l.ConsolePath(name)})
	}
	return all, nil
}
