package vm_test

import (
	"context"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/vm"
	"github.com/midplane-project/midplane/node/vm/vmtest"
)

// deviceID is an answer as long as a real one.
var deviceID = make([]byte, 15)

func answerDeviceID(context.Context, *ipmb.Request) ipmb.Response {
	return ipmb.Response{Data: deviceID}
}

// unixPair is a connected pair of Unix stream sockets.
func unixPair(tb testing.TB) (a, b net.Conn) {
	tb.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	conn := func(fd int) net.Conn {
		f := os.NewFile(uintptr(fd), "pair")
		defer f.Close()
		c, err := net.FileConn(f)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = c.Close() })
		return c
	}
	return conn(fds[0]), conn(fds[1])
}

// tcpPair is a connected pair over loopback.
func tcpPair(tb testing.TB) (a, b net.Conn) {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer ln.Close()
	if a, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		tb.Fatal(err)
	}
	if b, err = ln.Accept(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _, _ = a.Close(), b.Close() })
	return a, b
}

// BenchmarkGetDeviceID measures one request and its answer, over each kind of
// socket; BenchmarkEcho is the same bytes through a peer that only returns
// them, which is the limit. Both ends are in one process here.
func BenchmarkGetDeviceID(b *testing.B) {
	for name, pair := range map[string]func(testing.TB) (net.Conn, net.Conn){"unix": unixPair, "tcp": tcpPair} {
		b.Run(name, func(b *testing.B) {
			node, guest := pair(b)
			d := vm.New(vm.Config{Handler: ipmb.HandlerFunc(answerDeviceID)})
			b.Cleanup(func() { _ = d.Close() })
			go func() { _ = d.ServeConn(context.Background(), node) }()
			w := vmtest.NewWire(guest)
			if err := w.Greet(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.Exchange(ipmb.NetFnApp, 0, ipmb.CmdGetDeviceID, nil); err != nil {
					b.Fatal(err)
				}
			}
			_ = guest.Close()
		})
	}
}

func BenchmarkEcho(b *testing.B) {
	for name, pair := range map[string]func(testing.TB) (net.Conn, net.Conn){"unix": unixPair, "tcp": tcpPair} {
		b.Run(name, func(b *testing.B) {
			peer, guest := pair(b)
			go func() {
				buf := make([]byte, 4096)
				for {
					n, err := peer.Read(buf)
					if err != nil {
						return
					}
					if _, err := peer.Write(buf[:n]); err != nil {
						return
					}
				}
			}()
			buf := make([]byte, 24)
			for b.Loop() {
				if _, err := guest.Write(buf); err != nil {
					b.Fatal(err)
				}
				if _, err := guest.Read(buf); err != nil {
					b.Fatal(err)
				}
			}
			_ = guest.Close()
		})
	}
}
