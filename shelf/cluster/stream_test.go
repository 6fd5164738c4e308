package cluster

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
)

// oneConn is a listener with one connection to give.
type oneConn struct{ net.Conn }

func (o oneConn) Accept() (net.Conn, error) { return o.Conn, nil }
func (oneConn) Close() error                { return nil }
func (oneConn) Addr() net.Addr              { return advertised("here") }

// TestConnectionAfterTheEnd: what arrives or is dialled after the cut is
// closed, and nobody waits.
func TestConnectionAfterTheEnd(t *testing.T) {
	here, there := net.Pipe()
	go func() {
		b := make([]byte, 64)
		for {
			if _, err := there.Read(b); err != nil {
				return
			}
		}
	}()
	s := newStreamLayer(Config{
		NodeID: "shm1", Listener: oneConn{here}, Logger: slog.New(slog.DiscardHandler),
		Dial: func(context.Context, string) (net.Conn, error) { return here, nil },
	}, "cluster")
	s.cut()
	if _, err := s.Dial("there", LAN.ioTimeout()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("dial: %v", err)
	}
	if _, err := s.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept: %v", err)
	}
}
