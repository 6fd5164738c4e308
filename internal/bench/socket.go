package main

import (
	"fmt"
	"net"
	"strings"

	"golang.org/x/sys/unix"
)

// socket is a blocking stream socket without Go's poller in between, so that
// what is measured is the other side. A read gives up after some seconds.
type socket struct{ fd int }

const readSeconds = 15

// dial connects to unix:PATH or tcp:HOST:PORT.
func dial(addr string) (*socket, error) {
	family, sa, err := resolve(addr)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	s := &socket{fd}
	if err := s.connect(family, sa); err != nil {
		s.close()
		return nil, fmt.Errorf("%s: %w", addr, err)
	}
	return s, nil
}

func (s *socket) connect(family int, sa unix.Sockaddr) error {
	if err := unix.Connect(s.fd, sa); err != nil {
		return err
	}
	if err := unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: readSeconds}); err != nil {
		return err
	}
	if family == unix.AF_UNIX {
		return nil
	}
	return unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
}

func resolve(addr string) (family int, sa unix.Sockaddr, err error) {
	kind, rest, _ := strings.Cut(addr, ":")
	if kind == "unix" {
		return unix.AF_UNIX, &unix.SockaddrUnix{Name: rest}, nil
	}
	a, err := net.ResolveTCPAddr("tcp4", rest)
	if err != nil {
		return 0, nil, err
	}
	in := &unix.SockaddrInet4{Port: a.Port}
	copy(in.Addr[:], a.IP.To4())
	return unix.AF_INET, in, nil
}

func (s *socket) read(b []byte) (int, error) {
	for {
		n, err := unix.Read(s.fd, b)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, fmt.Errorf("read: %w", err)
		case n == 0:
			return 0, fmt.Errorf("read: connection closed")
		}
		return n, nil
	}
}

// write sends all of b.
func (s *socket) write(b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(s.fd, b)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		b = b[n:]
	}
	return nil
}

// readable waits for input, at most so many milliseconds.
func (s *socket) readable(ms int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}, ms)
	return err == nil && n > 0
}

func (s *socket) close() { _ = unix.Close(s.fd) }

// freePort finds a TCP port on loopback that nobody uses.
func freePort() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}
