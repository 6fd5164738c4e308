package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// process is a daemon that the benchmark started.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
}

// start runs a program in the given place; what it says goes to a file.
func (b *bench) start(p place, name string, env []string, argv ...string) (*process, error) {
	pr := &process{name: name, log: filepath.Join(b.dir, name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(pr.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	pr.cmd = exec.Command(argv[0], argv[1:]...)
	pr.cmd.Stdout, pr.cmd.Stderr, pr.cmd.Dir = log, log, b.dir
	pr.cmd.Env = append(os.Environ(), env...)
	if err := p.on(pr.cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = pr.cmd.Wait() // how it ended is told by who waits for it
		close(pr.done)
	}()
	return pr, nil
}

// kill ends the process at once (SIGKILL) and waits for it.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// died gives the reason why the process is not there, with its last words.
func (p *process) died() error {
	select {
	case <-p.done:
	default:
		return nil
	}
	raw, _ := os.ReadFile(p.log)
	return fmt.Errorf("%s ended (%v): %s", p.name, p.cmd.ProcessState, strings.TrimSpace(string(raw[max(0, len(raw)-600):])))
}

// until asks ok until it is, or the process dies, or time is over.
func (p *process) until(ctx context.Context, patience time.Duration, ok func() error) error {
	return eventually(ctx, patience, func() error {
		if err := p.died(); err != nil {
			return fatal{err}
		}
		return ok()
	})
}

// rss is the process's resident memory in MB (VmRSS).
func (p *process) rss() (float64, error) {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		f := strings.Fields(line)
		if len(f) >= 2 && f[0] == "VmRSS:" {
			kb, err := strconv.ParseFloat(f[1], 64)
			return kb / 1024, err
		}
	}
	return 0, fmt.Errorf("%s: no VmRSS", p.name)
}

// fatal is an error after which trying again makes no sense.
type fatal struct{ error }

// eventually asks ok every few milliseconds until it gives nil.
func eventually(ctx context.Context, patience time.Duration, ok func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := ok()
		var f fatal
		switch {
		case err == nil:
			return nil
		case errors.As(err, &f):
			return f.error
		case time.Now().After(deadline):
			return fmt.Errorf("not within %v: %w", patience, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}
