package rmcp

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

// A console that asks again within briskGap of its answer, briskRun times in a
// row, is looked out for as long before its reader sleeps: to wake a sleeping
// thread takes longer than to serve a request. Only consoles on this host are
// so fast. Where others took the processor meanwhile, and kept it, that is not
// done again before waryRun times.
const (
	briskGap = 60 * time.Microsecond
	briskRun = 3
	waryRun  = 100
)

// errEmpty says that no datagram is there.
var errEmpty = errors.New("rmcp: no datagram")

// socket is what a door reads and writes.
type socket struct {
	net.PacketConn
	udp *net.UDPConn    // nil: it is no UDP socket of the system's
	raw syscall.RawConn // of udp
}

func newSocket(c net.PacketConn) *socket {
	s := &socket{PacketConn: c}
	if udp, ok := c.(*net.UDPConn); ok {
		if raw, err := udp.SyscallConn(); err == nil {
			s.raw, s.udp = raw, udp
		}
	}
	return s
}

// eye looks at a socket without waiting. It belongs to one goroutine.
type eye struct {
	*socket
	look func(fd uintptr) // made once
	buf  []byte
	from syscall.RawSockaddrInet6 // or an IPv4 one in its place
	n    int
	err  error
	run  int // gaps of at most briskGap, one after the other
	need int // how many it takes before one is looked out for
}

func (s *socket) newEye() *eye {
	e := &eye{socket: s, buf: make([]byte, maxDatagram+1), need: briskRun}
	e.look = func(fd uintptr) {
		size := uint32(unsafe.Sizeof(e.from))
		for {
			n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&e.buf[0])), uintptr(len(e.buf)),
				syscall.MSG_DONTWAIT, uintptr(unsafe.Pointer(&e.from)), uintptr(unsafe.Pointer(&size)))
			switch errno {
			case 0:
				e.n, e.err = int(n), nil
			case syscall.EINTR:
				continue
			default:
				e.err = errEmpty // or trouble, which wait will meet, too
			}
			return
		}
	}
	return e
}

// glance reads a datagram if one is there; errEmpty says that none is.
func (e *eye) glance() (int, netip.AddrPort, error) {
	if e.raw == nil {
		return 0, netip.AddrPort{}, errEmpty
	}
	if err := e.raw.Control(e.look); err != nil {
		return 0, netip.AddrPort{}, err
	}
	if e.err != nil {
		return 0, netip.AddrPort{}, e.err
	}
	return e.n, e.sender(), nil
}

// sender is where what was read came from.
func (e *eye) sender() netip.AddrPort {
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&e.from.Port))[:])
	if e.from.Family == syscall.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*syscall.RawSockaddrInet4)(unsafe.Pointer(&e.from)).Addr), port)
	}
	a := netip.AddrFrom16(e.from.Addr)
	if zone := e.from.Scope_id; zone != 0 {
		a = a.WithZone(strconv.Itoa(int(zone)))
	}
	return netip.AddrPortFrom(a, port)
}

// wait reads a datagram, which may take until there is one. While it looks out
// for one, the other goroutines and the other processes of this processor run.
func (e *eye) wait() (n int, from netip.AddrPort, err error) {
	began, looks := time.Now(), e.run >= e.need
	err = errEmpty
	for looks && err == errEmpty && time.Since(began) <= briskGap {
		runtime.Gosched()
		syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0)
		n, from, err = e.glance()
	}
	if looks {
		e.need = briskRun
		if time.Since(began) > 2*briskGap {
			e.need = waryRun
		}
	}
	if err == errEmpty {
		n, from, err = e.sleep()
	}
	if e.run++; time.Since(began) > briskGap {
		e.run = 0
	}
	return n, from, err
}

func (e *eye) sleep() (int, netip.AddrPort, error) {
	if e.udp != nil {
		return e.udp.ReadFromUDPAddrPort(e.buf)
	}
	n, from, err := e.ReadFrom(e.buf)
	if a, ok := from.(*net.UDPAddr); ok {
		return n, a.AddrPort(), err
	}
	return 0, netip.AddrPort{}, err // of a stranger, who cannot be answered
}

func (s *socket) write(b []byte, to netip.AddrPort) (err error) {
	if s.udp != nil {
		_, err = s.udp.WriteToUDPAddrPort(b, to)
	} else {
		_, err = s.WriteTo(b, net.UDPAddrFromAddrPort(to))
	}
	return err
}
