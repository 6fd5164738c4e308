//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// cliLimit ends a command that hangs; up may build a guest.
const cliLimit = 6 * time.Minute

// patience is how long anything may take that comes by itself, on a busy machine. Nothing is measured by it.
const patience = 2 * time.Minute

// result is what a command printed and how it ended.
type result struct {
	out, err string
	code     int
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d\n%s%s", r.code, r.out, r.err)
}

// midplane runs the program as a person does.
func midplane(t *testing.T, args ...string) result {
	t.Helper()
	r, err := command(t.Context(), args...)
	if err != nil {
		t.Fatalf("midplane %s: %v", strings.Join(args, " "), err)
	}
	return r
}

// ok runs the program, which must succeed, and gives its output.
func ok(t *testing.T, args ...string) string {
	t.Helper()
	r := midplane(t, args...)
	if r.code != 0 {
		t.Fatalf("midplane %s: %s", strings.Join(args, " "), r)
	}
	return r.out
}

// okJSON is ok with -o json.
func okJSON[T any](t *testing.T, args ...string) (v T) {
	t.Helper()
	out := ok(t, append([]string{"-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("midplane %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return v
}

// fails runs the program, which must end with this exit code and say all of
// these words.
func fails(t *testing.T, code int, words []string, args ...string) {
	t.Helper()
	r := midplane(t, args...)
	if r.code != code {
		t.Errorf("midplane %s: want exit code %d, got %s", strings.Join(args, " "), code, r)
		return
	}
	for _, w := range words {
		if !strings.Contains(r.err, w) {
			t.Errorf("midplane %s does not say %q: %s", strings.Join(args, " "), w, r)
		}
	}
}

func command(ctx context.Context, args ...string) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, cliLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	r := result{out: out.String(), err: errs.String()}
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		r.code, err = exit.ExitCode(), nil
	}
	return r, err
}

// eventually waits until try succeeds.
func eventually(t *testing.T, limit time.Duration, what string, try func() error) {
	t.Helper()
	const pause = 50 * time.Millisecond
	deadline := time.Now().Add(limit)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %v", what, limit, err)
		}
		time.Sleep(pause) // what is waited for happens in another process
	}
}

// signal sends a signal to a process, which must be there.
func signal(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if pid <= 1 {
		t.Fatalf("%d is no process of the shelf", pid)
	}
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatalf("signal %v to process %d: %v", sig, pid, err)
	}
}
