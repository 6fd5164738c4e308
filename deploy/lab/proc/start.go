package proc

import (
	"fmt"
	"os"
	"syscall"
)

// Start runs argv in a session of its own: without a terminal, with no input,
// its output at the end of the file log. It does not end with its parent.
func Start(argv []string, log string) (*Process, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	child, err := os.StartProcess(argv[0], argv, &os.ProcAttr{
		Dir:   "/",
		Env:   os.Environ(),
		Files: []*os.File{null, out, out},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	// Nobody else reaps it, so the pid is the child's until watch has seen its end.
	pid := child.Pid
	p, err := open(pid, true)
	if err != nil {
		_ = child.Kill()
		_, _ = child.Wait()
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	_ = child.Release()
	return p, nil
}
