package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Process is a hold on one process. Close it, or wait for Done.
type Process struct {
	ID   ID
	fd   *os.File // pidfd
	ours bool     // a child of ours, whose status is ours to have
	done chan struct{}
	exit string // set before done is closed
	once sync.Once
}

// Open takes hold of the process that id names; fs.ErrNotExist if it has ended.
func Open(id ID) (*Process, error) {
	p, err := open(id.PID, false)
	if err != nil {
		return nil, err
	}
	if p.ID != id {
		p.Close()
		return nil, fmt.Errorf("process %d is another one now: %w", id.PID, fs.ErrNotExist)
	}
	return p, nil
}

// open takes hold of a pid first and looks at who has it afterwards. A child of
// ours is itself until we reap it, also when it ended before anybody looked.
func open(pid int, ours bool) (*Process, error) {
	if pid <= 0 {
		return nil, fmt.Errorf("no process: %w", fs.ErrNotExist)
	}
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	switch {
	// The others say that the number is that of a thread now (pidfd_open(2)).
	case errors.Is(err, unix.ESRCH), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
		return nil, fmt.Errorf("process %d: %w", pid, fs.ErrNotExist)
	case err != nil:
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	file := os.NewFile(uintptr(fd), "pidfd")
	id, ended, err := identify(pid)
	if err == nil && ended && !ours {
		err = gone(pid)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("watch process %d: %w", pid, err)
	}
	p := &Process{ID: id, fd: file, ours: ours, done: make(chan struct{})}
	go p.watch(raw)
	return p, nil
}

// watch waits for the end; closing the descriptor ends the wait.
func (p *Process) watch(raw syscall.RawConn) {
	defer close(p.done)
	if raw.Read(readable) != nil {
		return
	}
	p.exit = "ended"
	if p.ours {
		p.exit = reap(p.ID.PID)
	}
}

func readable(fd uintptr) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return n > 0 && err == nil
}

// reap collects a child's status. Who has only opened a process leaves that to
// its starter, which may be in the same program.
func reap(pid int) string {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return "ended: " + err.Error()
		case status.Signaled():
			return "signal " + unix.SignalName(status.Signal())
		}
		return fmt.Sprintf("exit status %d", status.ExitStatus())
	}
}

// Done is closed when the process has ended, or after Close.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit says how the process ended, once Done is closed.
func (p *Process) Exit() string { return p.exit }

// Signal sends a signal; that the process has ended is no error.
func (p *Process) Signal(sig syscall.Signal) error {
	raw, err := p.fd.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := raw.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), sig, nil, 0) }); err != nil {
		if errors.Is(err, os.ErrClosed) {
			return nil
		}
		return err
	}
	if sent != nil && !errors.Is(sent, unix.ESRCH) {
		return fmt.Errorf("signal %s to process %d: %w", unix.SignalName(sig), p.ID.PID, sent)
	}
	return nil
}

// Close lets go of the process, which goes on.
func (p *Process) Close() {
	p.once.Do(func() { p.fd.Close() })
	<-p.done
}
