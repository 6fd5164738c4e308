package vm

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// A VM that asks again within briskGap of its answer, briskRun times in a row,
// is looked at for as long before its reader sleeps: to wake a sleeping thread
// on another processor takes longer than to serve a request. A guest of real
// QEMU is hardly ever so fast, and one that waits for another controller's
// answer never is for so long.
const (
	briskGap = 60 * time.Microsecond
	briskRun = 8
)

// brisk reads and writes a socket for a VM that has one request outstanding.
//
// What it does on the socket never blocks, so it does not tell Go's scheduler.
// It matters for a write over TCP, which takes long as the kernel delivers it
// at once: the scheduler took it for a call that blocks, and moved the
// processor to another thread and back for each answer.
//
// Reading belongs to one goroutine at a time, writing to another.
type brisk struct {
	conn  net.Conn
	raw   syscall.RawConn
	in    attempt
	out   attempt
	looks func(fd uintptr) bool
	seen  bool // by looks
	run   int  // gaps of at most gap, one after the other
	gap   time.Duration
}

// quicken gives conn itself back if it is no socket of the system's.
func quicken(conn net.Conn) io.ReadWriter {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return conn
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return conn
	}
	b := &brisk{gap: briskGap, conn: conn, raw: raw, in: attempt{trap: syscall.SYS_READ}, out: attempt{trap: syscall.SYS_WRITE}}
	b.out.retry = b.out.try
	b.looks = func(fd uintptr) bool {
		b.seen = b.in.try(fd)
		return true
	}
	return b
}

// Read implements io.Reader.
func (b *brisk) Read(p []byte) (int, error) {
	began := time.Now()
	if b.run >= briskRun && len(p) > 0 {
		if n, err, ok := b.look(p, began); ok {
			return n, err
		}
		b.run = 0
	}
	n, err := b.conn.Read(p)
	if time.Since(began) <= b.gap {
		b.run++
	} else {
		b.run = 0
	}
	return n, err
}

// look reads without sleeping, for the gap. The other goroutines, and the
// other processes of this processor, run in between.
func (b *brisk) look(p []byte, began time.Time) (n int, err error, ok bool) {
	b.in.buf = p
	for time.Since(began) <= b.gap {
		if err := b.raw.Read(b.looks); err != nil {
			return 0, err, true
		}
		if b.seen {
			if b.in.n == 0 && b.in.err == nil {
				b.in.err = io.EOF
			}
			return b.in.n, b.in.err, true
		}
		runtime.Gosched()
		syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0)
	}
	return 0, nil, false
}

// Write implements io.Writer.
func (b *brisk) Write(p []byte) (sent int, err error) {
	for sent < len(p) {
		b.out.buf = p[sent:]
		if err := b.raw.Write(b.out.retry); err != nil {
			return sent, err
		}
		if b.out.err != nil {
			return sent, b.out.err
		}
		sent += b.out.n
	}
	return sent, nil
}

// An attempt is a read or write that may find the socket not ready.
type attempt struct {
	trap  uintptr
	buf   []byte // not empty
	n     int
	err   error
	retry func(fd uintptr) bool // try, made once
}

// try reports false if the socket is not ready.
func (a *attempt) try(fd uintptr) bool {
	for {
		n, _, errno := syscall.RawSyscall(a.trap, fd, uintptr(unsafe.Pointer(&a.buf[0])), uintptr(len(a.buf)))
		switch errno {
		case 0:
			a.n, a.err = int(n), nil
			return true
		case syscall.EAGAIN:
			return false
		case syscall.EINTR:
		default:
			a.n, a.err = 0, fmt.Errorf("vm: socket: %w", errno)
			return true
		}
	}
}
