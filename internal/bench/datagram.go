package main

import (
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// datagrams is a blocking connected UDP socket, for the same reason as socket.
// A read gives up after a second, which is when its user asks again.
type datagrams struct{ fd int }

func dialUDP(addr string) (*datagrams, error) {
	a, err := net.ResolveUDPAddr("udp4", addr)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	d := &datagrams{fd}
	to := &unix.SockaddrInet4{Port: a.Port}
	copy(to.Addr[:], a.IP.To4())
	if err = unix.Connect(fd, to); err == nil {
		err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1})
	}
	if err != nil {
		_ = d.Close()
		return nil, fmt.Errorf("%s: %w", addr, err)
	}
	return d, nil
}

func (d *datagrams) Read(b []byte) (int, error) {
	for {
		n, err := unix.Read(d.fd, b)
		switch err {
		case nil:
			return n, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, os.ErrDeadlineExceeded
		default:
			return 0, fmt.Errorf("read: %w", err)
		}
	}
}

func (d *datagrams) Write(b []byte) (int, error) { return unix.Write(d.fd, b) }

// SetReadDeadline does nothing: see the type.
func (d *datagrams) SetReadDeadline(time.Time) error { return nil }

func (d *datagrams) Close() error { return unix.Close(d.fd) }

// freeUDPPort finds a UDP port on loopback that nobody uses.
func freeUDPPort() (string, error) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer c.Close()
	return c.LocalAddr().String(), nil
}
