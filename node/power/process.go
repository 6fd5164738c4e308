package power

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// A process is one QEMU, ours or left by an earlier owner. A pidfd stands for it, so that a pid
// which the kernel gives to somebody else is never signalled or waited for.
type process struct {
	pid  int
	fd   *os.File      // pidfd
	done chan struct{} // closed when the process has ended, or when nobody waits any more
	exit Exit          // set before done is closed
	gone bool          // likewise: it has really ended
}

// spawn starts argv in a session of its own with its output in log. It gets no signal of ours and
// does not end with us.
func spawn(argv []string, log *os.File) (*process, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	child, err := startModestly(argv, &os.ProcAttr{
		Env:   os.Environ(),
		Files: []*os.File{null, log, log},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, fmt.Errorf("start QEMU: %w", err)
	}
	// Not reaped yet, so the pid is still the child's when the pidfd is opened.
	defer child.Release()
	p, err := openProcess(child.Pid)
	if err != nil {
		child.Kill()
		child.Wait()
		return nil, err
	}
	return p, nil
}

// guestNice is how much a guest yields to controllers. A real controller has a processor of its
// own; here a guest that computes must not starve it, nor the shelf manager's elections.
const guestNice = 5

// startModestly starts a program with a lower priority. The child inherits that of the thread which
// starts it; a thread without privilege cannot raise its own again, so it ends with the goroutine.
func startModestly(argv []string, attr *os.ProcAttr) (child *os.Process, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, guestNice) // as it was, where that is not allowed
		child, err = os.StartProcess(argv[0], argv, attr)
	}()
	<-done
	return child, err
}

// openProcess takes hold of a process by pid. The caller checks afterwards that it is the one it means.
func openProcess(pid int) (*process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	p := &process{pid: pid, fd: os.NewFile(uintptr(fd), "pidfd"), done: make(chan struct{})}
	raw, err := p.fd.SyscallConn()
	if err != nil {
		p.fd.Close()
		return nil, fmt.Errorf("watch process %d: %w", pid, err)
	}
	go p.watch(raw)
	return p, nil
}

// watch waits for the end. A pidfd becomes readable then; closing it ends the wait.
func (p *process) watch(raw syscall.RawConn) {
	defer close(p.done)
	if raw.Read(ended) == nil {
		p.gone, p.exit = true, reap(p.pid)
	}
}

func ended(fd uintptr) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return n > 0 && err == nil
}

// hasEnded asks the kernel at once, ahead of the watch.
func (p *process) hasEnded() bool {
	raw, err := p.fd.SyscallConn()
	if err != nil {
		return true
	}
	dead := true
	if err := raw.Control(func(fd uintptr) { dead = ended(fd) }); err != nil {
		return true
	}
	return dead
}

// reap collects the status of a dead child; that of anybody else's child is not ours to have.
func reap(pid int) Exit {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return Exit{}
		case status.Signaled():
			return Exit{Known: true, Signal: status.Signal()}
		}
		return Exit{Known: true, Code: status.ExitStatus()}
	}
}

// kill sends SIGKILL; the end shows on done.
func (p *process) kill() error {
	raw, err := p.fd.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := raw.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0) }); err != nil {
		return err
	}
	if errors.Is(sent, unix.ESRCH) {
		return nil
	}
	return sent
}

// release stops watching and leaves the process alone.
func (p *process) release() {
	p.fd.Close()
	<-p.done
}
