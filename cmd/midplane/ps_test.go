package main

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/midplane-project/midplane/deploy/lab/proc"
)

// standing starts a process, makes it stand still, and waits until it does.
func standing(t *testing.T) proc.ID {
	t.Helper()
	c := exec.Command("cat")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGCONT)
		_ = in.Close()
		_ = c.Wait()
	})
	if err := c.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var s syscall.WaitStatus
	if _, err := syscall.Wait4(c.Process.Pid, &s, syscall.WUNTRACED, nil); err != nil || !s.Stopped() {
		t.Fatalf("%v, %v", s, err)
	}
	id, err := proc.Identify(c.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Of a daemon that somebody stopped or killed it is said, and what to do; of one
// that nobody keeps, what is seen.
func TestPSOfWhoDoesNotAnswer(t *testing.T) {
	s := newFakeShelf(t)
	s.replica("shm2", "shm2")
	s.node("blade1")
	s.stop("blade1")
	if got := s.run("ps"); !strings.Contains(got.out, "its node does not answer: ") || !strings.Contains(got.out, "shm1 does not answer") {
		t.Errorf("%s", got.out)
	}
	d := s.plan("shm1", "shm2", "shm3", "node/blade1", "node/blade2")
	s.runs(d, "node/blade1", standing(t))
	s.runs(d, "shm3", standing(t))
	got := s.run("ps")
	for _, words := range []string{
		"shm1 does not run: midplane start shm1; shm3 stands still: midplane resume shm3",
		"node/blade1 stands still: midplane resume node/blade1", "node/blade2 does not run: midplane start node/blade2",
	} {
		if !strings.Contains(got.out, words) {
			t.Errorf("no %q in:\n%s", words, got.out)
		}
	}
	if got := s.run("exec", "blade1", "--", "true"); got.code != 125 ||
		!strings.Contains(got.err, "blade1 does not answer: node/blade1 stands still") || !strings.Contains(got.err, "to do: midplane resume node/blade1") {
		t.Errorf("%+v", got)
	}
}
