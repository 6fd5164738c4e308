package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// echoVerb as the first argument makes this program the raw echo: a process
// that returns what it reads, with one read and one write for each request.
const echoVerb = "echo"

// echo serves one connection at unix:PATH or tcp:HOST:PORT until it is closed.
func echo(addr string) error {
	family, sa, err := resolve(addr)
	if err != nil {
		return err
	}
	ln, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	if err := unix.Bind(ln, sa); err != nil {
		return fmt.Errorf("%s: %w", addr, err)
	}
	if err := unix.Listen(ln, 1); err != nil {
		return fmt.Errorf("%s: %w", addr, err)
	}
	fd, _, err := unix.Accept(ln)
	if err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	if family == unix.AF_INET {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	s := &socket{fd}
	defer s.close()
	for buf := make([]byte, 4096); ; {
		n, err := s.read(buf)
		if err != nil {
			return nil // the client has gone
		}
		if err := s.write(buf[:n]); err != nil {
			return nil
		}
	}
}

// startEcho starts the raw echo as a process of its own.
func (b *bench) startEcho(p place, addr string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return b.start(p, "echo", nil, self, echoVerb, addr)
}
