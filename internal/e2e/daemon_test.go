//go:build e2e

package e2e_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// daemon is one that a test runs without a supervisor.
type daemon struct {
	log  string // path
	pid  int
	done chan struct{}
	err  error // how it ended
}

// daemon runs midplane VERB with a configuration, until the test ends.
func (s *shelf) daemon(t *testing.T, verb string, config any, dir string) *daemon {
	t.Helper()
	file := filepath.Join(dir, verb+".json")
	writeJSON(t, file, config)
	return startDaemon(t, filepath.Join(dir, verb+".log"), bin, verb, "--config", file, "--log-level", "info")
}

// startDaemon starts a program that logs to a file.
func startDaemon(t *testing.T, path string, argv ...string) *daemon {
	t.Helper()
	log, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d := &daemon{log: path, pid: cmd.Process.Pid, done: make(chan struct{})}
	go func() {
		defer close(d.done)
		d.err = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-d.done:
		case <-time.After(patience):
			t.Errorf("%s: it does not end", path)
			_ = cmd.Process.Signal(syscall.SIGQUIT) // the Go runtime tells where it stands
			<-d.done
		}
		_ = log.Close()
		if t.Failed() {
			t.Logf("%s:\n%s", path, lastLines(d.text(), 400))
		}
	})
	return d
}

func (d *daemon) text() string {
	data, _ := os.ReadFile(d.log)
	return string(data)
}

// says waits until the daemon has logged something.
func (d *daemon) says(t *testing.T, text string) {
	t.Helper()
	eventually(t, patience, "its log says "+text, func() error {
		if !strings.Contains(d.text(), text) {
			return errors.New(lastLines(d.text(), 5))
		}
		return nil
	})
}
