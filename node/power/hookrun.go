package power

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"
)

const (
	hookLimit  = 30 * time.Second // for one program
	hookOutput = 4 << 10          // of its output that is logged
	hookLinger = time.Second      // for what it left behind to let go of its output
)

var errHookTime = errors.New("it took too long and was killed")

// run runs one program and gives its exit code; any other than 0 is an error. -1 stands for a
// program that did not come to one. What it said is in the error, and in the log unless it was asked
// for the state only.
func (h *Hook) run(ctx context.Context, name string, argv []string) (int, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, hookLimit, errHookTime)
	defer cancel()
	defer context.AfterFunc(h.ctx, cancel)()
	var said tail
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = h.env, &said, &said, hookLinger
	// A group of its own, so that what it started ends with it when it takes too long.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) { // it ended well and left something running, a VM for example
		err = nil
	}
	text := string(bytes.TrimSpace(said.kept))
	if text != "" && name != "status" {
		h.log.Info("hook said", "hook", name, "output", text)
	}
	if err == nil {
		return 0, nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	code := -1
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	}
	if text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	return code, fmt.Errorf("hook %s: %w", name, err)
}

// A tail keeps the last hookOutput bytes.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - hookOutput; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}
