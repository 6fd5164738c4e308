package supervise

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/midplane-project/midplane/deploy/lab/proc"
)

// bench is a directory with a supervisor that the test starts and ends.
type bench struct {
	t   *testing.T
	dir Dir
	exe string

	cancel context.CancelFunc
	done   chan error
}

func newBench(t *testing.T) *bench {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, dir: Dir(t.TempDir()), exe: exe}
	if err := b.dir.Make(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.end()
		b.killAll()
	})
	return b
}

// killAll ends every process of the bench, whoever started it.
func (b *bench) killAll() {
	ids, err := proc.Find(func(argv []string) bool { return slices.Contains(argv, string(b.dir)) })
	if err == nil {
		_, err = proc.Stop(context.Background(), ids, 0)
	}
	if err != nil {
		b.t.Error(err)
	}
}

// process describes a child; its command line tells benches apart.
func (b *bench) process(name, how, hash string) Process {
	return Process{Name: name, Argv: []string{b.exe, how, name, string(b.dir)}, Hash: hash}
}

func (b *bench) plan(all ...Process) {
	b.t.Helper()
	if err := b.dir.SetPlan(Plan{all}); err != nil {
		b.t.Fatal(err)
	}
}

// begin starts a supervisor in this process.
func (b *bench) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel, b.done = cancel, make(chan error, 1)
	go func() { b.done <- New(b.dir, nil).Run(ctx) }()
}

// end makes the supervisor end; its children go on.
func (b *bench) end() {
	b.t.Helper()
	if b.cancel == nil {
		return
	}
	b.cancel()
	if err := <-b.done; err != nil {
		b.t.Error(err)
	}
	b.cancel = nil
}

// runs waits until a process runs which is not the one before.
func (b *bench) runs(name string, before proc.ID) Record {
	b.t.Helper()
	var r Record
	b.until(name+" runs", func() bool {
		var ok bool
		r, ok = b.dir.Running(name)
		return ok && r.ID != before
	})
	return r
}

func (b *bench) until(what string, done func() bool) {
	b.t.Helper()
	limit := time.After(30 * time.Second)
	for !done() {
		select {
		case <-limit:
			b.t.Fatalf("never: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// looks waits until the supervisor has looked at everything at least once more.
func (b *bench) looks() {
	b.t.Helper()
	// A process that is planned last is started after all others were seen to.
	plan, err := b.dir.Plan()
	if err != nil {
		b.t.Fatal(err)
	}
	name := "zz" + time.Now().Format("150405.000000000")
	b.plan(append(plan.Processes, b.process(name, "daemon", "1"))...)
	b.runs(name, proc.ID{})
	b.plan(plan.Processes...)
}

func (b *bench) signal(id proc.ID, sig syscall.Signal) {
	b.t.Helper()
	p, err := proc.Open(id)
	if err != nil {
		b.t.Fatal(err)
	}
	defer p.Close()
	if err := p.Signal(sig); err != nil {
		b.t.Fatal(err)
	}
}

// startVM starts what looks like a QEMU with a UUID.
func (b *bench) startVM(uuid string) *proc.Process {
	b.t.Helper()
	p, err := proc.Start([]string{b.exe, "daemon", "-uuid", uuid, string(b.dir)}, filepath.Join(string(b.dir), "vm.log"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(p.Close)
	return p
}
