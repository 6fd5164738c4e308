package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/midplane-project/midplane/deploy/lab/proc"
	"github.com/midplane-project/midplane/deploy/lab/supervise"
)

// bench is a home of its own with a shelf.yaml whose daemons are fakes.
type bench struct {
	t    *testing.T
	file string
	exe  string

	mu   sync.Mutex
	said []string
}

// twoNodes is a shelf whose node a starts a (fake) VM and whose node b does not.
const twoNodes = `name: rack
replicas: 3
nodes:
  - slot: 1
    name: a
    qemu: {binary: EXE, accel: tcg, kernel: EXE, initrd: EXE}
  - slot: 2
    name: b
    qemu: none
`

// small is the same with one replica, for tests that need no more.
var small = strings.Replace(twoNodes, "replicas: 3", "replicas: 1", 1)

// newBench gives the test a home; sockets need short paths.
func newBench(t *testing.T, text string) *bench {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for variable, sub := range map[string]string{"MIDPLANE_HOME": "s", "XDG_RUNTIME_DIR": "r", "XDG_CACHE_HOME": "c"} {
		path := filepath.Join(dir, sub)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		t.Setenv(variable, path)
	}
	t.Setenv(EnvShelf, "")
	b := &bench{t: t, file: filepath.Join(dir, "shelf.yaml"), exe: exe}
	t.Chdir(dir)
	b.write(text)
	t.Cleanup(b.clear)
	return b
}

func (b *bench) write(text string) {
	b.t.Helper()
	if err := os.WriteFile(b.file, []byte(strings.ReplaceAll(text, "EXE", b.exe)), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// clear takes every shelf down, whatever the test left.
func (b *bench) clear() {
	h, err := OpenHome()
	if err != nil {
		b.t.Fatal(err)
	}
	names, _ := h.Names()
	for _, name := range names {
		if l, err := h.Open(name); err == nil {
			if _, err := l.Down(context.Background(), b.say); err != nil {
				b.t.Error(err)
			}
		}
	}
}

func (b *bench) say(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.said = append(b.said, fmt.Sprintf(format, args...))
}

// heard reports whether a line with these words was said, and forgets all lines.
func (b *bench) heard(words string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer func() { b.said = nil }()
	return strings.Contains(strings.Join(b.said, "\n"), words)
}

func (b *bench) options() UpOptions {
	return UpOptions{File: b.file, Exe: b.exe, Timeout: 30 * time.Second, Say: b.say}
}

// up brings the shelf up and gives the processes by name.
func (b *bench) up() (*Lab, map[string]int) {
	b.t.Helper()
	l, err := Up(b.t.Context(), b.options())
	if err != nil {
		b.t.Fatalf("%v\n%s", err, strings.Join(b.said, "\n"))
	}
	return l, b.pids(l)
}

// pids are the shelf's processes by name, and its VMs.
func (b *bench) pids(l *Lab) map[string]int {
	b.t.Helper()
	pids := map[string]int{}
	for _, p := range l.Processes() {
		pids[p.Name] = p.PID
	}
	for _, n := range l.Topology.Nodes {
		ids, err := supervise.FindVM(l.VMUUID(n.Name))
		if err != nil || len(ids) > 1 {
			b.t.Fatalf("VMs of %s: %v, %v", n.Name, ids, err)
		}
		if len(ids) == 1 {
			pids[vmPrefix+n.Name] = ids[0].PID
		}
	}
	return pids
}

// count is how many processes the shelf has, its supervisor and VMs among them.
func (b *bench) count(l *Lab) int {
	b.t.Helper()
	ids, err := proc.Find(func(argv []string) bool { return l.isOurs(argv) || l.isVM(argv) })
	if err != nil {
		b.t.Fatal(err)
	}
	return len(ids)
}

// endSupervisor ends the supervisor as a crash does.
func (b *bench) endSupervisor(l *Lab) {
	b.t.Helper()
	p, err := l.dir().Supervisor()
	if err != nil {
		b.t.Fatal(err)
	}
	defer p.Close()
	if err := errors.Join(p.Signal(syscall.SIGKILL)); err != nil {
		b.t.Fatal(err)
	}
	<-p.Done()
}
