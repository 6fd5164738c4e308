package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/midplane-project/midplane/deploy/lab/proc"
)

// downGrace is how long processes may take to end before they are killed.
const downGrace = 8 * time.Second

// goneLimit is how long the kernel may take to clear away what was killed.
const goneLimit = 10 * time.Second

// Down ends every process of the shelf and removes its sockets; its state
// stays. It reports how many processes there were. A shelf that is down already
// is no error.
func (l *Lab) Down(ctx context.Context, say Say) (ended int, err error) {
	release, err := l.Home.takeTurn(ctx, l.Name, func() { say("… another midplane is at work on shelf %s", l.Name) })
	if err != nil {
		return 0, err
	}
	defer release()
	return l.down(ctx, say)
}

// down goes from the edge inwards: nobody who would start others again first,
// then nodes, so that they do not take the end of their VM for a power-off.
func (l *Lab) down(ctx context.Context, say Say) (ended int, err error) {
	if err := l.endSupervisor(ctx); err != nil {
		return 0, fmt.Errorf("end the supervisor: %w", err)
	}
	for _, stage := range []struct {
		what  string
		match func([]string) bool
	}{
		{"nodes", l.isNode},
		{"VMs", l.isVM},
		{"front", l.isFront},
		{"replicas", l.isOurs},
	} {
		n, err := l.endAll(ctx, stage.what, stage.match, say)
		if err != nil {
			return ended, err
		}
		ended += n
	}
	if err := l.nothingLeft(ctx); err != nil {
		return ended, err
	}
	if err := l.releaseVMs(); err != nil {
		return ended, err
	}
	return ended, errors.Join(l.dir().Forget(), os.RemoveAll(l.RunDir))
}

func (l *Lab) endAll(ctx context.Context, what string, match func([]string) bool, say Say) (int, error) {
	ids, err := proc.Find(match)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	killed, err := proc.Stop(ctx, ids, downGrace)
	if err != nil {
		return 0, fmt.Errorf("end the %s: %w", what, err)
	}
	text := ""
	if killed > 0 {
		text = fmt.Sprintf(", %d of them by SIGKILL after %s", killed, downGrace)
	}
	say("✓ %s: %d ended%s", what, len(ids), text)
	return len(ids), nil
}

// nothingLeft looks for processes until there are none.
func (l *Lab) nothingLeft(ctx context.Context) error {
	return await(ctx, goneLimit, func(ctx context.Context) error {
		ids, err := proc.Find(func(argv []string) bool { return l.isOurs(argv) || l.isVM(argv) })
		if err != nil || len(ids) == 0 {
			return err
		}
		var pids []string
		for _, id := range ids {
			pids = append(pids, fmt.Sprint(id.PID))
		}
		if _, err := proc.Stop(ctx, ids, 0); err != nil {
			return err
		}
		return fmt.Errorf("processes of shelf %s are still there: %s", l.Name, strings.Join(pids, " "))
	})
}

// isOurs recognises the shelf's daemons and supervisors by their command line:
// a file or directory of its state.
func (l *Lab) isOurs(argv []string) bool {
	if proc.Option("--state", l.StateDir)(argv) {
		return len(argv) > 1 && argv[1] == SupervisorVerb
	}
	i := slices.Index(argv, "--config")
	return i >= 0 && i+1 < len(argv) && strings.HasPrefix(argv[i+1], l.StateDir+string(filepath.Separator))
}

func (l *Lab) isNode(argv []string) bool {
	return l.isOurs(argv) && len(argv) > 1 && (argv[1] == "node" || argv[1] == compactName)
}

func (l *Lab) isFront(argv []string) bool {
	return l.isOurs(argv) && len(argv) > 1 && argv[1] == frontName
}

// isVM recognises the shelf's QEMUs, those of nodes that shelf.yaml no longer
// has among them, by their monitor's socket.
func (l *Lab) isVM(argv []string) bool {
	return slices.Contains(argv, "-uuid") && slices.ContainsFunc(argv, func(arg string) bool {
		return strings.Contains(arg, "path="+strings.ReplaceAll(l.RunDir, ",", ",,")+string(filepath.Separator))
	})
}

// releaseVMs forgets which VMs were killed on purpose.
func (l *Lab) releaseVMs() error {
	holds, err := filepath.Glob(l.vmHoldPath("*"))
	if err != nil {
		return err
	}
	var all []error
	for _, path := range holds {
		all = append(all, os.Remove(path))
	}
	return errors.Join(all...)
}

// Purge deletes the state of a shelf that is down, when confirm agrees to the
// files that it is shown. It reports whether that was done.
func (l *Lab) Purge(ctx context.Context, confirm func(paths []string) (bool, error), say Say) (bool, error) {
	if _, err := l.Down(ctx, say); err != nil {
		return false, err
	}
	paths, err := l.contents()
	if err != nil {
		return false, err
	}
	if ok, err := confirm(paths); !ok || err != nil {
		return false, err
	}
	release, err := l.Home.takeTurn(ctx, l.Name, nil)
	if err != nil {
		return false, err
	}
	defer release()
	// Again under the same turn: somebody may have brought it up while we asked.
	if _, err := l.down(ctx, say); err != nil {
		return false, err
	}
	return true, os.RemoveAll(l.StateDir)
}

// contents lists what is in the state directory, one level deep and two in
// nodes and replicas.
func (l *Lab) contents() ([]string, error) {
	paths := []string{l.StateDir}
	for _, pattern := range []string{"*", "nodes/*", "replicas/*"} {
		found, err := filepath.Glob(filepath.Join(l.StateDir, pattern))
		if err != nil {
			return nil, err
		}
		paths = append(paths, found...)
	}
	slices.Sort(paths)
	return paths, nil
}
