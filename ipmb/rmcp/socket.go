package rmcp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"github.com/midplane-project/midplane/ipmb/udp"
)

// A console that asks again within briskGap of its answer, briskRun times in a
// row, is looked out for as long before its reader sleeps: to wake a sleeping
// thread takes longer than to serve a request. Only consoles on this host are
// so fast. Where others took the processor meanwhile, and kept it, that is not
// done for the next waryFor datagrams. Nor is it each restEach: as long as
// somebody looks out, Go does not look at the other sockets of the process.
const (
	briskGap = 60 * time.Microsecond
	briskRun = 3
	waryFor  = 100
	restEach = time.Millisecond
)

// errEmpty says that no datagram is there.
var errEmpty = errors.New("rmcp: no datagram")

// socket is what a door reads and writes.
type socket struct {
	net.PacketConn
	sys   *net.UDPConn    // nil: it is no UDP socket of the system's
	raw   syscall.RawConn // of sys
	wide  *udp.Conn       // nil: the system knows from where to answer
	steps Steps           // nil: it ends with this process
}

func newSocket(c net.PacketConn) *socket {
	s := &socket{PacketConn: c}
	s.steps, _ = c.(Steps)
	sys, _ := c.(*net.UDPConn)
	if own, ok := c.(*udp.Conn); ok {
		sys = own.UDPConn
		if own.Wide() {
			s.wide = own
		}
	}
	if sys != nil {
		if raw, err := sys.SyscallConn(); err == nil {
			s.raw, s.sys = raw, sys
		}
	}
	return s
}

// eye reads a socket. It belongs to one goroutine.
type eye struct {
	*socket
	buf   []byte
	n     int            // of buf
	from  netip.AddrPort // where those came from
	login []byte         // that came with them; see [Steps]
	there bool           // they were there already

	try  func(fd uintptr)         // receive, or receiveWide
	wake func(fd uintptr) bool    // the same, until there is something
	addr syscall.RawSockaddrInet6 // or an IPv4 one in its place
	err  error
	run  int       // gaps of at most briskGap, one after the other
	wary int       // for so many datagrams, none is looked out for
	rest time.Time // when none was last, for the others' sake

	control [udp.ControlLen]byte // of a wide socket
	vec     syscall.Iovec
	msg     syscall.Msghdr
}

func (s *socket) newEye() *eye {
	e := &eye{socket: s, buf: make([]byte, maxDatagram+1)}
	e.try = e.receive
	if s.wide != nil {
		e.try = e.receiveWide
	}
	e.wake = func(fd uintptr) bool {
		e.there = e.err == nil // at first
		e.try(fd)
		return e.err != errEmpty
	}
	return e
}

// receive reads a datagram if one is there.
func (e *eye) receive(fd uintptr) {
	size := uint32(unsafe.Sizeof(e.addr))
	for errno := syscall.EINTR; errno == syscall.EINTR; {
		var n uintptr
		n, _, errno = syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&e.buf[0])), uintptr(len(e.buf)),
			syscall.MSG_DONTWAIT, uintptr(unsafe.Pointer(&e.addr)), uintptr(unsafe.Pointer(&size)))
		e.got(n, errno)
	}
}

// receiveWide is receive where the answer must leave as the datagram came.
func (e *eye) receiveWide(fd uintptr) {
	for errno := syscall.EINTR; errno == syscall.EINTR; {
		e.vec.Base = &e.buf[0]
		e.vec.SetLen(len(e.buf))
		e.msg = syscall.Msghdr{
			Name: (*byte)(unsafe.Pointer(&e.addr)), Namelen: uint32(unsafe.Sizeof(e.addr)),
			Iov: &e.vec, Iovlen: 1, Control: &e.control[0],
		}
		e.msg.SetControllen(len(e.control))
		var n uintptr
		n, _, errno = syscall.RawSyscall(syscall.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&e.msg)), syscall.MSG_DONTWAIT)
		if e.got(n, errno); errno == 0 {
			e.wide.Note(e.from, e.control[:e.msg.Controllen])
		}
	}
}

// got is what came of it.
func (e *eye) got(n uintptr, errno syscall.Errno) {
	switch errno {
	case 0:
		e.n, e.from, e.err = int(n), e.sender(), nil
	case syscall.EAGAIN:
		e.err = errEmpty
	default:
		e.err = fmt.Errorf("rmcp: socket: %w", errno)
	}
}

// sender is where what was read came from.
func (e *eye) sender() netip.AddrPort {
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&e.addr.Port))[:])
	if e.addr.Family == syscall.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*syscall.RawSockaddrInet4)(unsafe.Pointer(&e.addr)).Addr), port)
	}
	a := netip.AddrFrom16(e.addr.Addr).Unmap()
	if zone := e.addr.Scope_id; zone != 0 {
		a = a.WithZone(strconv.Itoa(int(zone)))
	}
	return netip.AddrPortFrom(a, port)
}

// glance reads a datagram, or gives errEmpty.
func (e *eye) glance() error {
	if err := e.raw.Control(e.try); err != nil {
		return err
	}
	return e.err
}

// next reads a datagram, which may take until there is one.
func (e *eye) next() error {
	if e.sys == nil {
		return e.strange()
	}
	began := time.Now()
	err := e.look(began)
	if err == errEmpty {
		err = e.sleep()
	}
	e.note(time.Since(began))
	return err
}

// note counts a gap between an answer and what came after it.
func (e *eye) note(gap time.Duration) {
	if e.run++; gap > briskGap {
		e.run = 0
	}
}

// look watches if the console is brisk.
func (e *eye) look(began time.Time) error {
	e.wary = max(e.wary-1, 0)
	switch {
	case e.wary > 0, e.run < briskRun, e.sys == nil:
		return errEmpty
	case began.Sub(e.rest) > restEach:
		e.rest = began
		return errEmpty
	}
	return e.watch(began)
}

// watch looks for briskGap; the other goroutines, and the other processes of
// this processor, run in between.
func (e *eye) watch(began time.Time) error {
	err := e.glance()
	e.there = err == nil
	for err == errEmpty && time.Since(began) <= briskGap {
		runtime.Gosched()
		syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0)
		err = e.glance()
	}
	if time.Since(began) > 2*briskGap {
		e.wary = waryFor
	}
	return err
}

func (e *eye) sleep() error {
	e.err = nil
	if err := e.raw.Read(e.wake); err != nil {
		return err
	}
	return e.err
}

// strange reads what is no socket of the system's.
func (e *eye) strange() error {
	var n int
	var from net.Addr
	var err error
	if e.steps != nil {
		n, e.login, from, err = e.steps.ReadStep(e.buf)
	} else {
		n, from, err = e.ReadFrom(e.buf)
	}
	if a, ok := from.(*net.UDPAddr); ok {
		e.n, e.from = n, a.AddrPort()
		return err
	}
	e.n = 0 // of somebody who cannot be answered
	return err
}

func (s *socket) write(b, login []byte, to netip.AddrPort) (err error) {
	switch {
	case s.steps != nil && login != nil:
		_, err = s.steps.WriteStep(b, login, net.UDPAddrFromAddrPort(to))
	case s.wide != nil:
		err = s.wide.Send(b, to)
	case s.sys != nil:
		_, err = s.sys.WriteToUDPAddrPort(b, to)
	default:
		_, err = s.WriteTo(b, net.UDPAddrFromAddrPort(to))
	}
	return err
}
